"""Compare the graph with its model before it is written, on the held-out rows and on edge rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Parity, Threshold
from tamiz_convert.calibrators.calibrator import Calibrator
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.pipeline.parity import check_parity, check_parity_in_parts, check_subsets
from tamiz_convert.rows.edge import edge_rows
from tamiz_convert.rows.labeled import LabeledRows
from tamiz_convert.rows.raw import count, joined
from tamiz_convert.rows.slices import SliceColumn


def check_reference(
    graph: ScoreGraph,
    calibrator: Calibrator,
    model: onnx.ModelProto,
    rows: LabeledRows,
    column: SliceColumn | None,
    threshold: Threshold,
    seed: int,
) -> Parity:
    """Compare a graph with its reference and the fitted calibrator.

    Args:
        graph: the score graph, with its reference.
        calibrator: as it was fitted.
        model: the whole graph, with the output `subset` if there are slices.
        rows: all held-out rows.
        column: the slices; None if there are none.
        threshold: the gate's; each row must lie on the same side of it in both.
        seed: of the edge rows.

    Raises:
        ParityError: with the row where they differ.
    """
    edges = edge_rows(rows.rows, graph, seed)
    n_edges = count(edges)
    compared = joined(edges, rows.rows) if n_edges else rows.rows

    def describe(row: int) -> str:
        return f"edge row {row}" if row < n_edges else f"held-out row {row - n_edges}"

    feed, index = graph.feed(compared), None
    if column is not None and rows.slices is not None:
        feed, index = column.completed(feed, rows.slices)
        check_subsets(model, feed, index, describe=describe)
    scores = graph.reference(compared)
    expected = calibrator.predict(scores)
    thresholds = Thresholds(threshold).of_rows(expected, index)
    if graph.is_single_precision:
        return check_parity_in_parts(
            model,
            feed,
            scores,
            own=_own_probabilities(graph, scores),
            calibrated=calibrator.predict,
            tolerance=calibrator.tolerance,
            threshold=thresholds,
            describe=describe,
        )
    return check_parity(
        model, feed, expected, tolerance=calibrator.tolerance, threshold=thresholds, describe=describe
    )


def _own_probabilities(
    graph: ScoreGraph, scores: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function: scores → probabilities to compare scores by, not so steep that all are 0 or 1."""
    if graph.kind == "probabilities":
        return Identity("probabilities").predict
    spread = max(1.0, float(scores.std()))
    return lambda each: Identity("logits").predict(each / spread)
