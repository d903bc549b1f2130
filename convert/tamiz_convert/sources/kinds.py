"""Every kind of model that can be exported, and which module turns it into a score graph.

Torch and the booster libraries are heavy: none is imported here, and a model of theirs is told by the modules of its type.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pandas as pd

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.score_graph import ScoreGraph, class_labels
from tamiz_convert.sources.booster_graph import from_booster
from tamiz_convert.sources.boosters import is_native
from tamiz_convert.sources.estimator_scores import supported
from tamiz_convert.sources.onnx_graph import OnnxModel, from_onnx, input_names
from tamiz_convert.sources.sklearn_graph import from_sklearn, names_in, unwrap
from tamiz_convert.sources.torch_graph import TorchModel, from_torch

_TORCH: Final = "torch"


def score_graph(model: Any, rows: Any, classes: Any = None) -> ScoreGraph:
    """Convert a model of any supported kind.

    Args:
        model: see `export`.
        rows: rows like those that will be predicted.
        classes: the labels in the order of the model's outputs; None for the model's own, or 0, 1, ….

    Raises:
        EstimatorError: if the model is of no supported kind, or cannot be exported as it is.
        RowsError: if the rows do not fit the model.
    """
    if isinstance(model, OnnxModel):
        return from_onnx(model, rows, classes)
    if isinstance(model, TorchModel):
        return from_torch(model, rows, classes)
    if _is_torch(model):
        return from_torch(TorchModel(model), rows, classes)
    if is_native(model):
        return from_booster(model, rows, classes)
    if isinstance(model, (str, Path)):
        raise EstimatorError(
            f'{str(model)!r} is a path: wrap an ONNX file as OnnxModel({str(model)!r}, kind="logits"), with the kind of scores'
            " that it gives; load any other model first"
        )
    if not hasattr(model, "get_params"):
        raise EstimatorError(
            f"{type(model).__name__} is not supported. Supported are, of scikit-learn or in a Pipeline:"
            f" {', '.join(supported())}; xgboost.Booster, lightgbm.Booster, catboost.CatBoost; torch.nn.Module,"
            " torch.export.ExportedProgram; OnnxModel"
        )
    graph = from_sklearn(model, rows)
    if classes is not None and class_labels(classes).tolist() != graph.classes.tolist():
        raise EstimatorError(
            f"classes is {list(classes)}, but the model was trained on {graph.classes.tolist()}; leave classes out"
        )
    return graph


def known_columns(model: Any, rows: Any) -> list[str]:
    """Return the columns of a table that a model reads by name; none where it reads them by their order, or no table.

    Args:
        model: see `export`.
        rows: rows like those that will be predicted.
    """
    if not isinstance(rows, pd.DataFrame):
        return []
    if isinstance(model, OnnxModel):
        return input_names(model)
    if isinstance(model, TorchModel) or _is_torch(model) or not hasattr(model, "get_params"):
        return []
    return names_in(unwrap(model).estimator, rows)


def _is_torch(model: Any) -> bool:
    return any(each.__module__.partition(".")[0] == _TORCH for each in type(model).__mro__)
