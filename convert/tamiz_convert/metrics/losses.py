"""Accuracy, and the two proper scores: log loss and Brier score."""

from __future__ import annotations

from typing import Final

import numpy as np

from tamiz_convert.metrics.top_label import Array, Classes, correct_of, mean, nan_with_nan, one_hot

_LOG_FLOOR: Final = 1e-15


@nan_with_nan
def accuracy(probabilities: Array, y: Classes, *, weights: Array | None = None) -> float:
    """Return the share of rows whose most probable class (the first if tied) is right."""
    return mean(correct_of(probabilities, y), weights)


@nan_with_nan
def log_loss(probabilities: Array, y: Classes, *, weights: Array | None = None) -> float:
    """Return the mean of −ln p(right class), with p at least 1e-15."""
    return mean(log_losses(probabilities, y), weights)


def log_losses(probabilities: Array, y: Classes) -> Array:
    """Return (n_rows,), float64, the log loss of each row."""
    right = probabilities[np.arange(len(y)), y]
    return np.asarray(-np.log(np.maximum(right, _LOG_FLOOR)))


@nan_with_nan
def brier(probabilities: Array, y: Classes, *, weights: Array | None = None) -> float:
    """Return the mean over rows of the sum over classes of (p − 1{right})², from 0 to 2."""
    return mean(brier_losses(probabilities, y), weights)


def brier_losses(probabilities: Array, y: Classes) -> Array:
    """Return (n_rows,), float64, the Brier score of each row."""
    return np.asarray(((probabilities - one_hot(probabilities, y)) ** 2).sum(axis=1))
