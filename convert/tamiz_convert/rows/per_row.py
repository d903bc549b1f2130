"""One value per row: labels, groups and slices, as a list, an array or a column of any library."""

from __future__ import annotations

from typing import Any

import numpy as np

import tamiz.rows
from tamiz.rows import Column, as_table, column_of
from tamiz_convert.errors import RowsError


def one_per_row(values: Any, what: str) -> Column:
    """Return one value per row, and which are missing.

    Args:
        values: a list, an array of one dimension or one column, a Series or column of pandas, polars or Arrow
            of any dtype, or a table of one column.
        what: the name of the values in an error, such as "calibration labels".

    Returns:
        (n_rows,): numbers, bool or dates as NumPy has them, all else as objects.

    Raises:
        RowsError: for several columns, or what is not a column at all.
    """
    try:
        table = as_table(values) if hasattr(values, "columns") else None
        if table is not None and len(table) != 1:
            raise RowsError(f"the {what} are a table of {len(table)} columns; expected one column")
        column = column_of(values) if table is None else next(iter(table.values()))
    except tamiz.rows.RowsError as error:
        raise RowsError(f"the {what} cannot be read: {error}") from None
    n_rows = len(column.values) if column.values.ndim else 0
    if column.values.size != n_rows or not column.values.ndim:
        shape = f"of shape {list(column.values.shape)}" if column.values.ndim else f"{values!r:.60}"
        raise RowsError(f"the {what} are {shape}; expected one value per row, such as the column itself")
    return Column(column.values.reshape(n_rows), column.missing.reshape(n_rows))


def as_codes(column: Column) -> np.ndarray[Any, Any]:
    """Return values that can be sorted: whole numbers and text as they are, all else numbered."""
    if column.values.dtype.kind in "biu":
        return column.values
    values = column.values.tolist()
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=np.str_)
    code: dict[str, int] = {}  # by their text, because a list has no hash
    return np.array([code.setdefault(repr(value), len(code)) for value in values], dtype=np.int64)
