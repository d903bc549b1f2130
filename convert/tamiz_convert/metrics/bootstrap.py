"""How far a metric on these rows may be from its value on other rows of the same kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.counted import counted
from tamiz_convert.metrics.resample import resamples
from tamiz_convert.metrics.summary import METRICS
from tamiz_convert.metrics.top_label import Array, Classes, Metric


@dataclass(frozen=True)
class Interval:
    """A metric on the rows at hand, with its bootstrap interval.

    Some metrics, such as a calibration error, are too high on few rows. Each resample raises them once more,
    so the interval can lie above the value.
    """

    value: float
    low: float
    high: float


def bootstrap(
    probabilities: Array,
    y: Classes,
    metrics: Mapping[str, Metric] = METRICS,
    *,
    groups: NDArray[Any] | None = None,
    weights: Array | None = None,
    level: float = 0.95,
    n_resamples: int = 200,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return percentile intervals (Efron 1979); all metrics use the same resamples.

    Args:
        probabilities: (n_rows, n_classes), float64.
        y: (n_rows,), int64.
        metrics: name → function of (probabilities, y).
        groups: (n_rows,), which rows belong together and are drawn together; None if none do.
        weights: (n_rows,), how often each row counts, each time that it is drawn; None for once.
        level: the share of resamples within the interval, between 0 and 1.
        n_resamples: how many times the rows are drawn, with replacement.
        seed: of the draws.
    """
    measures = [counted(metric, probabilities, y) for metric in metrics.values()]
    drawn = [
        [measure(times) for measure in measures]
        for times in resamples(len(y), n_resamples, seed, groups, weights)
    ]
    options = {} if weights is None else {"weights": weights}
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0).tolist()
    return {
        name: Interval(metric(probabilities, y, **options), low[k], high[k])
        for k, (name, metric) in enumerate(metrics.items())
    }
