"""The reliability diagram, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.binomial import lower_bound, upper_bound
from tamiz_convert.metrics.bins import Binning, binned, equal_width
from tamiz_convert.metrics.top_label import Array, Classes, confidence_of, correct_of


@dataclass(frozen=True)
class ReliabilityDiagram:
    """Accuracy against confidence, bin by bin; NaN where a bin has no rows.

    Attributes:
        edges: (n_bins + 1,), float64, from 0 to 1; a confidence on an edge belongs to the bin below it.
        n_rows: (n_bins,), int64.
        mean_confidence: (n_bins,), float64.
        accuracy: (n_bins,), float64.
        low, high: (n_bins,), float64, the two-sided Clopper-Pearson interval of the accuracy.
    """

    edges: Array
    n_rows: NDArray[np.int64]
    mean_confidence: Array
    accuracy: Array
    low: Array
    high: Array


def reliability_diagram(
    probabilities: Array,
    y: Classes,
    n_bins: int = 15,
    binning: Binning = equal_width,
    *,
    level: float = 0.95,
) -> ReliabilityDiagram:
    """Return the reliability diagram of the confidence, with exact intervals at `level`."""
    confidence = confidence_of(probabilities)
    upper = binning(confidence, n_bins)
    bins = binned(confidence, correct_of(probabilities, y), upper)
    rows = np.where(bins.counts > 0, bins.counts, np.nan)
    counts, hits = bins.counts.astype(np.int64), bins.observed.astype(np.int64)
    intervals = [_interval(k, n, 1.0 - level) for k, n in zip(hits.tolist(), counts.tolist(), strict=True)]
    low, high = np.array(intervals).T
    return ReliabilityDiagram(
        edges=np.concatenate([[0.0], upper]),
        n_rows=counts,
        mean_confidence=bins.predicted / rows,
        accuracy=bins.observed / rows,
        low=low,
        high=high,
    )


def _interval(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Return the exact two-sided interval of a share of k in n; NaN of none."""
    if n == 0:
        return math.nan, math.nan
    return lower_bound(k, n, alpha / 2.0), upper_bound(k, n, alpha / 2.0)
