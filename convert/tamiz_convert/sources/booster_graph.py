"""Convert a native booster (XGBoost's and LightGBM's Booster, CatBoost's CatBoost) to a score graph."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, Labels, ScoreGraph, class_labels
from tamiz_convert.rows.inputs import Inputs
from tamiz_convert.rows.raw import as_rows
from tamiz_convert.sources.booster import append_booster, missing_note
from tamiz_convert.sources.boosters import NATIVE, column_names, is_native, read_booster
from tamiz_convert.sources.failures import guarded
from tamiz_convert.sources.kind import Kind

_BINARY: Final = 2


def from_booster(booster: Any, rows: Any, classes: Any = None) -> ScoreGraph:
    """Convert a trained native booster.

    Args:
        booster: an `xgboost.Booster`, `lightgbm.Booster` or `catboost.CatBoost`, trained with a
            classification objective.
        rows: rows like those that will be predicted, (n_rows, n_features) ndarray or DataFrame.
        classes: (n_classes,), the labels in the order of the training's class numbers; by default 0, 1, ….
            CatBoost knows them itself.

    Raises:
        EstimatorError: if the booster is not trained or not supported, or if `classes` has another length
            than the booster has classes.
        RowsError: if the rows do not fit.
    """
    read = read_booster(booster)
    labels = _labels(read.classes, classes, read.n_classes)
    rows = as_rows(rows, "calibration")
    inputs = Inputs.of_matrix(rows, column_names(read.column_names, rows), read.n_features)
    inputs.feed(rows)
    (spec,) = inputs.specs
    spec.missing_values_allowed = True
    builder = GraphBuilder()
    given = builder.declare(spec)
    scores = append_booster(builder, read, builder.cast(given, TensorProto.DOUBLE))

    def reference(asked: Any) -> NDArray[np.float64]:
        return read.raw(inputs.canonical(asked))

    n_scores = 1 if len(labels) == _BINARY else len(labels)
    return ScoreGraph(
        model=builder.build(scores, SCORES, TensorProto.DOUBLE, n_scores),
        inputs=(spec,),
        classes=labels,
        kind=read.kind,
        estimator=f"{read.distribution}.{type(booster).__name__}",
        reference=guarded(reference, read.library),
        feed=inputs.feed,
        reference_name=read.library,
        splits=read.splits(),
        is_single_precision=read.is_single_precision,
        libraries=(read.distribution,),
        notes=read.notes + missing_note(read, inputs.canonical(rows)),
    )


def _labels(known: Labels | None, given: Any, n_classes: int) -> Labels:
    if known is not None and (given is None or class_labels(given).tolist() == known.tolist()):
        return known
    if known is not None:
        raise EstimatorError(
            f"classes is {list(given)}, but the model was trained on {known.tolist()}; leave classes out"
        )
    labels = np.arange(n_classes) if given is None else class_labels(given)
    if len(labels) != n_classes:
        raise EstimatorError(f"classes names {len(labels)} classes, the model tells {n_classes} apart")
    return labels


KIND: Final = Kind(", ".join(NATIVE), is_native, from_booster)
