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
"""Keeps the parameters finite where a column is constant. The authors' package has C = 1e11."""


@dataclass(frozen=True)
class Beta(Calibrator):
    """`beta`: logit q = a log p − b log(1 − p) + c, with a and b at least 0.

    Kull, Silva Filho & Flach (2017), section 4. p is the estimator's own probability; a = b = 1 and c = 0
    leave it as it is. The targets are 1 / (n + 2) away from 0 and 1, for n rows: with those of the paper, the
    parameters have no limit where the scores separate the classes. More classes: one-vs-rest, renormalized.

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
    candidacy: ClassVar[Candidacy] = Candidacy(minor_rows=15)
    is_formula: ClassVar[bool] = True

    def remarks(self) -> tuple[str, ...]:
        """Return a remark if the least log loss has an a or b below 0."""
        n_bounded = int(((self.a == 0.0) | (self.b == 0.0)).sum())
        if not n_bounded:
            return ()
        remark = (
            f"beta reached its bound, a slope of 0, for {n_bounded} of {len(self.a)} score(s): the best fit"
            " would let a class become less likely where its score rises"
        )
        return (remark,)

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind, weights: Array) -> Beta:
        """See `Calibrator.fit`."""
        logs, complements = _logs(scores, kind)
        # Not Platt's targets, which also count the rows of the class: of ten classes with ten rows each, they
        # take all certainty.
        wrong = 1.0 / (weights.sum() + 2.0)
        fitted = [
            _abc(logs[:, k], complements[:, k], np.clip(target, wrong, 1.0 - wrong), weights)
            for k, target in enumerate(targets(scores, y))
        ]
        a, b, c = np.transpose(fitted)
        return cls(a, b, c, kind)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        logs, complements = _logs(finite_rows(scores), self.kind)
        return one_vs_rest(sigmoids(self.a * logs - self.b * complements + self.c))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
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


def _abc(log: Array, complement: Array, target: Array, weights: Array) -> tuple[float, float, float]:
    """Return the (a, b, c) with the least log loss, where a and b are at least 0.

    The loss is convex. So if the unconstrained optimum has a negative coefficient, the constrained one lies
    on an edge: a = 0, b = 0 or both.
    """
    features = np.column_stack([log, -complement, np.ones_like(log)])

    def fitted(free: list[int]) -> Array:
        w = np.zeros(3)
        w[free] = logistic_regression(features[:, free], target, weights, ridge=_RIDGE)
        return w

    def loss(w: Array) -> float:
        linear = features @ w
        return float(weights @ (np.logaddexp(0.0, linear) - target * linear))

    w = fitted([0, 1, 2])
    if w.min(initial=0.0, where=[True, True, False]) < 0.0:
        edges = [fitted(free) for free in ([1, 2], [0, 2], [2])]
        w = min((each for each in edges if each[0] >= 0.0 and each[1] >= 0.0), key=loss)
    return float(w[0]), float(w[1]), float(w[2])
