"""`sigmoid-logit`: Platt's sigmoid of the logit of probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.one_vs_rest import one_vs_rest, sigmoids
from tamiz_convert.calibrators.score_nodes import (
    append_binary,
    append_guard,
    append_log,
    append_log_complements,
    append_probabilities,
)
from tamiz_convert.calibrators.scores import finite_rows, log_complements, log_probabilities, probabilities
from tamiz_convert.calibrators.sigmoid import Sigmoid, append_platt, platt
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind


@dataclass(frozen=True)
class SigmoidLogit(Calibrator):
    """`sigmoid-logit`: 1 / (1 + exp(a z + b)), where z = log(p / (1 − p)).

    It can be the identity (a = −1 and b = 0); `sigmoid` of probabilities cannot. Scores that are not
    probabilities are treated as in `sigmoid`.

    Attributes:
        a, b: (n_scores,), float64.
        kind: what the scores are.
    """

    a: Array
    b: Array
    kind: ScoresKind
    method: ClassVar[str] = "sigmoid-logit"
    candidacy: ClassVar[Candidacy] = Candidacy(minor_rows=15, repeats="sigmoid")
    is_formula: ClassVar[bool] = True

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind, weights: Array) -> SigmoidLogit:
        """See `Calibrator.fit`."""
        return cls(*platt(_logit(scores, kind), y, weights), kind)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        return one_vs_rest(sigmoids(-(_logit(finite_rows(scores), self.kind) * self.a + self.b)))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Probabilities ─► Log ─► sigmoid; other scores as in `Sigmoid.append`."""
        if self.kind != "probabilities":
            return Sigmoid(self.a, self.b).append_stated(builder, n_scores)
        own = append_probabilities(builder, self.kind, n_scores)
        logs = append_log(builder, own)
        if n_scores == 1:
            weights = np.concatenate([self.a, -self.a])
            return append_guard(builder, append_binary(builder, logs, weights, -float(self.b[0])))
        logit = builder.add("Sub", logs, append_log_complements(builder, own))
        return append_guard(builder, append_platt(builder, logit, self.a, self.b))


def _logit(scores: Array, kind: ScoresKind) -> Array:
    """Return log(p / (1 − p)) if scores are probabilities; return other scores as they are."""
    if kind != "probabilities":
        return scores
    logs = log_probabilities(scores, kind)
    if scores.shape[1] == 1:
        return logs[:, 1:] - logs[:, :1]
    return np.asarray(logs - log_complements(probabilities(scores, kind)))
