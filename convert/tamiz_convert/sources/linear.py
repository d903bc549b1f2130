"""Fold a scaler into the linear model behind it: there are fewer nodes, and a single row takes less time."""

from __future__ import annotations

import copy
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

_LINEAR: Final = (LogisticRegression, LinearSVC)
_FARTHEST_MEAN: Final = 1e6
"""In standard deviations from 0. Beyond it, (w / σ) · x and w · μ / σ would cancel too many digits."""


def with_scaler_folded(steps: list[Any], final: Any) -> tuple[list[Any], Any]:
    """Return the steps without a last StandardScaler, and the linear model with the scaler folded in.

        w · (x − μ) / σ + b = (w / σ) · x + (b − w · μ / σ)

    Args:
        steps: fitted preprocessing steps.
        final: a fitted classifier. If it is not linear, steps and classifier are returned as they are.
    """
    if not steps or type(steps[-1]) is not StandardScaler or type(final) not in _LINEAR:
        return steps, final
    scaler, coefficients = steps[-1], np.asarray(final.coef_, dtype=np.float64)
    scale = np.ones(coefficients.shape[1]) if scaler.scale_ is None else np.asarray(scaler.scale_)
    mean = np.zeros(coefficients.shape[1]) if not scaler.with_mean else np.asarray(scaler.mean_)
    if np.abs(mean / scale).max() > _FARTHEST_MEAN:
        return steps, final
    folded = copy.copy(final)
    folded.coef_ = coefficients / scale
    folded.intercept_ = np.asarray(final.intercept_, dtype=np.float64) - folded.coef_ @ mean
    return steps[:-1], folded
