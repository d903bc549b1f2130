"""The reliability diagram, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.binomial import interval
from tamiz_convert.metrics.bins import Binning, bin_numbers, binned, equal_width, totals
from tamiz_convert.metrics.top_label import Array, Classes, confidence_of, correct_of


@dataclass(frozen=True)
class ReliabilityDiagram:
    """Accuracy against confidence, bin by bin; NaN in a bin without rows.

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
    weights: Array | None = None,
    level: float = 0.95,
) -> ReliabilityDiagram:
    """Return the reliability diagram of the confidence, with intervals at `level`.

    The intervals are exact without weights. With weights a bin counts as the number of rows that its weights
    are worth (Kish 1965).
    """
    confidence = confidence_of(probabilities)
    upper = binning(confidence, n_bins, weights)
    bins = binned(confidence, correct_of(probabilities, y), upper, weights)
    rows = np.where(bins.counts > 0, bins.counts, np.nan)
    worth = np.ones(len(rows)) if weights is None else _worth(confidence, upper, weights)
    counts, hits = bins.counts * worth, bins.observed * worth
    low, high = np.array(
        [
            interval(k, n, 1.0 - level) if n else (math.nan, math.nan)
            for k, n in zip(hits.tolist(), counts.tolist(), strict=True)
        ]
    ).T
    return ReliabilityDiagram(
        edges=np.concatenate([[0.0], upper]),
        n_rows=np.bincount(bin_numbers(confidence, upper), minlength=len(rows)),
        mean_confidence=bins.predicted / rows,
        accuracy=bins.observed / rows,
        low=low,
        high=high,
    )


def _worth(confidence: Array, upper_edges: Array, weights: Array) -> Array:
    """Return (n_bins,), the rows that each bin is worth per unit of weight: Σw / Σw²; 1 without rows."""
    numbers = bin_numbers(confidence, upper_edges)
    squares = totals(numbers, weights**2, len(upper_edges))
    sums = totals(numbers, weights, len(upper_edges))
    return np.where(squares > 0.0, sums / np.where(squares > 0.0, squares, 1.0), 1.0)
