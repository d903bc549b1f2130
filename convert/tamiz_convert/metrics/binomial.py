"""Exact binomial tests and bounds for a share of rows."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import beta, binom

_EXACT_ROWS: Final = 2_000
_MAX_ROWS_TOLD: Final = 1_000_000

Counts = NDArray[np.int64] | NDArray[np.float64] | int | float
"""Whole numbers, or the effective counts of `clustered`."""


def p_values(n_errors: Counts, n_rows: Counts, max_error: float) -> NDArray[np.float64]:
    """Return the p-values of the exact test of an error above `max_error`: P(Binomial(n, max_error) <= k).

    Args:
        n_errors: how many rows are wrong; a count, not a rate.
        n_rows: how many rows there are; without rows the p-value is 1.
        max_error: the error to refute.
    """
    n, k = np.asarray(n_rows, np.float64), np.asarray(n_errors, np.float64)
    # The incomplete beta function is the binomial distribution, and needs no whole numbers.
    return np.where(n > k, betainc(np.maximum(n - k, 1e-300), k + 1.0, 1.0 - max_error), 1.0)


def upper_bound(n_errors: float, n_rows: float, delta: float) -> float:
    """Return the one-sided Clopper-Pearson bound (1934); the error is below it with probability 1 − delta.

    Args:
        n_errors: how many rows are wrong.
        n_rows: how many rows there are.
        delta: the probability that the bound fails.
    """
    if n_errors >= n_rows:
        return 1.0
    return float(beta.ppf(1.0 - delta, n_errors + 1, n_rows - n_errors))


def lower_bound(n_hits: float, n_rows: float, delta: float) -> float:
    """Return the one-sided lower Clopper-Pearson bound, which fails with probability `delta`."""
    return 1.0 - upper_bound(n_rows - n_hits, n_rows, delta)


def interval(n_hits: float, n_rows: float, delta: float) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval that fails with probability `delta`; n_rows is not 0."""
    return lower_bound(n_hits, n_rows, delta / 2.0), upper_bound(n_hits, n_rows, delta / 2.0)


def fewest_rows(max_error: float, delta: float) -> int:
    """Return how many rows without an error prove `max_error`: the smallest n: (1 − max_error)ⁿ <= delta."""
    return math.ceil(math.log(delta) / math.log1p(-max_error))


def most_errors(n_rows: Counts, max_error: float, delta: float) -> NDArray[np.int64]:
    """Return with how many errors so many rows still prove `max_error`; −1 if they prove it with none."""
    least_above = np.asarray(binom.ppf(delta, n_rows, max_error))  # the smallest k: P(Binomial <= k) >= delta
    is_proven = np.asarray(binom.cdf(least_above, n_rows, max_error)) <= delta
    return np.where(is_proven, least_above, least_above - 1).astype(np.int64)


def rows_needed(error: float, max_error: float, delta: float, *, more_than: int = 0) -> int:
    """Return how many accepted rows prove `max_error` if a share `error` of them is wrong.

    Args:
        error: the share that is wrong, below `max_error`.
        max_error: the error to prove.
        delta: the probability that the proof fails.
        more_than: a number of rows that does not prove it.

    Returns:
        The smallest n with P(Binomial(n, max_error) <= floor(n error)) <= delta, at most a million. Above a
        few thousand it is accurate to one percent.
    """
    low = max(more_than + 1, fewest_rows(max_error, delta))
    if error == 0.0:
        return low
    # floor makes steps, so the p-value does not fall with every n: try every n at first, then fewer.
    exact: NDArray[Any] = np.arange(low, low + _EXACT_ROWS)
    n = np.concatenate([exact, np.geomspace(exact[-1], _MAX_ROWS_TOLD, _EXACT_ROWS).round()])
    proven = p_values(np.floor(n * error), n, max_error) <= delta
    return int(n[np.argmax(proven)]) if proven.any() else _MAX_ROWS_TOLD
