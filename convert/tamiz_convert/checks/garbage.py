"""Rows that no model should answer, made from the rows at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

from tamiz_convert.checks.table import Table
from tamiz_convert.errors import SpecificationError

Random = np.random.Generator

_FARTHEST: Final = 10.0
_UNSEEN: Final = "\N{REPLACEMENT CHARACTER}"


def garbage(kind: str, table: Table, n_rows: int, random: Random, where: str) -> Table:
    """Return made rows.

    Args:
        kind: "nan", "out_of_range" or "shuffled_columns".
        table: rows at hand.
        n_rows: how many to make, each from a row that is drawn with replacement.
        random: the source of noise.
        where: the place in the specification, for errors.

    Raises:
        SpecificationError: if the rows have no column for this kind.
    """
    drawn = table.take(random.integers(0, len(table), n_rows))
    values = _KINDS[kind](drawn.frame, random)
    if not values:
        raise SpecificationError(f"{where}: the rows have no column that {kind} rows could be made from")
    return drawn.replaced(values)


def _numeric(frame: pd.DataFrame) -> list[Any]:
    return list(frame.select_dtypes("number").columns)


def _nan(frame: pd.DataFrame, random: Random) -> dict[str | int, Any]:  # noqa: ARG001  one signature for all
    """Remove every value that can be missing; whole numbers and bool cannot be."""
    return {
        name: np.full(len(frame), np.nan)
        if frame[name].dtype.kind == "f"
        else pd.Series([None] * len(frame), dtype=object)
        for name in frame.columns
        if frame[name].dtype.kind not in "iub"
    }


def _out_of_range(frame: pd.DataFrame, random: Random) -> dict[str | int, Any]:
    """Move numbers one to ten ranges beyond what was seen, and put in text that was never seen."""
    values: dict[str | int, Any] = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind in "iuf":
            values[name] = _beyond(column, random)
        elif column.dtype.kind != "b":
            values[name] = _UNSEEN
    return values


def _beyond(column: pd.Series[Any], random: Random) -> Any:
    seen = column.to_numpy(dtype=np.float64)
    seen = seen[np.isfinite(seen)] if np.isfinite(seen).any() else np.zeros(1)
    width = max(float(seen.max() - seen.min()), 1.0)
    distance = width * random.uniform(1.0, _FARTHEST, len(column))
    below = (random.random(len(column)) < 0.5) & (column.dtype.kind != "u")  # noqa: PLR2004  a coin
    values = np.where(below, seen.min() - distance, seen.max() + distance)
    return values.astype(column.dtype)


def _shuffled_columns(frame: pd.DataFrame, random: Random) -> dict[str | int, Any]:
    """Put each numeric column's values into another one; whole ones are rounded."""
    names = [_numeric(frame)[index] for index in random.permutation(len(_numeric(frame)))]
    if len(names) < 2:  # noqa: PLR2004  nothing to exchange
        return {}
    return {
        name: _cast(frame[other], frame[name].dtype)
        for name, other in zip(names, names[1:] + names[:1], strict=True)
    }


def _cast(values: pd.Series[Any], dtype: Any) -> Any:
    numbers = values.to_numpy(dtype=np.float64)
    return (np.nan_to_num(numbers).round() if dtype.kind in "iu" else numbers).astype(dtype)


_KINDS: Final[dict[str, Callable[[pd.DataFrame, Random], dict[str | int, Any]]]] = {
    "nan": _nan,
    "out_of_range": _out_of_range,
    "shuffled_columns": _shuffled_columns,
}
