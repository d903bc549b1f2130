"""Metrics of rows that count several times, for a fast bootstrap.

A resample is a number of draws per row. Most metrics can use it without copying rows: a mean becomes a
weighted mean, and the risk-coverage curve sorts its rows only once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from tamiz_convert.metrics.losses import accuracy, brier, brier_losses, log_loss, log_losses
from tamiz_convert.metrics.ranking import Ranked, Times, area, augrc, aurc, generalized_area
from tamiz_convert.metrics.top_label import Array, Classes, Metric, confidence_of, correct_of

Counted = Callable[[Times], float]
"""(n_rows,), how often each row counts → the metric."""


def counted(metric: Metric, probabilities: Array, y: Classes) -> Counted:
    """Return the metric as a function of how often each row counts. Everything else is computed once.

    Args:
        metric: function of (probabilities, y).
        probabilities: (n_rows, n_classes), float64.
        y: (n_rows,), int64.
    """
    if np.isnan(probabilities).any():
        return lambda _times: math.nan
    fast = _FAST.get(metric)
    return _repeated(metric, probabilities, y) if fast is None else fast(probabilities, y)


def _repeated(metric: Metric, probabilities: Array, y: Classes) -> Counted:
    def measure(times: Times) -> float:
        if times.dtype.kind == "f":
            return metric(probabilities, y, weights=times)
        rows = np.repeat(np.arange(len(y)), times)
        return metric(probabilities[rows], y[rows])

    return measure


def _mean(values: Array) -> Counted:
    return lambda times: float(times @ values / times.sum())


def _ranked(measure: Callable[[Times, Array], float], probabilities: Array, y: Classes) -> Counted:
    """Return the measure of rows and errors at each distinct confidence, as a function of the draws."""
    ranked = Ranked.of(confidence_of(probabilities), ~correct_of(probabilities, y))
    return lambda times: measure(*ranked.counts(times))


_FAST: Final[Mapping[Metric, Callable[[Array, Classes], Counted]]] = {
    accuracy: lambda probabilities, y: _mean(correct_of(probabilities, y).astype(np.float64)),
    log_loss: lambda probabilities, y: _mean(log_losses(probabilities, y)),
    brier: lambda probabilities, y: _mean(brier_losses(probabilities, y)),
    aurc: lambda probabilities, y: _ranked(area, probabilities, y),
    augrc: lambda probabilities, y: _ranked(generalized_area, probabilities, y),
}
