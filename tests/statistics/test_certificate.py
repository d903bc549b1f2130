"""The promise, tested as what it is: a statement about repeated samples.

Each population is a distribution of (confidence, error) with a known error at every threshold. Over many resamples the
certified threshold may break the promise in at most a share 1 − confidence_level of them; a test that allows for the
number of resamples fails once in a thousand runs of a valid procedure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from tamiz_convert.certify import certify
from tamiz_convert.errors import UnattainableError

MAX_ERROR, CONFIDENCE_LEVEL = 0.05, 0.9
DELTA = 1 - CONFIDENCE_LEVEL
RESAMPLES = 2_000
ALLOWED = binom.ppf(0.999, RESAMPLES, DELTA) / RESAMPLES


@dataclass(frozen=True)
class Population:
    """Confidences are uniform over `values`; the error at each is known."""

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

    def coverage(self, threshold: float) -> float:
        return float((self.values >= threshold).mean())

    def best_coverage(self) -> float:
        """The coverage of the loosest threshold that truly keeps the error."""
        kept = [t for t in np.unique(self.values) if self.true_error(t) <= MAX_ERROR]
        return max(map(self.coverage, kept), default=0.0)


GRID = np.linspace(0.5, 1.0, 2_001)
POPULATIONS = {
    "calibrated": Population.of(GRID, lambda c: 1 - c),
    "under-confident": Population.of(GRID, lambda c: (1 - c) / 2),
    "flat, just too bad": Population.of(GRID, lambda c: np.full_like(c, 0.0505)),
    "over-confident at the top": Population.of(GRID, lambda c: np.where(c > 0.95, 0.10, 1 - c - 0.03)),
    "ties": Population.of(np.repeat([0.55, 0.7, 0.85, 0.93, 0.99], 400), lambda c: 1 - c),
}


def naive_threshold(confidence: np.ndarray, error: np.ndarray) -> float:
    """The loosest threshold whose error on the rows at hand is small enough: what one would do without thinking."""
    order = np.argsort(-confidence)
    error_rate = np.cumsum(error[order]) / np.arange(1, len(order) + 1)
    kept = np.flatnonzero(error_rate <= MAX_ERROR)
    return float(confidence[order][kept[-1]]) if len(kept) else np.inf


def resampled(population: Population, n: int, resamples: int, seed: int) -> tuple[float, float]:
    """Return the share of resamples that break the promise, and the mean coverage."""
    random = np.random.default_rng(seed)
    broken, coverage = 0, 0.0
    for _ in range(resamples):
        try:
            certified = certify(
                *population.sample(n, random),
                *population.sample(n, random),
                max_error=MAX_ERROR,
                confidence_level=CONFIDENCE_LEVEL,
            )
        except UnattainableError:
            continue
        broken += population.true_error(certified.threshold) > MAX_ERROR
        coverage += population.coverage(certified.threshold)
    return broken / resamples, coverage / resamples


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_promise_is_kept_as_often_as_promised(name):
    violations, _ = resampled(POPULATIONS[name], 2_000, RESAMPLES, seed=11)
    assert violations <= ALLOWED


@pytest.mark.parametrize("name", ["calibrated", "ties"])
def test_the_promise_is_kept_with_few_rows(name):
    violations, _ = resampled(POPULATIONS[name], 200, RESAMPLES, seed=12)
    assert violations <= ALLOWED


def test_the_certificate_does_not_buy_safety_with_silence():
    population = POPULATIONS["calibrated"]
    _, coverage = resampled(population, 8_000, 200, seed=13)
    assert coverage >= 0.75 * population.best_coverage()


def test_the_naive_rule_breaks_the_promise_and_this_test_would_see_it():
    random = np.random.default_rng(14)
    population = POPULATIONS["calibrated"]
    broken = sum(
        population.true_error(naive_threshold(*population.sample(2_000, random))) > MAX_ERROR
        for _ in range(500)
    )
    assert broken / 500 > 2 * ALLOWED
