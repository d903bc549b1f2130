"""How good probabilities are: accuracy, log loss, Brier score, calibration error, and ranking by confidence."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]

_LOG_FLOOR: Final = 1e-15


def accuracy(probabilities: Array, y: Classes) -> float:
    """Return the share of rows whose most probable class (the first of equals) is right.

    Args:
        probabilities: (n_rows, n_classes), float64; likewise below.
        y: (n_rows,), the index of each row's class; likewise below.
    """
    return float((probabilities.argmax(axis=1) == y).mean())


def log_loss(probabilities: Array, y: Classes) -> float:
    """Return the mean of −ln p(right class), with p at least 1e-15."""
    right = probabilities[np.arange(len(y)), y]
    return float(-np.log(np.maximum(right, _LOG_FLOOR)).mean())


def brier(probabilities: Array, y: Classes) -> float:
    """Return the mean over rows of the sum over classes of (p − 1{right})², from 0 to 2."""
    hit = np.arange(probabilities.shape[1]) == y[:, None]
    return float(((probabilities - hit) ** 2).sum(axis=1).mean())


def ece(probabilities: Array, y: Classes, n_bins: int = 15) -> float:
    """Return the expected calibration error of the confidence: Σ (rows in bin / rows) |accuracy − mean confidence|.

    The bins are of equal width over [0, 1]; a confidence on an edge belongs to the bin below it (Guo et al. 2017).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(y))


def aurc(probabilities: Array, y: Classes) -> float:
    """Return the area under the risk-coverage curve: the mean over i of the error among the i most confident rows.

    Rows of equal confidence share the mean of their errors, so that their order does not matter.
    """
    confidence = probabilities.max(axis=1)
    wrong = (probabilities.argmax(axis=1) != y).astype(np.float64)
    _, block, size = np.unique(-confidence, return_inverse=True, return_counts=True)
    shared = np.bincount(block, weights=wrong) / size
    errors = shared[np.sort(block)]
    return float((np.cumsum(errors) / np.arange(1, len(errors) + 1)).mean())


def summarize(probabilities: Array, y: Classes) -> list[tuple[str, float]]:
    """Return all metrics by name, in a fixed order."""
    named = {"accuracy": accuracy, "log_loss": log_loss, "brier": brier, "ece_15": ece, "aurc": aurc}
    return [(name, metric(probabilities, y)) for name, metric in named.items()]
