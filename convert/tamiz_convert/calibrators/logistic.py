"""Logistic regression of few features, by Newton's method (Lin, Lin & Weng 2007).

It reaches the same loss as scikit-learn's L-BFGS, to the last digits, and needs no step size.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import expit

from tamiz_convert.calibrators.calibrator import Array

_STEPS: Final = 100
_TOLERANCE: Final = 1e-12


def logistic_regression(features: Array, target: Array, weights: Array, *, ridge: float = 0.0) -> Array:
    """Return the weights of p = 1 / (1 + exp(−features @ weights)) with the least log loss.

    Args:
        features: (n_rows, n_features), float64, finite; a column of ones makes an intercept.
        target: (n_rows,), float64, from 0 to 1.
        weights: (n_rows,), float64, how often each row counts.
        ridge: adds ridge / 2 · ‖weights‖² to the summed log loss.

    Returns:
        (n_features,), float64; the shortest solution if features are linearly dependent.
    """
    scale = np.maximum(1.0, np.abs(features).max(axis=0))
    z, penalty = features / scale, ridge / scale / scale
    w = np.zeros(features.shape[1])

    def loss(w: Array) -> float:
        linear = z @ w
        return float(weights @ (np.logaddexp(0.0, linear) - target * linear) + (penalty * w**2).sum() / 2.0)

    current = loss(w)
    for _ in range(_STEPS):
        p = expit(z @ w)
        gradient = z.T @ (weights * (p - target)) + penalty * w
        hessian = (z * (weights * p * (1.0 - p))[:, None]).T @ z + np.diag(penalty)
        step = np.linalg.lstsq(hessian, gradient)[0]
        reached = loss(w - step)
        while reached > current and np.abs(step).max() > _TOLERANCE:
            step = step / 2.0
            reached = loss(w - step)
        w, current = w - step, reached
        if np.abs(step).max() <= _TOLERANCE * (1.0 + np.abs(w).max()):
            break
    return np.asarray(w / scale)
