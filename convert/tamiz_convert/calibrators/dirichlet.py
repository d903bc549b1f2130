"""`dirichlet`: each class's probability may depend on the probabilities of all classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from scipy.special import softmax

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_guard, append_log, append_probabilities
from tamiz_convert.calibrators.scores import finite_rows, log_probabilities
from tamiz_convert.calibrators.softmax_regression import RIDGE, smoothed_targets, softmax_regression
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind

OFF_DIAGONAL_SPREAD: Final = 0.1
INTERCEPT_SPREAD: Final = 1.0
"""How far weights off the diagonal, and intercepts, are expected to be from 0.

They are standard deviations of a normal prior. In the terms of ODIR, λ = k (k − 1) / (2 n · 0.1²) and
μ = k / (2 n), so the penalty fades as rows are added. Neither is tuned. On simulated scores of 3 and 10
classes with 200 to 5,000 rows, the log loss was within 0.02 of the best of λ = μ = 10⁻³ … 10. With 200 rows
of 10 classes it was lower than all of them.
"""


@dataclass(frozen=True)
class Dirichlet(Calibrator):
    """`dirichlet`: softmax(W log p + b) (Kull et al. 2019).

    Regularized as in the paper, off the diagonal and in the intercept (ODIR). p are the estimator's own
    probabilities; W = identity and b = 0 leave them as they are.

    Attributes:
        w: (n_classes, n_classes), float64.
        b: (n_classes,), float64.
        kind: what the scores are; logits or probabilities.
    """

    w: Array
    b: Array
    kind: ScoresKind
    method: ClassVar[str] = "dirichlet"
    needs_probabilities: ClassVar[bool] = True
    candidacy: ClassVar[Candidacy] = Candidacy(rows_per_squared_class=20, for_more_classes=True)
    is_formula: ClassVar[bool] = True

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind, weights: Array) -> Dirichlet:
        """See `Calibrator.fit`."""
        unit = np.eye(scores.shape[1] if scores.shape[1] > 1 else 2)
        support = weights.sum()
        off_diagonal = np.where(unit > 0.0, RIDGE, 1.0 / (OFF_DIAGONAL_SPREAD**2 * support))
        intercept = np.full(len(unit), 1.0 / (INTERCEPT_SPREAD**2 * support))
        targets = smoothed_targets(y, len(unit), support)
        w, b = fit_affine(log_probabilities(scores, kind), targets, weights, off_diagonal, intercept)
        return cls(w, b, kind)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        logs = log_probabilities(finite_rows(scores), self.kind)
        return np.asarray(softmax(logs @ self.w.T + self.b, axis=1))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Probabilities ─► Log ─► Gemm(Wᵀ, b) ─► Softmax."""
        logs = append_log(builder, append_probabilities(builder, self.kind, n_scores))
        linear = builder.add("Gemm", logs, builder.constant(self.w.T), builder.constant(self.b))
        return append_guard(builder, builder.add("Softmax", linear, axis=1))


def fit_affine(
    logs: Array, targets: Array, weights: Array, weight_penalty: Array, intercept_penalty: Array
) -> tuple[Array, Array]:
    """Return the W and b that minimize mean log loss + penalty / 2 · (squared distance from identity and 0).

    Args:
        logs: (n_rows, n_classes), float64.
        targets: (n_rows, n_classes), rows sum to 1.
        weights: (n_rows,), how often each row counts.
        weight_penalty: (n_classes, n_classes).
        intercept_penalty: (n_classes,).
    """
    k = logs.shape[1]
    start = np.column_stack([np.eye(k), np.zeros(k)])
    penalty = np.column_stack([weight_penalty, intercept_penalty])
    with_ones = np.column_stack([logs, np.ones(len(logs))])
    linear = _Affine(with_ones)
    found = softmax_regression(linear, targets, weights, start.ravel(), penalty.ravel()).reshape(k, k + 1)
    return found[:, :k], found[:, k]


@dataclass(frozen=True)
class _Affine:
    """(W | b) → W z + b; see `softmax_regression.LinearMap`."""

    features: Array

    def z(self, parameters: Array) -> Array:
        return np.asarray(self.features @ parameters.reshape(-1, self.features.shape[1]).T)

    def transposed(self, residuals: Array) -> Array:
        return np.asarray((residuals.T @ self.features).ravel())

    def solver(self, curvature: Array, penalty: Array) -> Callable[[Array], Array]:
        """Only the diagonal: the Hessian of a class has (n_classes + 1)² entries."""
        diagonal = (curvature.T @ self.features**2).ravel() + penalty
        return lambda gradient: gradient / diagonal
