"""Compare the graph with its model before it is written, on the held-out rows and on edge rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Parity, Threshold
from tamiz_convert.calibrators.calibrator import Calibrator
from tamiz_convert.calibrators.scores import both, finite_rows, probabilities
from tamiz_convert.graphs.runner import Array, Feed
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.pipeline.diagnosis import explanation
from tamiz_convert.pipeline.parity import check_probabilities, check_scores, check_subsets
from tamiz_convert.rows.edge import edge_rows
from tamiz_convert.rows.labeled import LabeledRows
from tamiz_convert.rows.raw import count, joined
from tamiz_convert.rows.slices import SliceColumn


@dataclass(frozen=True)
class Reference:
    """What the estimator says about the rows by which its graph is judged.

    Attributes:
        graph: the score graph, with its reference.
        rows: edge rows, then all held-out rows.
        n_edges: how many edge rows there are.
        slices: (n_held_out,), the slice value of each held-out row, or None.
        feed: the rows, as onnxruntime reads them.
        scores: (n_rows, n_scores), the estimator's.
        largest_difference: of the graph's own probabilities from the estimator's.
    """

    graph: ScoreGraph
    rows: Any
    n_edges: int
    slices: NDArray[Any] | None
    feed: Feed
    scores: Array
    largest_difference: float = 0.0

    @classmethod
    def checked(cls, graph: ScoreGraph, held_out: LabeledRows, seed: int) -> Reference:
        """Return the reference, after the graph's scores agreed with it.

        Args:
            graph: the score graph, with its reference.
            held_out: all held-out rows.
            seed: of the edge rows.

        Raises:
            ParityError: with the row where they differ, and the cause.
        """
        edges = edge_rows(held_out.rows, graph, seed)
        n_edges = count(edges)
        rows = joined(edges, held_out.rows) if n_edges else held_out.rows
        made = cls(graph, rows, n_edges, held_out.slices, graph.feed(rows), graph.reference(rows))
        largest = check_scores(
            graph.model,
            made.feed,
            made.scores,
            _own_probabilities(graph, made.scores[n_edges:]),
            is_single_precision=graph.is_single_precision,
            describe=made.described,
            explain=lambda row: explanation(graph, rows, row, made.scores),
        )
        return replace(made, largest_difference=largest)

    def described(self, row: int) -> str:
        """Return the name of a row, for an error."""
        if row >= self.n_edges:
            return f"held-out row {row - self.n_edges}"
        return f"edge row {row}, which the export made from a held-out row"

    def check_bundle(
        self,
        calibrator: Calibrator,
        model: onnx.ModelProto,
        column: SliceColumn | None,
        threshold: Threshold,
    ) -> Parity:
        """Compare the whole graph with the estimator and the fitted calibrator.

        Args:
            calibrator: as it was fitted.
            model: the whole graph, with the output `subset` if there are slices.
            column: the slices; None if there are none.
            threshold: the gate's; each row must lie on the same side of it in both.

        Raises:
            ParityError: with the row where they differ.
        """
        feed, index = self.feed, None
        if column is not None and self.slices is not None:
            feed, index = column.completed(feed, self.slices)
            check_subsets(model, feed, index, describe=self.described)
        thresholds = Thresholds(threshold).of_rows(calibrator.predict(self.scores), index)
        parity = check_probabilities(
            model,
            feed,
            self.scores,
            calibrator.predict,
            tolerance=calibrator.tolerance,
            threshold=thresholds,
            is_single_precision=self.graph.is_single_precision,
            describe=self.described,
        )
        parity.max_probability_difference = max(parity.max_probability_difference, self.largest_difference)
        return parity


def _own_probabilities(graph: ScoreGraph, held_out: Array) -> Callable[[Array], Array]:
    """Return a function: scores → probabilities to compare scores by, not so steep that all are 0 or 1.

    Args:
        graph: the score graph.
        held_out: (n_rows, n_scores), the scores of the held-out rows.
    """
    if graph.kind == "probabilities":
        # As they are: clipped to [0, 1], a converter's negative "probabilities" would look like zeros.
        return lambda each: both(finite_rows(each)) if each.shape[1] == 1 else finite_rows(each)
    finite = held_out[np.isfinite(held_out)]
    spread = max(1.0, float(finite.std())) if finite.size else 1.0
    return lambda each: probabilities(finite_rows(each) / spread, "logits")
