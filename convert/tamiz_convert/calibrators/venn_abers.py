"""`venn-abers`: isotonic regression that includes the row to predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.columns import named
from tamiz_convert.calibrators.one_vs_rest import append_one_vs_rest, one_vs_rest, targets
from tamiz_convert.calibrators.score_nodes import append_guard
from tamiz_convert.calibrators.scores import finite_rows
from tamiz_convert.calibrators.search import append_look_up, append_search
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind

_TIE: Final = 1e-6
"""Scores that differ by less than this share of their range count as equal.

Each score has its own step, and a row must not fall off that step because its score differs in the last
digits of float32. The price: probabilities that are closer than this to 0, or to 1, lose their order.
"""

_Counts = NDArray[Any]
"""Whole numbers, or weights."""
_Point = tuple[float, float]


@dataclass(frozen=True)
class VennAbers(Calibrator):
    """`venn-abers`: p = p₁ / (1 − p₀ + p₁), the inductive Venn-Abers predictor (Vovk, Petej & Fedorova 2015).

    Add the row to the calibration rows, labeled as not of the class and then as of the class: isotonic
    regression gives it p₀ and p₁. One of the two is perfectly calibrated. Both are step functions of the
    score. More classes: one-vs-rest, renormalized.

    Attributes:
        x: per score, where the steps end, ascending; a score on an end belongs to the lower step.
        p0, p1: per score, the value on each step, one more than there are ends.
    """

    x: tuple[Array, ...]
    p0: tuple[Array, ...]
    p1: tuple[Array, ...]
    method: ClassVar[str] = "venn-abers"
    # At most 20,000 rows, because the table in the graph grows with them.
    candidacy: ClassVar[Candidacy] = Candidacy(minor_rows=10, most_rows=20_000, most_scores=1_000_000)
    tolerance: ClassVar[float] = 1e-4

    @classmethod
    def fit(
        cls,
        scores: Array,
        y: ClassIndices,
        kind: ScoresKind,  # noqa: ARG003  any scores do
        weights: Array,
    ) -> VennAbers:
        """See `Calibrator.fit`. The row that is added has the weight 1."""
        is_whole = bool((weights == weights.round()).all())  # whole numbers keep the comparisons exact
        counts = weights.astype(np.int64) if is_whole else weights
        fitted = [_steps(scores[:, k], target > 0.0, counts) for k, target in enumerate(targets(scores, y))]
        x, p0, p1 = zip(*fitted, strict=True)
        return cls(x, p0, p1)

    def parameters(self) -> list[tuple[str, list[float]]]:
        """See `Calibrator.parameters`."""
        return named(x=self.x, p0=self.p0, p1=self.p1)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        scores = finite_rows(scores)
        columns = [table[np.searchsorted(x, scores[:, k])] for k, (x, table) in enumerate(self._merged())]
        return one_vs_rest(np.where(np.isnan(scores), np.nan, np.stack(columns, axis=1)))

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Scores ─► number of the step ─► Gather(p) ─► one-vs-rest."""
        step = append_search(builder, self.x)
        columns = append_look_up(builder, [table for _, table in self._merged()], step)
        return append_guard(builder, append_one_vs_rest(builder, columns, n_scores))

    def _merged(self) -> list[tuple[Array, Array]]:
        """Return per score the ends of the steps, and p on each step; p is above 0 because p₁ is."""
        return [(x, p1 / (1.0 - p0 + p1)) for x, p0, p1 in zip(self.x, self.p0, self.p1, strict=True)]


def _steps(score: Array, is_positive: NDArray[np.bool_], counts: _Counts) -> tuple[Array, Array, Array]:
    """Return the ends of the steps, and p₀ and p₁ on each.

    A place is where calibration rows with equal scores stand. Each place is a step, and so is each gap
    between two places. In a gap, p₀ comes from the place below and p₁ from the place above.
    """
    distinct, row = np.unique(score, return_inverse=True)
    reach = _TIE * (distinct[-1] - distinct[0])
    is_first = _is_first_of_place(distinct, reach)
    place = (np.cumsum(is_first) - 1)[row]
    weights = np.bincount(place, counts).astype(counts.dtype)
    positive = np.bincount(place, counts * is_positive).astype(counts.dtype)
    p1 = _with_a_positive(weights, positive)
    p0 = 1.0 - _with_a_positive(weights[::-1], (weights - positive)[::-1])[::-1]
    number = np.arange(len(weights))
    p0 = p0[np.append(np.column_stack([number, number + 1]), len(weights))]
    p1 = p1[np.append(np.column_stack([number, number]), len(weights))]
    is_end = (np.diff(p0) != 0) | (np.diff(p1) != 0)
    starts = np.append(True, is_end)
    ends = _ends(distinct[is_first], distinct[np.append(is_first[1:], True)], reach)
    return ends[is_end], p0[starts], p1[starts]


def _is_first_of_place(distinct: Array, reach: float) -> NDArray[np.bool_]:
    """Return which scores begin a place: more than `reach` above the first score of the place before."""
    is_first, limit = [], -np.inf
    for score in distinct.tolist():
        is_first.append(score > limit)
        if is_first[-1]:
            limit = score + reach
    return np.array(is_first)


def _ends(first: Array, last: Array, reach: float) -> Array:
    """Return where each place starts and ends on the axis of scores, (2 · n_places,), ascending.

    A place extends `reach` beyond its first and last score, but at most halfway to the next place.
    """
    just_below = np.nextafter(first, -np.inf)
    middle = np.minimum(last[:-1] + (first[1:] - last[:-1]) / 2.0, just_below[1:])
    starts = np.minimum(np.maximum(first - reach, np.append(-np.inf, middle)), just_below)
    ends = np.minimum(last + reach, np.append(middle, np.inf))
    return np.column_stack([starts, ends]).ravel()


def _with_a_positive(weights: _Counts, positive: _Counts) -> Array:
    """Return what isotonic regression gives a positive row that is added at each place.

    Algorithms 1 and 2 of Vovk, Petej & Fedorova (2015): the slope of the greatest convex minorant of the
    cumulative sums, at that row. All places together take linear time.

    Args:
        weights: (n_places,), how many rows stand at each place, in ascending order of their scores.
        positive: (n_places,), how many of them are positive.

    Returns:
        (n_places + 1,), float64, ascending; the last is for a row above all others.
    """
    points = [(-1, -1), (0, 0), *zip(np.cumsum(weights).tolist(), np.cumsum(positive).tolist(), strict=True)]
    corners = _corners(points)
    slopes = []
    for i in range(2, len(points)):
        (x, y), (next_x, next_y) = corners[-1], corners[-2]
        slopes.append((next_y - y) / (next_x - x))
        before, here, after = points[i - 2], points[i - 1], points[i]
        moved = points[i - 1] = (before[0] + after[0] - here[0], before[1] + after[1] - here[1])
        if _turns_left(corners[-1], corners[-2], moved) or i == len(points) - 1:
            continue
        corners.pop()
        while len(corners) > 1 and not _turns_left(moved, corners[-1], corners[-2]):
            corners.pop()
        corners.append(moved)
    return np.array([*slopes, 1.0])


def _corners(points: list[_Point]) -> list[_Point]:
    """Return the corners of the greatest convex minorant, from right to left."""
    corners: list[_Point] = []
    for point in points:
        while len(corners) > 1 and not _turns_left(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return corners[::-1]


def _turns_left(a: _Point, b: _Point, c: _Point) -> bool:
    """Return whether c lies above the line from a to b. It is exact for whole numbers."""
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
