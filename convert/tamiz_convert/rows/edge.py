"""Rows that conversions often get wrong: on split thresholds, with missing, unseen, huge or tiny values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import DataType
from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.rows.raw import flat, take

UNSEEN: Final = "never-seen-before"

_N_ROWS: Final = 60
_N_COLUMNS: Final = 100
"""Values are changed in at most this many columns; an image has too many to try all."""
_FLOATS: Final = (DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_FLOAT64)


def edge_rows(rows: Any, graph: ScoreGraph, seed: int = 0) -> Any:
    """Return edge rows made from real ones, as the same kind of table, array or dict.

    Args:
        rows: the caller's rows.
        graph: the inputs and split thresholds; rows that its reference refuses are left out.
        seed: for the choice of rows, columns and values.

    Returns:
        At most a few hundred rows, or a few per column; possibly none.
    """
    random = np.random.default_rng(seed)
    all_rows = flat(rows)
    base = all_rows.table.sample(min(_N_ROWS, len(all_rows.table)), random_state=seed)
    numeric, text, may_miss = _columns(base, graph, all_rows.columns_of)
    some = _some(numeric, random)

    def missing(column: Any) -> tuple[Any, ...]:
        return ("", None) if column in may_miss else ()

    made = [
        _beside(base, numeric, np.float64),
        _beside(base, numeric, np.float32),
        *_on_thresholds(base, numeric, graph.splits, random),
        *(_with(base.head(2), column, value) for column in some for value in _extremes(base[column], graph)),
        *(_with(base.head(2), column, np.nan) for column in may_miss if column in set(some)),
        *(_with(base.head(2), column, value) for column in text for value in (UNSEEN, *missing(column))),
    ]
    if may_miss:
        made.append(_without(base.head(4), may_miss))
    kept = _answered(made, lambda part: graph.reference(all_rows.restore(part)))
    if not kept:
        return take(rows, slice(0))
    return all_rows.restore(pd.concat(kept, ignore_index=True))


def _some(columns: list[Any], random: np.random.Generator) -> list[Any]:
    if len(columns) <= _N_COLUMNS:
        return columns
    return [columns[index] for index in sorted(random.choice(len(columns), _N_COLUMNS, replace=False))]


def _extremes(column: pd.Series[Any], graph: ScoreGraph) -> tuple[float, ...]:
    """Return unusual values of a column."""
    if graph.compares_anywhere:
        return (1e6, -1e6, 1e-12)
    return (float(column.min()), float(column.max()), 0.0)


def _columns(
    base: pd.DataFrame, graph: ScoreGraph, columns_of: Mapping[str, list[Any]]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the float columns, the string columns, and those of both that may be missing."""
    numeric: list[Any] = []
    text: list[Any] = []
    may_miss: list[Any] = []
    beside = {name for spec in graph.inputs for name in spec.column_names} | set(graph.passed_over)
    for spec in graph.inputs:
        own = columns_of.get(spec.name) or list(spec.column_names) or [spec.name]
        if not own or not set(own) <= set(base.columns):  # an array is read by position
            own = [column for column in base.columns if column not in beside]
        if spec.dtype == DataType.DATA_TYPE_STRING:
            text += own
        elif spec.dtype in _FLOATS:
            numeric += own
        may_miss += own if spec.missing_values_allowed else []
    return numeric, text, may_miss


def _beside(base: pd.DataFrame, numeric: list[Any], dtype: type) -> pd.DataFrame:
    """Return the rows with every number replaced by the next larger number of a type."""
    moved = base.copy()
    for column in numeric:
        values = moved[column].to_numpy(dtype=dtype)
        moved[column] = np.nextafter(values, dtype(np.inf)).astype(np.float64)
    return moved


def _on_thresholds(
    base: pd.DataFrame,
    numeric: list[Any],
    splits: Sequence[tuple[int, float]],
    random: np.random.Generator,
) -> list[pd.DataFrame]:
    """Return rows that lie on split thresholds and just beside them."""
    made = []
    for index in random.choice(len(splits), min(_N_ROWS, len(splits)), replace=False) if splits else ():
        feature, threshold = splits[index]
        values = _neighbors(threshold)
        part = base.sample(len(values), replace=True, random_state=int(index)).copy()
        part[numeric[feature]] = values
        made.append(part)
    return made


def _neighbors(threshold: float) -> list[float]:
    """Return a threshold and the numbers next to it, in float64 and in float32."""
    near = np.float32(threshold)
    with np.errstate(over="ignore"):  # the number after the largest one is infinity
        values = [
            threshold,
            np.nextafter(threshold, np.inf),
            np.nextafter(threshold, -np.inf),
            near,
            np.nextafter(near, np.float32(np.inf)),
            np.nextafter(near, np.float32(-np.inf)),
        ]
    return [float(value) for value in values if np.isfinite(value)]


def _without(base: pd.DataFrame, columns: list[Any]) -> pd.DataFrame:
    empty = base.copy()
    empty[columns] = np.nan
    return empty


def _with(base: pd.DataFrame, column: Any, value: Any) -> pd.DataFrame:
    changed = base.copy()
    changed[column] = pd.Series(
        [value] * len(base), index=base.index, dtype=None if value is not None else object
    )
    return changed


def _answered(
    parts: list[pd.DataFrame], reference: Callable[[pd.DataFrame], NDArray[np.float64]]
) -> list[pd.DataFrame]:
    """Return the rows that the reference accepts; it may refuse an unseen category or a NaN."""
    together = pd.concat(parts, ignore_index=True)
    try:
        # Try all at once: for a forest a call costs far more than a row, and most models refuse nothing.
        reference(together)
    except (RowsError, TypeError):
        half = len(parts) // 2
        return _answered(parts[:half], reference) + _answered(parts[half:], reference) if half else []
    return [together]
