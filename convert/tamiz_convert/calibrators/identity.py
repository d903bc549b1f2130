"""`none`: the estimator's own probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tamiz_convert.calibrators.calibrator import Array, Calibrator, Candidacy, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_guard, append_probabilities
from tamiz_convert.calibrators.scores import finite_rows, probabilities
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind


@dataclass(frozen=True)
class Identity(Calibrator):
    """`none`: the estimator's own probabilities.

    Attributes:
        kind: what the scores are; logits or probabilities.
    """

    kind: ScoresKind
    method: ClassVar[str] = "none"
    needs_probabilities: ClassVar[bool] = True
    needs_every_class: ClassVar[bool] = False
    candidacy: ClassVar[Candidacy] = Candidacy(on_few_rows=True, most_scores=None)

    @classmethod
    def fit(
        cls,
        scores: Array,  # noqa: ARG003  nothing is fitted
        y: ClassIndices,  # noqa: ARG003
        kind: ScoresKind,
        weights: Array,  # noqa: ARG003
    ) -> Identity:
        """See `Calibrator.fit`."""
        return cls(kind)

    def stated(self, scores: Array) -> Array:
        """See `Calibrator.stated`."""
        return probabilities(finite_rows(scores), self.kind)

    def append_stated(self, builder: GraphBuilder, n_scores: int) -> str:
        """Scores ─► Softmax | Clip."""
        own = append_probabilities(builder, self.kind, n_scores)
        # Softmax of one score makes both columns NaN by itself where the score is not finite.
        is_guarded = self.kind != "probabilities" and n_scores == 1
        return own if is_guarded else append_guard(builder, own)
