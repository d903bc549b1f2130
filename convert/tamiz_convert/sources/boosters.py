"""Which library a booster comes from, by the module of its type, so that no library is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pandas as pd

from tamiz_convert.sources import catboost_trees, lightgbm_trees, xgboost_trees
from tamiz_convert.sources.booster import Booster, Library

_LIBRARIES: Final = (xgboost_trees.LIBRARY, lightgbm_trees.LIBRARY, catboost_trees.LIBRARY)
"""To add a library, write a file with its `LIBRARY`, and add an entry here."""

SUPPORTED: Final = tuple(sorted(library.classifier for library in _LIBRARIES))
NATIVE: Final = tuple(f"{library.package}.{library.native}" for library in _LIBRARIES)
SUFFIXES: Final = tuple(suffix for library in _LIBRARIES for suffix in library.suffixes)


def is_booster(model: Any) -> bool:
    """Return whether a model comes from one of the supported libraries."""
    return _library(model) is not None


def is_native(model: Any) -> bool:
    """Return whether a model is a library's own object and not a scikit-learn estimator."""
    library = _library(model)
    return library is not None and type(model).__name__ == library.native


def read_booster(model: Any) -> Booster:
    """Return the trees of a model from one of the supported libraries.

    Raises:
        EstimatorError: if it is not trained, or not a classifier that can be exported; the message says why.
    """
    library = _library(model)
    assert library is not None, "see is_booster"  # noqa: S101  the callers have asked
    return library.read(model)


def library_of_file(path: Path) -> Library:
    """Return the library of a file, by its suffix, which must be one of `SUFFIXES`."""
    return next(library for library in _LIBRARIES if path.suffix in library.suffixes)


def column_names(names: tuple[str, ...], rows: Any) -> list[str]:
    """Return a booster's column names in the spelling of the rows: LightGBM writes "_" for a space."""
    if isinstance(rows, pd.DataFrame):
        spelled = {str(column).replace(" ", "_"): str(column) for column in rows.columns}
        return [name if name in rows.columns else spelled.get(name, name) for name in names]
    return list(names)


def _library(model: Any) -> Library | None:
    roots = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    return next((library for library in _LIBRARIES if library.package in roots), None)
