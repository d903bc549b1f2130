"""Softmax regression: the least log loss, by Newton's method with preconditioned conjugate gradients.

A step solves Hessian · step = gradient, as far as it helps (Nocedal & Wright 2006, section 7.1). That takes
only products with the Hessian. The preconditioner is the Hessian without what couples the classes. It is what
keeps a thousand classes fast: their Hessian is nearly block-diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from scipy.special import log_softmax

from tamiz_convert.calibrators.calibrator import Array, ClassIndices

RIDGE: Final = 1e-9
"""A penalty too small to matter. It keeps free parameters finite where a class has constant scores."""

_STEPS: Final = 100
_PRODUCTS: Final = 200
"""The most products with the Hessian in a step; a step that is not exact is a step all the same."""
_GRADIENT_TOLERANCE: Final = 1e-8
_ROUNDING: Final = 1e-14
_SHORTEST: Final = 1e-10
_SUFFICIENT: Final = 1e-4


class LinearMap(Protocol):
    """Parameters → z, the logits; linear in the parameters."""

    def z(self, parameters: Array) -> Array:
        """Return z, (n_rows, n_classes), of parameters, (n_parameters,)."""

    def transposed(self, residuals: Array) -> Array:
        """Return the gradient of sum(z · residuals) with respect to the parameters, (n_parameters,)."""

    def solver(self, curvature: Array, penalty: Array) -> Callable[[Array], Array]:
        """Return a function that divides a gradient by the Hessian, without what couples the classes.

        Args:
            curvature: (n_rows, n_classes), the second derivative of the loss by each z.
            penalty: (n_parameters,).
        """


def smoothed_targets(y: ClassIndices, n_classes: int, support: float) -> Array:
    """Return the targets of the probabilities, (n_rows, n_classes): 1 − 1 / (support + 2) if right.

    The other classes share the rest. Like Platt's (1999), they leave room for one error in all rows, so a fit
    stays finite where the scores separate the classes.
    """
    wrong = 1.0 / (support + 2.0)
    targets = np.full((len(y), n_classes), wrong / (n_classes - 1))
    targets[np.arange(len(y)), y] = 1.0 - wrong
    return targets


def softmax_regression(
    linear: LinearMap, targets: Array, weights: Array, start: Array, penalty: Array
) -> Array:
    """Return the parameters that minimize mean log loss + sum(penalty / 2 · (parameters − start)²).

    Args:
        linear: computes z of the rows to fit.
        targets: (n_rows, n_classes), the probabilities to reach; rows sum to 1.
        weights: (n_rows,), how often each row counts.
        start: (n_parameters,), where to begin, and where the penalty is 0.
        penalty: (n_parameters,), at least 0.
    """
    share = (weights / weights.sum())[:, None]

    def loss(w: Array, log_p: Array) -> float:
        return float((penalty * (w - start) ** 2).sum() / 2.0 - (share * targets * log_p).sum())

    w, log_p = start, log_softmax(linear.z(start), axis=1)
    reached = loss(w, log_p)
    for _ in range(_STEPS):
        p = np.exp(log_p)
        gradient = linear.transposed(share * (p - targets)) + penalty * (w - start)
        if np.abs(gradient).max() <= _GRADIENT_TOLERANCE:
            break
        step = _newton_step(linear, p, share, penalty, gradient)
        slope, length = float(gradient @ step), 1.0
        while length > _SHORTEST:
            moved = w - length * step
            log_p = log_softmax(linear.z(moved), axis=1)
            now = loss(moved, log_p)
            if now <= reached - _SUFFICIENT * length * slope + _ROUNDING * abs(reached):
                break
            length /= 2.0
        else:
            break
        w, reached = moved, now
    return w


def _newton_step(linear: LinearMap, p: Array, share: Array, penalty: Array, gradient: Array) -> Array:
    """Return about the inverse of the Hessian times the gradient; the closer, the smaller the gradient."""
    weighted = share * p
    solve = linear.solver(weighted * (1.0 - p), penalty)

    def product(direction: Array) -> Array:
        z = linear.z(direction)
        z -= np.einsum("nk,nk->n", p, z)[:, None]
        z *= weighted
        return linear.transposed(z) + penalty * direction

    step, left = np.zeros_like(gradient), gradient.copy()
    size = np.linalg.norm(gradient)
    enough = size * min(0.1, np.sqrt(size))
    solved = solve(left)
    direction, energy = solved, float(left @ solved)
    for _ in range(_PRODUCTS):
        moved = product(direction)
        curvature = float(direction @ moved)
        if curvature <= 0.0:
            break
        step += energy / curvature * direction
        left -= energy / curvature * moved
        if np.linalg.norm(left) <= enough:
            break
        solved = solve(left)
        energy, before = float(left @ solved), energy
        direction = solved + energy / before * direction
    return step if step.any() else solved
