"""Bins of probabilities.

A value on an edge belongs to the bin below it (Guo et al. 2017); the first bin also holds 0. A value within
1e-12 of an edge lies on it. Otherwise 1 − 5/15 and 10/15 would be in different bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.top_label import Array

_ON_EDGE: Final = 1e-12
"""A forest of 15 trees gives fifteenths, and in float64 1 − 5/15 is not 10/15."""

Binning = Callable[[Array, int, Array | None], Array]
"""(values, n_bins, weights) → the upper edges of the bins, ascending; the last is 1."""


@dataclass(frozen=True)
class Bins:
    """Sums over the rows of each bin; some bins may have no rows.

    Attributes:
        counts: (n_bins,), float64, the number of rows, or the sum of their weights.
        predicted: (n_bins,), the sum of their probabilities.
        observed: (n_bins,), how often the predicted event happened.
    """

    counts: Array
    predicted: Array
    observed: Array

    def gaps(self) -> Array:
        """Return (n_bins,), mean observed − mean predicted; 0 for an empty bin."""
        return (self.observed - self.predicted) / self.divisors()

    def divisors(self) -> Array:
        """Return (n_bins,), the counts; 1 for an empty bin."""
        return np.where(self.counts > 0.0, self.counts, 1.0)


def equal_width(
    values: Array,  # noqa: ARG001  every binning gets the same
    n_bins: int,
    weights: Array | None = None,  # noqa: ARG001
) -> Array:
    """Return the upper edges of bins of equal width over [0, 1]."""
    return np.arange(1, n_bins + 1) / n_bins


def equal_mass(values: Array, n_bins: int, weights: Array | None = None) -> Array:
    """Return the upper edges of bins that hold equally many values; if values repeat, there are fewer bins.

    Edges lie halfway between neighbors (as in Kumar, Liang & Ma's code, 2019). Equal values share a bin.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    through = np.cumsum(np.ones(len(values)) if weights is None else weights[order])
    parts = min(n_bins, max(1, int(through[-1])))
    size, rest = divmod(through[-1], parts)
    number = np.arange(1, parts)
    ends = number * size + np.minimum(number, rest)
    last = np.searchsorted(through, ends)
    first = np.minimum(np.searchsorted(through, ends, side="right"), len(values) - 1)
    return np.unique(np.append((ordered[last] + ordered[first]) / 2.0, 1.0))


def bin_numbers(values: Array, upper_edges: Array) -> NDArray[np.int64]:
    """Return the number of each value's bin, in the shape of the values."""
    return np.searchsorted(upper_edges[:-1] + _ON_EDGE, values)


def binned(
    values: Array, observed: NDArray[np.bool_], upper_edges: Array, weights: Array | None = None
) -> Bins:
    """Sort (n_rows,) probabilities, and whether the predicted event happened, into bins."""
    return sums(bin_numbers(values, upper_edges), values, observed, len(upper_edges), weights)


def sums(
    numbers: NDArray[np.int64],
    values: Array,
    observed: NDArray[np.bool_],
    n_bins: int,
    weights: Array | None = None,
) -> Bins:
    """Add up what is in each bin, each value as often as its weight says."""
    times = np.ones(len(values)) if weights is None else weights
    return Bins(
        totals(numbers, times, n_bins),
        totals(numbers, times * values, n_bins),
        totals(numbers, times * observed, n_bins),
    )


def totals(numbers: NDArray[np.int64], values: NDArray[Any], n_bins: int = 0) -> Array:
    """Return (n_bins,), float64, the sum of the values of each bin number."""
    return np.bincount(numbers, values, n_bins).astype(np.float64)
