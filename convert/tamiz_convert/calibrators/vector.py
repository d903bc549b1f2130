"""`vector`: a slope and an offset per class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from scipy.special import softmax

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_guard, append_logits
from tamiz_convert.calibrators.scores import finite_rows, logits
from tamiz_convert.calibrators.softmax_regression import RIDGE, smoothed_targets, softmax_regression
from tamiz_convert.calibrators.temperature import inverse_temperature
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind

_LEAST: Final = 1e-12
"""The least determinant of a class's Hessian, as a share of the product of its diagonal."""


@dataclass(frozen=True)
class Vector(Calibrator):
    """`vector`: softmax(w z + b), with one w and one b per class.

    Vector scaling, Guo et al. (2017), section 4.2. z is the same as for `temperature`. With two classes this
    is a sigmoid of the score or, for probabilities, `beta` without its bounds. The targets are smoothed; see
    `smoothed_targets`.

    Attributes:
        w, b: (n_classes,), float64.
        kind: what the scores are.
    """

    w: Array
    b: Array
    kind: ScoresKind
    method: ClassVar[str] = "vector"
    candidacy: ClassVar[Candidacy] = Candidacy(for_more_classes=True)
    is_formula: ClassVar[bool] = True

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind, weights: Array) -> Vector:
        """See `Calibrator.fit`. It starts from `temperature`, so the scale of the scores does not matter."""
        own = logits(scores, kind)
        beta, _ = inverse_temperature(own, y, weights)
        w, b = fit_scaling(beta * own, smoothed_targets(y, own.shape[1], weights.sum()), weights)
        return cls(beta * w, b, kind)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        z = logits(finite_rows(scores), self.kind)
        return np.asarray(softmax(z * self.w + self.b, axis=1))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Logits ─► Mul(w) ─► Add(b) ─► Softmax."""
        z = append_logits(builder, self.kind, n_scores)
        scaled = builder.add("Mul", z, builder.constant(self.w))
        linear = builder.add("Add", scaled, builder.constant(self.b))
        return append_guard(builder, builder.add("Softmax", linear, axis=1))


def fit_scaling(z: Array, targets: Array, weights: Array) -> tuple[Array, Array]:
    """Return the (w, b) of softmax(w z + b) with the least log loss.

    Args:
        z: (n_rows, n_classes), float64.
        targets: (n_rows, n_classes), rows sum to 1.
        weights: (n_rows,), how often each row counts.
    """
    start = np.repeat([1.0, 0.0], z.shape[1])
    w, b = np.split(softmax_regression(_Scaling(z), targets, weights, start, np.full_like(start, RIDGE)), 2)
    return w, b


@dataclass(frozen=True)
class _Scaling:
    """(w, b) → w z + b; see `softmax_regression.LinearMap`."""

    features: Array

    def z(self, parameters: Array) -> Array:
        w, b = np.split(parameters, 2)
        return np.asarray(self.features * w + b)

    def transposed(self, residuals: Array) -> Array:
        return np.concatenate([np.einsum("nk,nk->k", residuals, self.features), residuals.sum(axis=0)])

    def solver(self, curvature: Array, penalty: Array) -> Callable[[Array], Array]:
        """A class has a Hessian of two by two."""
        moved = curvature * self.features
        ww, bb = np.split(penalty, 2)
        ww = ww + np.einsum("nk,nk->k", moved, self.features)
        wb, bb = moved.sum(axis=0), bb + curvature.sum(axis=0)
        scale = np.maximum(ww * bb - wb**2, _LEAST * ww * bb)

        def solve(gradient: Array) -> Array:
            of_w, of_b = np.split(gradient, 2)
            solved = np.concatenate([bb * of_w - wb * of_b, ww * of_b - wb * of_w])
            return np.asarray(solved / np.tile(scale, 2))

        return solve
