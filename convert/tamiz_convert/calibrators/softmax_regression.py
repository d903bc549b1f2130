"""Softmax regression: the least log loss, found by a trust-region method with exact derivatives."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from tamiz_convert.calibrators.calibrator import Array, ClassIndices

RIDGE: Final = 1e-9
"""A penalty too small to matter. It keeps free parameters finite if the scores separate the classes."""

_GRADIENT_TOLERANCE: Final = 1e-8
_FIRST_RADIUS: Final = 10.0
_LARGEST_RADIUS: Final = 1e6


class LinearMap(Protocol):
    """Parameters → z, the logits; linear in the parameters."""

    def z(self, parameters: Array) -> Array:
        """Return z, (n_rows, n_classes), of parameters, (n_parameters,)."""

    def transposed(self, residuals: Array) -> Array:
        """Return the gradient of sum(z · residuals) with respect to the parameters, (n_parameters,)."""


def softmax_regression(linear: LinearMap, y: ClassIndices, start: Array, penalty: Array) -> Array:
    """Return the parameters that minimize mean log loss + sum(penalty / 2 · (parameters − start)²).

    The loss is convex. Newton's steps come from conjugate gradients, which only need products with the
    Hessian.

    Args:
        linear: computes z of the rows to fit.
        y: (n_rows,), the index of each row's class.
        start: (n_parameters,), where to begin, and where the penalty is 0.
        penalty: (n_parameters,), at least 0.
    """
    loss = _Loss(linear, y, start, penalty)
    found = minimize(
        loss.value,
        start,
        jac=loss.gradient,
        hessp=loss.hessian_product,
        method="trust-ncg",
        options={
            "gtol": _GRADIENT_TOLERANCE,
            "initial_trust_radius": _FIRST_RADIUS,
            "max_trust_radius": _LARGEST_RADIUS,
        },
    )
    return np.asarray(found.x)


class _Loss:
    """The penalized loss and its derivatives; the probabilities at a point are computed once."""

    def __init__(self, linear: LinearMap, y: ClassIndices, start: Array, penalty: Array) -> None:
        self._linear = linear
        self._truth = (np.arange(linear.z(start).shape[1]) == y[:, None]).astype(np.float64)
        self._start = start
        self._penalty = penalty
        self._w = np.full_like(start, np.nan)
        self._move_to(start)

    def value(self, w: Array) -> float:
        self._move_to(w)
        log_loss = -(self._truth * self._log_p).sum() / len(self._truth)
        return float(log_loss + (self._penalty * (w - self._start) ** 2).sum() / 2.0)

    def gradient(self, w: Array) -> Array:
        self._move_to(w)
        residuals = (self._p - self._truth) / len(self._truth)
        return np.asarray(self._linear.transposed(residuals) + self._penalty * (w - self._start))

    def hessian_product(self, w: Array, direction: Array) -> Array:
        self._move_to(w)
        moved = self._p * self._linear.z(direction)
        moved -= self._p * moved.sum(axis=1, keepdims=True)
        return np.asarray(self._linear.transposed(moved) / len(moved) + self._penalty * direction)

    def _move_to(self, w: Array) -> None:
        if np.array_equal(w, self._w):
            return
        self._w = w.copy()
        self._log_p = log_softmax(self._linear.z(w), axis=1)
        self._p = np.exp(self._log_p)
