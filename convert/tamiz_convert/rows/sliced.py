"""Rows with a slice column: the graph reads it, even if the estimator does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from tamiz_convert.graphs.runner import Feed
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.rows.labeled import LabeledRows
from tamiz_convert.rows.slices import SliceColumn, slice_values


def with_slices(rows: LabeledRows, column: SliceColumn | None) -> LabeledRows:
    """Return rows with the slice column, as callers of the bundle will send them."""
    if column is None or column.name in rows.rows.columns:
        return rows
    return replace(rows, rows=rows.rows.assign(**{column.name: rows.slices}))


def passing_over(graph: ScoreGraph, names: Sequence[str]) -> ScoreGraph:
    """Return a score graph that ignores these columns, and reads all others by their order.

    Args:
        graph: the score graph of a model that does not know its columns by name.
        names: the columns that only name slices.
    """
    if not names:
        return graph
    return replace(
        graph,
        feed=lambda rows: graph.feed(without(rows, names)),
        reference=lambda rows: graph.reference(without(rows, names)),
        passed_over=tuple(names),
    )


def without(rows: Any, names: Sequence[str]) -> Any:
    """Return a table without some columns; return other rows as they are."""
    return rows.drop(columns=list(names), errors="ignore") if isinstance(rows, pd.DataFrame) else rows


def feeder(graph: ScoreGraph, column: SliceColumn | None) -> Callable[[Any], Feed]:
    """Return a function: rows with the slice column → the inputs of the whole graph.

    Args:
        graph: the score graph.
        column: the slices; None if there are none.
    """
    if column is None:
        return graph.feed
    known = {name for spec in graph.inputs for name in (spec.name, *spec.column_names)}

    def feed(rows: Any) -> Feed:
        values = slice_values(rows, column.name, "given")
        features = rows if column.name in known else rows.drop(columns=[column.name])
        return graph.feed(features) | column.feed(values)

    return feed
