"""Scores as probabilities, and as their logarithms."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import expit, softmax

from tamiz_convert.calibrators.calibrator import Array
from tamiz_convert.graphs.score_graph import ScoresKind

LOG_FLOOR: Final = 1e-12
"""What is added to a probability before its logarithm is taken, as in scikit-learn."""

HALF: Final = 0.5


def finite_rows(scores: Array) -> Array:
    """Return the scores; a row with a NaN or an infinity becomes NaN, as `append_guard` does in the graph."""
    return np.where(np.isfinite(scores).all(axis=1, keepdims=True), scores, np.nan)


def probabilities(scores: Array, kind: ScoresKind) -> Array:
    """Return the estimator's own probabilities, (n_rows, n_classes); small ones keep full precision."""
    is_binary = scores.shape[1] == 1
    if kind == "probabilities":
        clipped = np.clip(scores, 0.0, 1.0)
        return both(clipped) if is_binary else clipped
    return np.concatenate([expit(-scores), expit(scores)], axis=1) if is_binary else softmax(scores, axis=1)


def log_probabilities(scores: Array, kind: ScoresKind) -> Array:
    """Return the logarithms of the estimator's own probabilities, (n_rows, n_classes)."""
    return np.log(probabilities(scores, kind) + LOG_FLOOR)


def log_complements(p: Array) -> Array:
    """Return log(1 − p), (n_rows, n_classes). For p above ½, 1 − p is computed as the sum of the others.

    The subtraction would cancel: an error in the last digit of p (say from a float32 model) would become an
    error in the second digit of the logarithm. The sum keeps its digits.
    """
    others = np.where(p > HALF, 0.0, p).sum(axis=1, keepdims=True)
    return np.log(np.where(p > HALF, others, 1.0 - p) + LOG_FLOOR)


def logits(scores: Array, kind: ScoresKind) -> Array:
    """Return logits for softmax, (n_rows, n_classes). A single score s gives (−s, s), as in scikit-learn."""
    if kind == "probabilities":
        return log_probabilities(scores, kind)
    return np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores


def both(positive: Array) -> Array:
    """Return the probabilities of both classes, given the probability of the second, (n_rows, 1)."""
    return np.concatenate([1.0 - positive, positive], axis=1)
