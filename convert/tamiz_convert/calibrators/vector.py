"""`vector`: a slope and an offset per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_guard, append_logits
from tamiz_convert.calibrators.scores import finite_rows, logits
from tamiz_convert.calibrators.softmax_regression import RIDGE, softmax_regression
from tamiz_convert.calibrators.temperature import Temperature
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind


@dataclass(frozen=True)
class Vector(Calibrator):
    """`vector`: softmax(w z + b), with one w and one b per class.

    Vector scaling, Guo et al. (2017), section 4.2. z is the same as for `temperature`. With two classes this
    is a sigmoid of the score without Platt's targets or, for probabilities, `beta` without its bounds.

    Attributes:
        w, b: (n_classes,), float64.
        kind: what the scores are.
    """

    w: Array
    b: Array
    kind: ScoresKind
    method: ClassVar[str] = "vector"
    candidacy: ClassVar[Candidacy] = Candidacy(for_more_classes=True)

    @classmethod
    def fit(cls, scores: Array, y: ClassIndices, kind: ScoresKind) -> Vector:
        """See `Calibrator.fit`. It starts from `temperature`, so the scale of the scores does not matter."""
        beta = Temperature.fit(scores, y, kind).beta
        z = beta * logits(scores, kind)
        start = np.repeat([1.0, 0.0], z.shape[1])
        w, b = np.split(softmax_regression(_Scaling(z), y, start, np.full_like(start, RIDGE)), 2)
        return cls(beta * w, b, kind)

    def predict(self, scores: Array) -> Array:
        """See `Calibrator.predict`."""
        z = logits(finite_rows(scores), self.kind)
        return np.asarray(softmax(z * self.w + self.b, axis=1))

    def append(self, builder: GraphBuilder, n_scores: int) -> str:
        """Logits ─► Mul(w) ─► Add(b) ─► Softmax."""
        z = append_logits(builder, self.kind, n_scores)
        scaled = builder.add("Mul", z, builder.constant(self.w))
        linear = builder.add("Add", scaled, builder.constant(self.b))
        return append_guard(builder, builder.add("Softmax", linear, axis=1))


@dataclass(frozen=True)
class _Scaling:
    """(w, b) → w z + b; see `softmax_regression.LinearMap`."""

    features: Array

    def z(self, parameters: Array) -> Array:
        w, b = np.split(parameters, 2)
        return np.asarray(self.features * w + b)

    def transposed(self, residuals: Array) -> Array:
        return np.concatenate([(residuals * self.features).sum(axis=0), residuals.sum(axis=0)])
