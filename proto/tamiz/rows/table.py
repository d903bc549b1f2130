"""What a caller passes as rows: a table with named columns, or an array whose columns have only an order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tamiz.rows.column import Column, RowsError, column_of

_SHOWN_NAMES: Final = 5


class Table(Mapping[str, Column]):
    """A table's columns by name. A column is read when it is asked for."""

    def __init__(self, names: Sequence[Any], columns: Sequence[Any]) -> None:
        """Keep the columns of a table.

        Args:
            names: their names, in order.
            columns: what `column_of` takes, one per name.
        """
        self._names = [str(name) for name in names]
        self._columns = dict(zip(self._names, columns, strict=True))

    def __getitem__(self, name: str) -> Column:
        if self._names.count(name) > 1:
            raise RowsError(f"there are {self._names.count(name)} columns {name!r}: give each its own name")
        try:
            return column_of(self._columns[name])
        except RowsError as error:
            raise RowsError(f"column {name!r}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._columns


def as_table(rows: Any, wanted: Collection[str] = ()) -> Table | None:
    """Return a table's columns; None for an array, whose columns have no names.

    Args:
        rows: a table of pandas, polars or Arrow, a dict of columns, a list of records (one dict or Series
            per row), one record, a structured array, or a pandas Series that is the row of a table; or an
            array or list.
        wanted: the columns that are asked for. A Series is the row of a table if its index holds them all.

    Raises:
        RowsError: for a sparse matrix, a table that is not in memory, and records that differ in their names.
    """
    if hasattr(rows, "toarray"):  # scipy
        raise RowsError(
            "the rows are a sparse matrix: pass rows.toarray(). Only for an XGBoost model that was trained on"
            " one, put NaN, not 0, in place of what it leaves out: at = rows.tocoo(); dense ="
            " np.full(at.shape, np.nan); dense[at.row, at.col] = at.data"
        )
    if isinstance(rows, Mapping):
        is_record = bool(rows) and all(map(_is_scalar, rows.values()))
        return Table([*rows], [[value] for value in rows.values()] if is_record else [*rows.values()])
    if isinstance(rows, np.ndarray):
        names = rows.dtype.names
        return Table(names, [np.atleast_1d(rows[name]) for name in names]) if names else None
    if isinstance(rows, Sequence):
        are_records = len(rows) > 0 and (isinstance(rows[0], Mapping) or _is_series(rows[0]))
        return _from_records(rows) if are_records else None
    if _is_series(rows):
        is_row = bool(wanted) and set(wanted) <= set(map(str, rows.index))
        return Table([*rows.index], [[value] for value in rows]) if is_row else None
    return _from_library(rows)


def _from_library(rows: Any) -> Table | None:
    """Return the columns of a table of Arrow, polars or pandas."""
    if hasattr(rows, "column_names"):
        return Table(rows.column_names, rows.columns)
    is_lazy = hasattr(rows, "collect")  # polars, Spark, Dask
    if not is_lazy and not hasattr(rows, "columns"):
        return None
    names = [] if is_lazy else list(rows.columns)
    if hasattr(rows, "to_series"):
        return Table(names, [rows.to_series(index) for index in range(len(names))])
    if hasattr(rows, "iloc") and not is_lazy:
        return Table(names, [rows.iloc[:, index] for index in range(len(names))])
    raise RowsError(
        f"the rows are a {type(rows).__module__}.{type(rows).__name__}, which is not a table in memory: pass"
        " one of pandas, polars or Arrow"
    )


def _from_records(rows: Sequence[Any]) -> Table:
    records = [dict(row.items()) if _is_series(row) else row for row in rows]
    odd = next((row for row, record in enumerate(records) if not isinstance(record, Mapping)), None)
    if odd is not None:
        raise RowsError(
            f"row {odd} is of type {type(rows[odd]).__name__}, and row 0 has names: pass all rows as dicts"
        )
    names = list(dict.fromkeys(name for record in records for name in record))
    for row, record in enumerate(records):
        absent = [name for name in names if name not in record]
        if absent:
            raise RowsError(
                f"row {row} lacks {listed(absent)}, which other rows have: write None where a"
                " value is missing"
            )
    return Table(names, [[record[name] for record in records] for name in names])


def _is_series(rows: Any) -> bool:
    return hasattr(rows, "iloc") and not hasattr(rows, "columns")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str) or (not hasattr(value, "__len__") and np.ndim(value) == 0)


def listed(names: Collection[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(map(repr, list(names)[:_SHOWN_NAMES])) or "none"
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
