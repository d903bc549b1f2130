"""Every kind of model that can be exported, and which module turns it into a score graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pandas as pd

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.rows.raw import as_rows, take
from tamiz_convert.sources import booster_graph, onnx_graph, sklearn_graph, torch_graph
from tamiz_convert.sources.failures import converting
from tamiz_convert.sources.kind import Kind

_KINDS: Final = (onnx_graph.KIND, torch_graph.KIND, booster_graph.KIND, sklearn_graph.KIND)
"""To add a kind of model, write a file with its `KIND`, and add an entry here. The first that fits wins."""


def score_graph(model: Any, rows: Any, classes: Any = None) -> ScoreGraph:
    """Convert a model of any supported kind.

    Args:
        model: see `export`.
        rows: rows like those that will be predicted.
        classes: the labels in the order of the model's outputs; None for the model's own, or 0, 1, ….

    Raises:
        EstimatorError: if the model is not of a supported kind, or cannot be exported as it is.
        RowsError: if the rows do not fit the model.
    """
    kind = _kind(model)
    if kind is not None:
        with converting(type(model).__name__):
            graph = kind.convert(model, rows, classes)
            Runner(graph.model).run(graph.feed(take(as_rows(rows, "calibration"), slice(1))))
            return graph
    if isinstance(model, (str, Path)):
        raise EstimatorError(
            f'{str(model)!r} is a path: wrap an ONNX file as OnnxModel({str(model)!r}, kind="logits"), with'
            " the kind of scores that it gives; load any other model first"
        )
    raise EstimatorError(
        f"{type(model).__name__} is not supported. Supported are"
        f" {'; '.join(each.described for each in _KINDS)}"
    )


def known_columns(model: Any, rows: Any) -> list[str]:
    """Return the columns of a table that a model reads by name; none if it reads them by their order.

    Args:
        model: see `export`.
        rows: rows like those that will be predicted; only a table has columns.
    """
    kind = _kind(model)
    if kind is None or not isinstance(rows, pd.DataFrame):
        return []
    with converting(type(model).__name__):
        return kind.columns(model, rows)


def _kind(model: Any) -> Kind | None:
    return next((kind for kind in _KINDS if kind.owns(model)), None)
