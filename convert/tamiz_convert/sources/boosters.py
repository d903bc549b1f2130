"""Which library a booster is of, told without importing any: an object that exists has imported its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pandas as pd

from tamiz_convert.sources import catboost_trees, lightgbm_trees, xgboost_trees
from tamiz_convert.sources.booster import Booster

_READERS: Final[dict[str, Callable[[Any], Booster]]] = {
    "catboost": catboost_trees.read,
    "lightgbm": lightgbm_trees.read,
    "xgboost": xgboost_trees.read,
}
_NATIVE: Final = {"Booster", "CatBoost"}
SUPPORTED: Final = ("CatBoostClassifier", "LGBMClassifier", "XGBClassifier")


def is_booster(model: Any) -> bool:
    """Return whether a model is of one of the supported libraries."""
    return _library(model) is not None


def is_native(model: Any) -> bool:
    """Return whether a model is a library's own object and no scikit-learn estimator."""
    return is_booster(model) and type(model).__name__ in _NATIVE


def read_booster(model: Any) -> Booster:
    """Return the trees of a model of one of the supported libraries.

    Raises:
        EstimatorError: if it is not trained, or no classifier that can be exported; the message says why.
    """
    return _READERS[str(_library(model))](model)


def column_names(names: tuple[str, ...], rows: Any) -> list[str]:
    """Return a booster's column names as the rows spell them: LightGBM writes "_" for a space."""
    if isinstance(rows, pd.DataFrame):
        spelled = {str(column).replace(" ", "_"): str(column) for column in rows.columns}
        return [name if name in rows.columns else spelled.get(name, name) for name in names]
    return list(names)


def _library(model: Any) -> str | None:
    roots = [each.__module__.partition(".")[0] for each in type(model).__mro__]
    return next((root for root in roots if root in _READERS), None)
