"""Binned calibration errors, of the confidence and of each class.

On few rows all but `debiased_l2` are too high: compare them with `if_calibrated` before you judge them.
"""

from __future__ import annotations

import numpy as np

from tamiz_convert.metrics.bins import Binning, Bins, bin_numbers, binned, equal_mass, equal_width, sums
from tamiz_convert.metrics.top_label import Array, Classes, confidence_of, correct_of, nan_with_nan, one_hot


@nan_with_nan
def ece(probabilities: Array, y: Classes, n_bins: int = 15, *, weights: Array | None = None) -> float:
    """Return the expected calibration error: Σ (rows in bin / rows) |accuracy − mean confidence|.

    The bins are of equal width over [0, 1]; a confidence on an edge belongs to the bin below it (Guo et al.
    2017).
    """
    return _mean_gap(_of_confidence(probabilities, y, n_bins, equal_width, weights))


@nan_with_nan
def ece_equal_mass(
    probabilities: Array, y: Classes, n_bins: int = 15, *, weights: Array | None = None
) -> float:
    """Return the same as `ece`, over bins that hold equally many rows.

    This is not netcal's ACE, which averages the gaps of bins of equal width without weights.
    """
    return _mean_gap(_of_confidence(probabilities, y, n_bins, equal_mass, weights))


@nan_with_nan
def mce(probabilities: Array, y: Classes, n_bins: int = 15, *, weights: Array | None = None) -> float:
    """Return the largest gap between accuracy and mean confidence in a bin (Naeini et al. 2015)."""
    return float(np.abs(_of_confidence(probabilities, y, n_bins, equal_width, weights).gaps()).max())


@nan_with_nan
def debiased_l2(probabilities: Array, y: Classes, n_bins: int = 15, *, weights: Array | None = None) -> float:
    """Return √Σ (rows in bin / rows) (gap² − a (1 − a) / (rows in bin − 1)), at least 0; a is the accuracy.

    The subtracted part is what chance in the labels adds to gap², so the square is unbiased (Kumar, Liang &
    Ma 2019). Bins hold equally many rows; a bin of one row counts 0.
    """
    bins = _of_confidence(probabilities, y, n_bins, equal_mass, weights)
    accuracy = bins.observed / bins.divisors()
    several = bins.counts > 1.0
    by_chance = accuracy * (1.0 - accuracy) / np.where(several, bins.counts - 1.0, 1.0)
    squares = np.where(several, bins.gaps() ** 2 - by_chance, 0.0)
    return float(np.sqrt(max(0.0, (bins.counts * squares).sum() / bins.counts.sum())))


@nan_with_nan
def classwise_ece(
    probabilities: Array, y: Classes, n_bins: int = 15, *, weights: Array | None = None
) -> float:
    """Return the mean over classes of the calibration error of that class's probability (Kull et al. 2019).

    The bins are those of `ece`.
    """
    n_classes = probabilities.shape[1]
    inner = bin_numbers(probabilities, equal_width(probabilities, n_bins))
    numbers = inner + n_bins * np.arange(n_classes)
    hits = one_hot(probabilities, y)
    times = None if weights is None else np.repeat(weights, n_classes)
    bins = sums(numbers.ravel(), probabilities.ravel(), hits.ravel(), n_bins * n_classes, times)
    return _mean_gap(bins)


def _of_confidence(
    probabilities: Array, y: Classes, n_bins: int, binning: Binning, weights: Array | None
) -> Bins:
    confidence = confidence_of(probabilities)
    upper = binning(confidence, n_bins, weights)
    return binned(confidence, correct_of(probabilities, y), upper, weights)


def _mean_gap(bins: Bins) -> float:
    return float(np.abs(bins.observed - bins.predicted).sum() / bins.counts.sum())
