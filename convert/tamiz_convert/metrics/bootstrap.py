"""How far a metric could be from what other rows of the same kind would show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tamiz_convert.metrics.summary import METRICS
from tamiz_convert.metrics.top_label import Array, Classes, Metric


@dataclass(frozen=True)
class Interval:
    """A metric on the rows at hand, with its bootstrap interval.

    A metric that few rows push upwards, such as a calibration error, is pushed again in every resample: its interval can
    lie above its value.
    """

    value: float
    low: float
    high: float


def bootstrap(
    probabilities: Array,
    y: Classes,
    metrics: Mapping[str, Metric] = METRICS,
    *,
    level: float = 0.95,
    n_resamples: int = 200,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return percentile intervals (Efron 1979), all metrics on the same resamples.

    Args:
        probabilities: (n_rows, n_classes), float64.
        y: (n_rows,), int64. Rows are drawn one by one: of rows that belong together the intervals are too narrow.
        metrics: name → function of (probabilities, y).
        level: the share of resamples within the interval, between 0 and 1.
        n_resamples: how many times the rows are drawn, with replacement.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    drawn = np.empty((n_resamples, len(metrics)))
    for resample in drawn:
        rows = random.integers(0, len(y), len(y))
        resampled, labels = probabilities[rows], y[rows]
        resample[:] = [metric(resampled, labels) for metric in metrics.values()]
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0).tolist()
    return {
        name: Interval(metric(probabilities, y), low[k], high[k])
        for k, (name, metric) in enumerate(metrics.items())
    }
