"""How well the confidence ranks rows. The gate depends on it.

A threshold accepts all rows of one confidence or none. So everything here is computed from the counts at each
distinct confidence, and the order of rows does not matter. Rows of one confidence form a block; each of them
counts with the mean error of the block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from tamiz_convert.metrics.top_label import Array, Classes, confidence_of, correct_of, nan_with_nan

Times = NDArray[Any]
"""How often each row counts: int64 numbers of draws, or float64 weights."""


@dataclass(frozen=True)
class RiskCoverageCurve:
    """What each threshold would accept, the strictest first.

    Attributes:
        thresholds: (n_points,), float64, the distinct confidences, descending.
        coverage: (n_points,), the share of rows that is accepted.
        risk: (n_points,), the selective risk: the share of errors among accepted rows.
    """

    thresholds: Array
    coverage: Array
    risk: Array


@dataclass(frozen=True)
class Ranked:
    """Rows ranked once, so that a resample only needs how often each row counts.

    Attributes:
        order: (n_ranked,), int64, the rows by confidence, the highest first.
        starts: (n_blocks,), int64, where each distinct confidence starts in that order.
        wrong: (n_ranked,), whether each row's predicted class is wrong, in that order.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    wrong: NDArray[np.bool_]

    @classmethod
    def of(cls, confidence: Array, wrong: NDArray[np.bool_], rows: NDArray[np.int64] | None = None) -> Ranked:
        """Rank rows.

        Args:
            confidence: (n_rows,), float64.
            wrong: (n_rows,), whether each row's predicted class is wrong.
            rows: (n_ranked,), the rows to rank; None for all.
        """
        which = np.arange(len(confidence)) if rows is None else rows
        order = which[np.argsort(-confidence[which])]
        return cls(order, np.flatnonzero(np.diff(confidence[order], prepend=np.inf)), wrong[order])

    def counts(self, times: Times) -> tuple[Times, Array]:
        """Return rows and errors of every block, both (n_blocks,), each row counted `times` times."""
        ordered = times[self.order]
        errors = np.add.reduceat(ordered * self.wrong, self.starts)
        return np.add.reduceat(ordered, self.starts), errors.astype(np.float64)

    def aurc(self, times: Times) -> float:
        """Return the area under the risk-coverage curve, each row counted `times` times; NaN without rows."""
        n_rows, n_errors = self.counts(times)
        return area(n_rows, n_errors) if n_rows.any() else math.nan


@nan_with_nan
def aurc(probabilities: Array, y: Classes, *, weights: Array | None = None) -> float:
    """Return the area under the risk-coverage curve (Geifman, Uziel & El-Yaniv 2019).

    It is the mean over i of the error among the i most confident rows.
    """
    _, rows, errors = _blocks(probabilities, y, weights)
    return area(rows, errors)


@nan_with_nan
def e_aurc(probabilities: Array, y: Classes, *, weights: Array | None = None) -> float:
    """Return the area minus the area of the best ranking, which puts all errors last; 0 is best.

    It is exact for the number of errors, unlike the approximation of Geifman, Uziel & El-Yaniv (2019).
    """
    _, rows, errors = _blocks(probabilities, y, weights)
    n_rows, n_errors = rows.sum(), errors.sum().astype(rows.dtype)
    best = area(np.array([n_rows - n_errors, n_errors]), np.array([0.0, n_errors]))
    return area(rows, errors) - best


@nan_with_nan
def augrc(probabilities: Array, y: Classes, *, weights: Array | None = None) -> float:
    """Return the mean over i of the errors among the i most confident rows as a share of all rows.

    This is the area under the generalized risk-coverage curve (Traub et al. 2024). Unlike `aurc`, it does not
    give extra weight to errors at the top of the ranking, where there are few rows.
    """
    _, rows, errors = _blocks(probabilities, y, weights)
    return generalized_area(rows, errors)


def risk_coverage_curve(probabilities: Array, y: Classes) -> RiskCoverageCurve:
    """Return coverage and selective risk at every threshold that makes a difference."""
    thresholds, rows, errors = _blocks(probabilities, y, None)
    accepted = np.cumsum(rows)
    return RiskCoverageCurve(thresholds, accepted / len(y), np.cumsum(errors) / accepted)


def area(rows: Times, errors: Array) -> float:
    """Return the area under the risk-coverage curve from counts at each distinct confidence, highest first.

    Let N rows and E errors come before a block of m rows and e errors. The risks within the block are
    (E + j e/m) / (N + j), j = 1 … m. They sum to e + (E − N e/m) (H(N + m) − H(N)), with harmonic numbers H.

    Args:
        rows: (n_blocks,), numbers of rows, or weights: the harmonic numbers are then those of real numbers,
            H(x) = digamma(x + 1) + Euler's constant. A block may be empty.
        errors: (n_blocks,), float64.
    """
    through = np.append(np.zeros(1, rows.dtype), np.cumsum(rows))
    before = through[:-1]
    errors_before = np.cumsum(errors) - errors
    rate = errors / np.where(rows > 0, rows, 1)
    risks = errors + (errors_before - rate * before) * np.diff(_harmonic(through))
    return float(risks.sum() / through[-1])


def generalized_area(rows: Times, errors: Array) -> float:
    """Return what `augrc` returns, from counts at each distinct confidence, like `area`."""
    before = np.cumsum(errors) - errors
    return float((rows * before + errors * (rows + 1) / 2.0).sum() / float(rows.sum()) ** 2)


def _harmonic(n: Times) -> Array:
    """Return the harmonic numbers of ascending numbers."""
    if n.dtype.kind == "i":
        return np.asarray(_harmonic_numbers(int(n[-1]))[n])
    return np.asarray(digamma(n + 1.0) + np.euler_gamma)


@lru_cache(maxsize=4)
def _harmonic_numbers(n: int) -> Array:
    """Return H(0) … H(n). They are cached, because every resample of n rows uses the same ones."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, n + 1))])


def _blocks(probabilities: Array, y: Classes, weights: Array | None) -> tuple[Array, Times, Array]:
    """Return the distinct confidences, descending, with the rows and the errors at each."""
    confidence = confidence_of(probabilities)
    ranked = Ranked.of(confidence, ~correct_of(probabilities, y))
    times = np.ones(len(y), dtype=np.int64) if weights is None else weights
    return confidence[ranked.order[ranked.starts]], *ranked.counts(times)
