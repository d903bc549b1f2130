"""Rows where conversions go wrong: on split thresholds and beside them, with missing, unseen, huge and tiny values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import RowsError
from tamiz_convert.sklearn_graph import unwrap

UNSEEN: Final = "never-seen-before"

_N_ROWS: Final = 60
_FLOATS: Final = (DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_FLOAT64)


def edge_rows(
    rows: Any,
    inputs: Sequence[InputSpec],
    estimator: Any,
    reference: Callable[[Any], NDArray[np.float64]],
    seed: int = 0,
) -> Any:
    """Return edge rows made from real ones, as the same kind of table or matrix.

    Args:
        rows: real rows, (n_rows, n_features) ndarray or DataFrame.
        inputs: the graph's inputs.
        estimator: the trained estimator, to find its split thresholds.
        reference: gives scikit-learn's scores; rows that scikit-learn itself refuses are left out.
        seed: of the choice of rows and values.

    Returns:
        At most a few hundred rows; possibly none.
    """
    random = np.random.default_rng(seed)
    is_table = isinstance(rows, pd.DataFrame)
    base = (rows if is_table else pd.DataFrame(np.asarray(rows))).sample(
        min(_N_ROWS, len(rows)), random_state=seed
    )
    numeric, text, may_miss = _columns(base, inputs)
    made = [
        _beside(base, numeric, np.float64),
        _beside(base, numeric, np.float32),
        *_on_thresholds(base, numeric, estimator, random),
        *(_with(base.head(2), column, value) for column in numeric for value in (1e6, -1e6, 1e-12)),
        *(_with(base.head(2), column, np.nan) for column in may_miss),
        *(_with(base.head(2), column, value) for column in text for value in (UNSEEN, "", None)),
    ]
    if may_miss:
        made.append(
            base.head(4).assign(**dict.fromkeys(may_miss, np.nan)) if is_table else base.head(4) * np.nan
        )
    kept = [part for part in made if _is_answered(part if is_table else part.to_numpy(), reference)]
    if not kept:
        return rows[:0]
    joined = pd.concat(kept, ignore_index=True)
    return joined if is_table else joined.to_numpy()


def _columns(base: pd.DataFrame, inputs: Sequence[InputSpec]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the float columns, the string columns, and the columns that may be missing."""
    numeric, text, may_miss = [], [], []
    beside = {name for spec in inputs for name in spec.column_names}
    for spec in inputs:
        names = list(spec.column_names) or [column for column in base.columns if column not in beside]
        if spec.dtype == DataType.DATA_TYPE_STRING:
            text += names
        elif spec.dtype in _FLOATS:
            numeric += names
            may_miss += names if spec.missing_values_allowed else []
    return numeric, text, may_miss


def _beside(base: pd.DataFrame, numeric: list[Any], dtype: type) -> pd.DataFrame:
    """Return the rows with every number moved to its next neighbor."""
    moved = base.copy()
    for column in numeric:
        values = moved[column].to_numpy(dtype=dtype)
        moved[column] = np.nextafter(values, dtype(np.inf)).astype(np.float64)
    return moved


def _on_thresholds(
    base: pd.DataFrame, numeric: list[Any], estimator: Any, random: np.random.Generator
) -> list[pd.DataFrame]:
    """Return rows that lie on split thresholds, and on both sides of them; trees without preprocessing only."""
    final = unwrap(estimator).estimator
    if isinstance(final, Pipeline) or len(numeric) != len(base.columns):
        return []
    splits = _splits(final)
    if not splits:
        return []
    made = []
    for index in random.choice(len(splits), min(_N_ROWS, len(splits)), replace=False):
        feature, threshold = splits[index]
        near = np.float32(threshold)
        values = (
            threshold,
            np.nextafter(threshold, np.inf),
            np.nextafter(threshold, -np.inf),
            float(near),
            float(np.nextafter(near, np.float32(np.inf))),
            float(np.nextafter(near, np.float32(-np.inf))),
        )
        part = base.sample(len(values), replace=True, random_state=int(index)).copy()
        part[base.columns[feature]] = values
        made.append(part)
    return made


def _splits(final: Any) -> list[tuple[int, float]]:
    """Return (feature, threshold) of the inner nodes of a tree model; none for others."""
    members = [final] if hasattr(final, "tree_") else list(np.ravel(getattr(final, "estimators_", [])))
    splits = []
    for member in members:
        tree = getattr(member, "tree_", None)
        if tree is not None:
            inner = tree.children_left != -1
            splits += list(zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True))
    for predictor in [each for stage in getattr(final, "_predictors", []) for each in stage]:
        nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
        splits += list(zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True))
    return [(feature, threshold) for feature, threshold in splits if np.isfinite(threshold)]


def _with(base: pd.DataFrame, column: Any, value: Any) -> pd.DataFrame:
    changed = base.copy()
    changed[column] = pd.Series(
        [value] * len(base), index=base.index, dtype=None if value is not None else object
    )
    return changed


def _is_answered(rows: Any, reference: Callable[[Any], NDArray[np.float64]]) -> bool:
    """Return whether scikit-learn takes these rows; an unseen category or a NaN it may refuse."""
    try:
        reference(rows)
    except (RowsError, TypeError):
        return False
    return True
