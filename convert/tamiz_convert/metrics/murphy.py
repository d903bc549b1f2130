"""The parts of the Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.bins import Binning, bin_numbers, equal_width, sums
from tamiz_convert.metrics.top_label import Array, Classes, one_hot


@dataclass(frozen=True)
class Murphy:
    """The parts of the Brier score, each a sum over classes.

    Attributes:
        reliability: how far the probabilities in a bin are from the observed share there; 0 is best.
        resolution: how much the observed shares differ between bins; more is better.
        uncertainty: of the labels themselves; no model changes it.
        within_bin_variance: how much the probabilities vary within a bin.
        within_bin_covariance: how well they predict the outcomes within a bin.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bin_variance: float
    within_bin_covariance: float

    @property
    def brier(self) -> float:
        """The Brier score; the sum is exact."""
        within = self.within_bin_variance - 2.0 * self.within_bin_covariance
        return self.reliability - self.resolution + self.uncertainty + within


def murphy(probabilities: Array, y: Classes, n_bins: int = 15, binning: Binning = equal_width) -> Murphy:
    """Return Murphy's decomposition of the Brier score (1973), made exact by two terms within bins.

    Those terms are from Stephenson, Coelho & Jolliffe (2008). Each class's probability is binned separately.
    """
    hits = one_hot(probabilities, y)
    parts = [
        _of_class(probabilities[:, k], hits[:, k], binning(probabilities[:, k], n_bins))
        for k in range(probabilities.shape[1])
    ]
    return Murphy(*np.sum(parts, axis=0).tolist())


def _of_class(p: Array, hit: NDArray[np.bool_], upper_edges: Array) -> Array:
    """Return (5,), the parts in the order of `Murphy`'s attributes."""
    numbers = bin_numbers(p, upper_edges)
    bins = sums(numbers, p, hit, len(upper_edges))
    rows = np.maximum(bins.counts, 1.0)
    weights, rate = bins.counts / len(p), float(hit.mean())
    mean_p, mean_hit = bins.predicted / rows, bins.observed / rows
    off_p, off_hit = p - mean_p[numbers], hit - mean_hit[numbers]
    return np.array(
        [
            weights @ bins.gaps() ** 2,
            weights @ (mean_hit - rate) ** 2,
            rate * (1.0 - rate),
            (off_p**2).mean(),
            (off_p * off_hit).mean(),
        ]
    )
