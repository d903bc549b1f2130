"""Softmax regression: least log loss by a trust region with exact derivatives."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from tamiz_convert.calibrators.calibrator import Array, ClassIndices

RIDGE: Final = 1e-9
"""A penalty too small to be seen, for parameters that are free: keeps them finite where the scores separate the classes."""

_GRADIENT_TOLERANCE: Final = 1e-9


class LinearMap(Protocol):
    """Parameters → z, linear in the parameters: what softmax makes probabilities of."""

    def z(self, parameters: Array) -> Array:
        """Return z, (n_rows, n_classes), of parameters, (n_parameters,)."""

    def transposed(self, residuals: Array) -> Array:
        """Return the gradient by the parameters, (n_parameters,), of sum(z · residuals)."""


def softmax_regression(linear: LinearMap, y: ClassIndices, start: Array, penalty: Array) -> Array:
    """Return the parameters of least mean log loss + sum(penalty / 2 · (parameters − start)²), (n_parameters,).

    The loss is convex; Newton's steps come from conjugate gradients, which need only products with the Hessian.

    Args:
        linear: what makes z of parameters, for the rows to fit to.
        y: (n_rows,), the index of each row's class.
        start: (n_parameters,), where to begin, and where the penalty is 0.
        penalty: (n_parameters,), at least 0.
    """
    rows = np.arange(len(y))
    truth = np.zeros_like(linear.z(start))
    truth[rows, y] = 1.0

    def loss(w: Array) -> float:
        log_p = log_softmax(linear.z(w), axis=1)
        return float(-log_p[rows, y].mean() + (penalty * (w - start) ** 2).sum() / 2.0)

    def gradient(w: Array) -> Array:
        p = softmax(linear.z(w), axis=1)
        return linear.transposed(p - truth) / len(y) + penalty * (w - start)

    def hessian_product(w: Array, direction: Array) -> Array:
        p = softmax(linear.z(w), axis=1)
        moved = p * linear.z(direction)
        moved -= p * moved.sum(axis=1, keepdims=True)
        return linear.transposed(moved) / len(y) + penalty * direction

    found = minimize(
        loss,
        start,
        jac=gradient,
        hessp=hessian_product,
        method="trust-ncg",
        options={"gtol": _GRADIENT_TOLERANCE},
    )
    return np.asarray(found.x)
