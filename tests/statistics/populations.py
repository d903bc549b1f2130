"""Distributions of (confidence, error) with a known error at every threshold."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

MAX_ERROR, CONFIDENCE_LEVEL = 0.05, 0.9
DELTA = 1 - CONFIDENCE_LEVEL
RESAMPLES = int(os.environ.get("TAMIZ_RESAMPLES", "2000"))


def allowed(resamples: int, delta: float = DELTA) -> float:
    """The share of broken promises that a valid procedure exceeds once in a thousand runs."""
    return float(binom.ppf(0.999, resamples, delta) / resamples)


@dataclass(frozen=True)
class Population:
    """Confidences are uniform over `values`, ascending; the error at each is known."""

    values: np.ndarray
    error_at: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, error_at: Callable[[np.ndarray], np.ndarray]) -> Population:
        return cls(values, np.clip(error_at(values), 0, 1))

    def sample(self, n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        index = random.integers(0, len(self.values), n)
        return self.values[index], random.random(n) < self.error_at[index]

    def true_error(self, threshold: float) -> float:
        accepted = self.values >= threshold
        return float(self.error_at[accepted].mean()) if accepted.any() else 0.0

    def joint_error(self, threshold: float) -> float:
        return float(np.where(self.values >= threshold, self.error_at, 0.0).mean())

    def coverage(self, threshold: float) -> float:
        return float((self.values >= threshold).mean())

    def best_coverage(self, error: Callable[[float], float] | None = None) -> float:
        """The coverage of the loosest threshold that truly keeps the error."""
        error = error or self.true_error
        kept = [t for t in np.unique(self.values) if error(t) <= MAX_ERROR]
        return max(map(self.coverage, kept), default=0.0)


GRID = np.linspace(0.5, 1.0, 2_001)
POPULATIONS = {
    "calibrated": Population.of(GRID, lambda c: 1 - c),
    "under-confident": Population.of(GRID, lambda c: (1 - c) / 2),
    "flat, just too bad": Population.of(GRID, lambda c: np.full_like(c, 0.0505)),
    "over-confident at the top": Population.of(GRID, lambda c: np.where(c > 0.95, 0.10, 1 - c - 0.03)),
    "ties": Population.of(np.repeat([0.55, 0.7, 0.85, 0.93, 0.99], 400), lambda c: 1 - c),
}
