"""`isotonic`: piecewise linear, ascending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.isotonic import IsotonicRegression

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.columns import named
from tamiz_convert.calibrators.one_vs_rest import append_one_vs_rest, one_vs_rest, targets
from tamiz_convert.calibrators.score_nodes import append_guard
from tamiz_convert.calibrators.scores import finite_rows
from tamiz_convert.calibrators.search import append_look_up, append_search
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, ScoresKind


@dataclass(frozen=True)
class Isotonic(Calibrator):
    """`isotonic`: piecewise linear through knots, and constant beyond them.

    More classes: one-vs-rest, renormalized. The values stay within [1/(n+2), 1 − 1/(n+2)], where n is the
    number of calibration rows. A step without an error does not prove certainty, and one wrong row at
    probability 0 would make the log loss infinite.

    Attributes:
        x, y: per score, the knots, ascending, and the probabilities there.
    """

    x: tuple[Array, ...]
    y: tuple[Array, ...]
    method: ClassVar[str] = "isotonic"
    candidacy: ClassVar[Candidacy] = Candidacy(minor_rows=300)  # worse than nothing on few rows
    tolerance: ClassVar[float] = 1e-4

    @classmethod
    def fit(
        cls,
        scores: Array,
        y: ClassIndices,
        kind: ScoresKind,  # noqa: ARG003  any scores do
        weights: Array,
    ) -> Isotonic:
        """See `Calibrator.fit`."""
        floor = 1.0 / (weights.sum() + 2.0)
        knots, values = [], []
        for k, target in enumerate(targets(scores, y)):
            fitted = IsotonicRegression(out_of_bounds="clip").fit(scores[:, k], target, weights)
            knots.append(np.asarray(fitted.X_thresholds_, dtype=np.float64))
            values.append(np.clip(np.asarray(fitted.y_thresholds_, dtype=np.float64), floor, 1.0 - floor))
        return cls(tuple(knots), tuple(values))

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        return named(x=self.x, y=self.y)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        scores = finite_rows(scores)
        columns = [np.interp(scores[:, k], self.x[k], self.y[k]) for k in range(len(self.x))]
        return one_vs_rest(np.stack(columns, axis=1))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Scores ─► number of the segment ─► y + rise · Clip((score − x) / width, 0, 1) ─► one-vs-rest."""
        segment = append_search(builder, [x[1:-1] for x in self.x])
        start, width, value, rise = (
            append_look_up(builder, tables, segment)
            for tables in zip(*map(_segments, self.x, self.y), strict=True)
        )
        share = builder.add("Div", builder.add("Sub", SCORES, start), width)
        clipped = builder.add("Clip", share, builder.constant(0.0), builder.constant(1.0))
        columns = builder.add("Add", value, builder.add("Mul", rise, clipped))
        return append_guard(builder, append_one_vs_rest(builder, columns, n_scores))


def _segments(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """Return each segment's start, width, value at the start, and rise. One knot makes a flat segment."""
    if len(x) == 1:
        return x, np.ones(1), y, np.zeros(1)
    return x[:-1], np.diff(x), y[:-1], np.diff(y)
