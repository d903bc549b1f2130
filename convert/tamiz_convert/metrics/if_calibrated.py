"""What a metric would be if the model were perfectly calibrated.

On few rows a calibration error is never 0: on 200 rows, a perfect model has an ECE of several hundredths
with 15 bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.calibration_error import ece
from tamiz_convert.metrics.top_label import Array, Classes, Metric


@dataclass(frozen=True)
class IfCalibrated:
    """The mean and the 95 % quantile of a metric over labels drawn from the probabilities."""

    mean: float
    quantile_95: float


def if_calibrated(
    probabilities: Array,
    metric: Metric = ece,
    *,
    weights: Array | None = None,
    n_resamples: int = 200,
    seed: int = 0,
) -> IfCalibrated:
    """Draw labels from the probabilities many times, and compute the metric each time.

    This is the consistency resampling of Bröcker & Smith (2007), but the rows are not resampled.

    Args:
        probabilities: (n_rows, n_classes), float64.
        metric: function of (probabilities, y).
        weights: (n_rows,), how often the metric counts each row; None for once.
        n_resamples: how many times the labels are drawn.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    edges = np.cumsum(probabilities[:, :-1], axis=1)
    options = {} if weights is None else {"weights": weights}
    drawn = [metric(probabilities, _labels(edges, random), **options) for _ in range(n_resamples)]
    return IfCalibrated(float(np.mean(drawn)), float(np.quantile(drawn, 0.95)))


def _labels(edges: Array, random: np.random.Generator) -> Classes:
    """Return (n_rows,) classes: how many cumulative probabilities are at or below a uniform random number."""
    below: NDArray[np.bool_] = random.random((len(edges), 1)) >= edges
    return np.asarray(below.sum(axis=1, dtype=np.int64))
