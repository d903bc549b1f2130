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
        rows: a table of pandas, polars or Arrow, a dict of columns, a list of records, one record, a
            structured array, or a pandas Series that is the row of a table; or an array or list. A record is
            a dict, a named tuple, the row of a database or of a structured array; in a list, also a Series.
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
    if isinstance(rows, np.ndarray):
        names = rows.dtype.names
        return Table(names, [np.atleast_1d(rows[name]) for name in names]) if names else None
    if hasattr(rows, "iloc") and not hasattr(rows, "columns"):
        is_row = bool(wanted) and set(wanted) <= set(map(str, rows.index))
        return Table([*rows.index], [[value] for value in rows]) if is_row else None
    named = _named_values(rows)
    if named is not None:
        is_record = bool(named) and all(_is_scalar(value) for _, value in named)
        return Table([name for name, _ in named], [[value] if is_record else value for _, value in named])
    if isinstance(rows, Sequence):
        one_of_each_type = {type(row): row for row in rows}.values()
        return (
            _from_records(rows) if any(_named_values(row) is not None for row in one_of_each_type) else None
        )
    return _from_library(rows)


def _from_library(rows: Any) -> Table | None:
    """Return the columns of a table of Arrow, polars or pandas."""
    if hasattr(rows, "column_names") and hasattr(rows, "columns"):
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
    records = []
    for number, row in enumerate(rows):
        named = _named_values(row)
        if named is None:
            raise RowsError(f"row {number} is a {type(row).__name__} without names, which other rows have")
        records.append({str(name): value for name, value in named})
        if len(records[-1]) < len(named):
            raise RowsError(f"row {number} has a name twice: {listed([str(name) for name, _ in named])}")
    names = list(dict.fromkeys(name for record in records for name in record))
    for number, record in enumerate(records):
        absent = [name for name in names if name not in record]
        if absent:
            raise RowsError(
                f"row {number} lacks {listed(absent)}, which other rows have: write None where a"
                " value is missing"
            )
    return Table(names, [[record[name] for record in records] for name in names])


def _named_values(row: Any) -> list[tuple[Any, Any]] | None:
    """Return the values of a record with their names; None for what has no names, and for whole tables."""
    if isinstance(row, Mapping):
        return [*row.items()]
    if isinstance(row, np.void):
        return None if row.dtype.names is None else [*zip(row.dtype.names, row.item(), strict=True)]
    if isinstance(row, tuple):  # itertuples, SQLAlchemy; Spark
        names = getattr(row, "_fields", None) or getattr(row, "__fields__", None)
        return None if names is None else [*zip(names, row, strict=True)]
    if not callable(getattr(row, "keys", None)) or hasattr(row, "columns"):  # pandas' groups have others
        return None
    names = [*row.keys()]  # a Series, sqlite3.Row
    return None if names == [*range(len(names))] else [*zip(names, row, strict=True)]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str) or (not hasattr(value, "__len__") and np.ndim(value) == 0)


def listed(names: Collection[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(map(repr, list(names)[:_SHOWN_NAMES])) or "none"
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
