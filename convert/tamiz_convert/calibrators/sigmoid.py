"""`sigmoid`: Platt's sigmoid of the scores as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.logistic import logistic_regression
from tamiz_convert.calibrators.one_vs_rest import (
    append_one_vs_rest,
    append_sigmoids,
    one_vs_rest,
    sigmoids,
    targets,
)
from tamiz_convert.calibrators.score_nodes import append_binary, append_guard
from tamiz_convert.calibrators.scores import finite_rows
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, ScoresKind


@dataclass(frozen=True)
class Sigmoid(Calibrator):
    """`sigmoid`: p = 1 / (1 + exp(a s + b)) (Platt 1999, with his targets). More classes: one-vs-rest.

    Attributes:
        a, b: (n_scores,), float64.
    """

    a: Array
    b: Array
    method: ClassVar[str] = "sigmoid"
    candidacy: ClassVar[Candidacy] = Candidacy(minor_rows=15)
    is_formula: ClassVar[bool] = True

    @classmethod
    def fit(
        cls,
        scores: Array,
        y: ClassIndices,
        kind: ScoresKind,  # noqa: ARG003  any scores do
        weights: Array,
    ) -> Sigmoid:
        """See `Calibrator.fit`."""
        return cls(*platt(scores, y, weights))

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        return one_vs_rest(sigmoids(-(finite_rows(scores) * self.a + self.b)))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Two classes: scores ─► Gemm ─► Softmax. More: scores ─► sigmoid of each ─► one-vs-rest."""
        if n_scores == 1:
            return append_binary(builder, SCORES, -self.a, -float(self.b[0]))
        return append_guard(builder, append_platt(builder, SCORES, self.a, self.b))


def platt(scores: Array, y: ClassIndices, weights: Array) -> tuple[Array, Array]:
    """Return Platt's (a, b) of each column of scores."""
    ones = np.ones(len(scores))
    fitted = [
        -logistic_regression(np.column_stack([scores[:, k], ones]), _smoothed(target, weights), weights)
        for k, target in enumerate(targets(scores, y))
    ]
    a, b = np.transpose(fitted)
    return a, b


def _smoothed(target: Array, weights: Array) -> Array:
    """Return Platt's targets (1999), (n_rows,): (N₊ + 1) / (N₊ + 2) instead of 1, 1 / (N₋ + 2) instead of 0.

    They leave room for one error among the rows of each side. So a fit stays finite where scores separate the
    classes.

    Args:
        target: (n_rows,), 0 or 1.
        weights: (n_rows,), how often each row counts.
    """
    n_positive = weights @ target
    n_negative = weights.sum() - n_positive
    return np.where(target > 0.0, (n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n_negative + 2.0))


def append_platt(builder: GraphBuilder, scores: str, a: Array, b: Array) -> str:
    """Scores [n, k] ─► Mul(−a) ─► Sub(b) ─► sigmoid of each ─► one-vs-rest."""
    scaled = builder.add("Mul", scores, builder.constant(-a))
    linear = builder.add("Sub", scaled, builder.constant(b))
    return append_one_vs_rest(builder, append_sigmoids(builder, linear), len(a))
