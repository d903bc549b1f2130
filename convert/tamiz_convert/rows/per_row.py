"""One value per row: labels, groups and slices, as a list, an array or a column of any library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

import tamiz.rows
from tamiz.rows import Column, as_table, column_of
from tamiz_convert.errors import RowsError, shown

READ_AS_MISSING: Final = frozenset(
    ("", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "-NaN", "-nan")
)
"""Text that pandas.read_csv takes for a missing value, unless it is told otherwise."""


def words_advice(texts: Iterable[Any]) -> str:
    """Return what to do about missing values if there are texts that pandas takes for them; may be empty."""
    words = sorted(READ_AS_MISSING.intersection(each for each in texts if isinstance(each, str)))
    if not words:
        return ""
    return (
        f". It knows the text {', '.join(map(repr, words))}, which pandas.read_csv takes for a missing value:"
        " read the file with keep_default_na=False"
    )


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


def refuse_other_order(rows: Any, values: Any, what: str) -> None:
    """Refuse a Series with the index of the rows in another order: values belong to rows by their position.

    Args:
        rows: the rows as the caller has them.
        values: one value per row, as the caller has them.
        what: the name of the values in an error.

    Raises:
        RowsError: with the first row whose index differs.
    """
    of_rows, of_values = (each.index if hasattr(each, "iloc") else None for each in (rows, values))
    if of_rows is None or of_values is None or len(of_rows) != len(of_values) or of_rows.equals(of_values):
        return
    is_other = of_rows.nlevels != of_values.nlevels or not of_rows.isin(of_values).all()
    if is_other or not of_rows.is_unique:
        return
    row, pair = next(
        (row, pair) for row, pair in enumerate(zip(of_values, of_rows, strict=True)) if pair[0] != pair[1]
    )
    raise RowsError(
        f"the {what} have the index of the rows, but in another order: in row {row} it is {shown(pair[0])},"
        f" and {shown(pair[1])} in the rows. Values belong to rows by their position: pass y.loc[X.index], or"
        " y.to_numpy() if they are in the order of the rows"
    )


def as_codes(column: Column) -> np.ndarray[Any, Any]:
    """Return values that can be sorted: whole numbers and text as they are, all else numbered."""
    if column.values.dtype.kind in "biu":
        return column.values
    values = column.values.tolist()
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=np.str_)
    code: dict[str, int] = {}  # by their text, because a list has no hash
    return np.array([code.setdefault(repr(value), len(code)) for value in values], dtype=np.int64)
