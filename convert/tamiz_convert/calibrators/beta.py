"""`beta`: three parameters per class; one setting of them is the identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

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
from tamiz_convert.calibrators.score_nodes import (
    append_binary,
    append_guard,
    append_log,
    append_log_complements,
    append_probabilities,
)
from tamiz_convert.calibrators.scores import finite_rows, log_complements, log_probabilities, probabilities
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind

_RIDGE: Final = 1e-11
"""Keeps the parameters finite where the scores separate the classes. The authors' package has C = 1e11."""


@dataclass(frozen=True)
class Beta(Calibrator):
    """`beta`: logit q = a log p − b log(1 − p) + c, with a and b at least 0.

    Kull, Silva Filho & Flach (2017), section 4. p is the estimator's own probability; a = b = 1 and c = 0
    leave it as it is. More classes: one-vs-rest, renormalized.

    Attributes:
        a, b, c: (n_scores,), float64.
        kind: what the scores are; logits or probabilities.
    """

    a: Array
    b: Array
    c: Array
    kind: ScoresKind
    method: ClassVar[str] = "beta"
    needs_probabilities: ClassVar[bool] = True
    candidacy: ClassVar[Candidacy] = Candidacy(minor_rows=50)

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind) -> Beta:
        """See `Calibrator.fit`."""
        logs, complements = _logs(scores, kind)
        fitted = [_abc(logs[:, k], complements[:, k], target) for k, target in enumerate(targets(scores, y))]
        a, b, c = np.transpose(fitted)
        return cls(a, b, c, kind)

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        logs, complements = _logs(finite_rows(scores), self.kind)
        return one_vs_rest(sigmoids(self.a * logs - self.b * complements + self.c))

    def append(self, builder: GraphBuilder, n_scores: int) -> str:
        """Probabilities ─► Log, Log(1 − p) ─► a log p − b log(1 − p) + c ─► sigmoid ─► one-vs-rest."""
        own = append_probabilities(builder, self.kind, n_scores)
        logs = append_log(builder, own)
        if n_scores == 1:
            weights = np.concatenate([-self.b, self.a])
            return append_guard(builder, append_binary(builder, logs, weights, float(self.c[0])))
        scaled = builder.add("Mul", logs, builder.constant(self.a))
        complements = builder.add("Mul", append_log_complements(builder, own), builder.constant(self.b))
        linear = builder.add("Add", builder.add("Sub", scaled, complements), builder.constant(self.c))
        columns = append_sigmoids(builder, linear)
        return append_guard(builder, append_one_vs_rest(builder, columns, n_scores))


def _logs(scores: Array, kind: ScoresKind) -> tuple[Array, Array]:
    """Return log p and log(1 − p) of each score's class, both (n_rows, n_scores)."""
    logs = log_probabilities(scores, kind)
    if scores.shape[1] == 1:
        return logs[:, 1:], logs[:, :1]
    return logs, log_complements(probabilities(scores, kind))


def _abc(log: Array, complement: Array, target: Array) -> tuple[float, float, float]:
    """Return the (a, b, c) with the least log loss, where a and b are at least 0.

    The loss is convex. So if the unconstrained optimum has a negative coefficient, the constrained one lies
    on an edge: a = 0, b = 0 or both.
    """
    features = np.column_stack([log, -complement, np.ones_like(log)])

    def fitted(free: list[int]) -> Array:
        w = np.zeros(3)
        w[free] = logistic_regression(features[:, free], target, ridge=_RIDGE)
        return w

    def loss(w: Array) -> float:
        linear = features @ w
        return float((np.logaddexp(0.0, linear) - target * linear).sum())

    w = fitted([0, 1, 2])
    if w.min(initial=0.0, where=[True, True, False]) < 0.0:
        edges = [fitted(free) for free in ([1, 2], [0, 2], [2])]
        w = min((each for each in edges if each[0] >= 0.0 and each[1] >= 0.0), key=loss)
    return float(w[0]), float(w[1]), float(w[2])
