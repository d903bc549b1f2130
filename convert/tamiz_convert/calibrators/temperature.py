"""`temperature`: one parameter, and the order of rows and classes stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from tamiz_convert.calibrators.calibrator import Array, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_guard, append_logits
from tamiz_convert.calibrators.scores import finite_rows, logits
from tamiz_convert.graph_builder import GraphBuilder
from tamiz_convert.score_graph import SCORES, ScoresKind

_LOG_BETA_BOUNDS: Final = (-10.0, 10.0)


@dataclass(frozen=True)
class Temperature:
    """`temperature`: softmax(beta z) with beta = 1 / T (Guo et al. 2017).

    z are the scores; for two classes (−s, s); of probabilities the logarithms.

    Attributes:
        beta: the inverse temperature.
        kind: what the scores are.
    """

    beta: float
    kind: ScoresKind
    method: ClassVar[str] = "temperature"
    needs_probabilities: ClassVar[bool] = False

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind) -> Temperature:
        """See `Calibrator.fit`."""
        z = logits(scores, kind)
        rows = np.arange(len(y))

        def log_loss(log_beta: float) -> float:
            return float(-log_softmax(np.exp(log_beta) * z, axis=1)[rows, y].mean())

        tolerance = 64 * np.finfo(np.float64).eps
        found = minimize_scalar(
            log_loss, bounds=_LOG_BETA_BOUNDS, method="bounded", options={"xatol": tolerance}
        )
        return cls(float(np.exp(found.x)), kind)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Array], kind: ScoresKind) -> Temperature:
        """See `Calibrator.from_parameters`."""
        return cls(float(parameters["beta"][0]), kind)

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        return [("beta", [self.beta])]

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        return np.asarray(softmax(self.beta * logits(finite_rows(scores), self.kind), axis=1))

    def append(self, builder: GraphBuilder, n_scores: int) -> str:
        """Logits ─► Mul(beta) ─► Softmax; two scores are made of one by Mul([−beta, beta])."""
        if (
            self.kind != "probabilities" and n_scores == 1
        ):  # both columns are NaN where the score is not finite
            beta = builder.constant([-self.beta, self.beta])
            return builder.add("Softmax", builder.add("Mul", SCORES, beta), axis=1)
        scaled = builder.add("Mul", append_logits(builder, self.kind, n_scores), builder.constant(self.beta))
        return append_guard(builder, builder.add("Softmax", scaled, axis=1))
