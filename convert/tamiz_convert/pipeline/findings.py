"""What an export found out about its bundle, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Threshold
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.certificates.attainable import attainable_errors
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.errors import RowsError
from tamiz_convert.evidence import AttainableError, ExpectedCost, Latency, ScoredRows
from tamiz_convert.graphs.latency import LATENCY_BATCH_SIZES, median_us, repeated
from tamiz_convert.graphs.runner import Feed, Runner
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.metrics.betting import mean_interval
from tamiz_convert.metrics.prices import Prices
from tamiz_convert.rows.held_out import HeldOut
from tamiz_convert.rows.labeled import LabeledRows
from tamiz_convert.rows.slices import SliceColumn, columns_named, slice_name, slice_values

Array = NDArray[np.float64]

_INTERVAL_FAILS: Final = 0.05


def scored(
    graph: ScoreGraph,
    rows: LabeledRows,
    probabilities: Array,
    threshold: Threshold,
    column: SliceColumn | None,
    slices: Sequence[str],
) -> ScoredRows:
    """Return held-out rows with the output of the bundle's graph for them.

    Args:
        graph: the score graph.
        rows: the rows.
        probabilities: (n_rows, n_classes), float64, calibrated.
        threshold: the gate's.
        column: the column whose slices have their own thresholds, or None.
        slices: more columns for the report.

    Raises:
        RowsError: if a column is missing, or its values cannot name slices.
    """
    index = None if column is None or rows.slices is None else column.index(rows.slices)
    before = None
    if graph.kind != "margins":
        before = Identity(graph.kind).predict(Runner(graph.model).run(graph.feed(rows.rows)))
    named = {} if column is None or rows.slices is None else {column.name: _names(rows.slices)}
    return ScoredRows(
        y=rows.y,
        probabilities=probabilities,
        probabilities_before=before,
        thresholds=Thresholds(threshold).of_rows(probabilities, index),
        slices=named | _slices(rows.rows, [name for name in slices if name not in named]),
        weights=rows.weights,
    )


def expected_cost(rows: ScoredRows, prices: Prices, threshold: float, seed: int) -> ExpectedCost:
    """Return what a request costs on average, with an interval: on rows that did not choose the threshold.

    If the threshold is above every confidence, each request costs an abstention, and nothing is uncertain.
    """
    costs = prices.per_row(rows.y, rows.prediction, rows.accepted)
    interval = prices.abstention, prices.abstention
    if threshold <= 1.0:
        interval = mean_interval(costs, *prices.span, _INTERVAL_FAILS, seed)
    answering = prices.per_row(rows.y, rows.prediction, rows.scored)
    return ExpectedCost(prices, float(costs.mean()), interval, float(answering.mean()))


def attainable(rows: HeldOut, scored: Sequence[ScoredRows], level: float) -> list[AttainableError]:
    """Return how the smallest error that can be proven falls with more rows; see `attainable_errors`.

    Rows with weights prove nothing, so of them it returns nothing.
    """
    if rows.certifying.weights is not None:
        return []
    groups = rows.groups, rows.certifying_groups
    given = (Outcomes(each.confidence, each.wrong, own) for each, own in zip(scored, groups, strict=True))
    return attainable_errors(*given, confidence_level=level)


def latency(graph: ScoreGraph, model: onnx.ModelProto, feed: Feed) -> list[Latency]:
    """Return how long the graph takes with and without its calibrator, measured in turns.

    Args:
        graph: the score graph.
        model: the whole graph.
        feed: some rows; repeated if there are too few.
    """
    runners = [Runner(graph.model), Runner(model)]
    own = {spec.name for spec in graph.inputs}
    measured = []
    for batch_size in LATENCY_BATCH_SIZES:
        batch = repeated(feed, batch_size)
        scores_us, calibrated_us = median_us(
            runners, [{name: array for name, array in batch.items() if name in own}, batch]
        )
        measured.append(Latency(batch_size, scores_us, calibrated_us))
    return measured


def _slices(rows: Any, names: Sequence[str]) -> dict[str, NDArray[np.str_]]:
    names = columns_named(names)
    if names and not isinstance(rows, pd.DataFrame):
        raise RowsError(
            f"slices={list(names)} names columns, but the rows are a {type(rows).__name__} without column"
            " names: pass a DataFrame"
        )
    return {name: _names(slice_values(rows, name, "held-out")) for name in names}


def _names(values: NDArray[Any]) -> NDArray[np.str_]:
    return np.array([slice_name(value) for value in values.tolist()], dtype=np.str_)
