"""The caller's rows: an array, a table, or a dict of arrays by input.

The first dimension of an array is the rows. The others are features, or the channels and pixels of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.rows import RowsError as DoNotFit
from tamiz.rows import as_table, column_of
from tamiz_convert.errors import RowsError

_MATRIX_DIMENSIONS: Final = 2


def as_rows(rows: Any, what: str) -> Any:
    """Return rows as a DataFrame, an ndarray of at least two dimensions, or a dict of ndarrays.

    Args:
        rows: the caller's rows: see `tamiz.rows.as_table`. A table of another library than pandas, a dict of
            columns and a list of records become a DataFrame.
        what: the name of the rows in an error.

    Raises:
        RowsError: for a sparse matrix, an array of one dimension, arrays of different lengths, or no rows.
    """
    try:
        taken = rows if isinstance(rows, pd.DataFrame) else _taken(rows)
    except DoNotFit as error:
        raise RowsError(f"the {what} rows do not fit: {error}") from error
    if isinstance(taken, np.ndarray) and taken.ndim < _MATRIX_DIMENSIONS:
        raise RowsError(f"the {what} rows have shape {list(taken.shape)}; expected [rows, features]")
    lengths = {name: len(array) for name, array in taken.items()} if isinstance(taken, Mapping) else {}
    if len(set(lengths.values())) > 1:
        raise RowsError(f"the {what} rows have inputs of different lengths: {lengths}")
    if count(taken) == 0:
        raise RowsError(f"there are no {what} rows")
    return taken


def _taken(rows: Any) -> Any:
    table = as_table(rows)
    if table is None:
        return column_of(rows).values
    columns = {name: table[name].values for name in table}
    if isinstance(rows, Mapping) and any(array.ndim != 1 for array in columns.values()):
        return {name: array.reshape(-1, 1) if array.ndim == 1 else array for name, array in columns.items()}
    if len({len(array) for array in columns.values()}) > 1:
        return columns  # refused: their lengths are in the message
    return pd.DataFrame(columns)


def count(rows: Any) -> int:
    """Return how many rows there are."""
    return len(next(iter(rows.values()), ())) if isinstance(rows, Mapping) else len(rows)


def take(rows: Any, which: NDArray[np.int64] | slice) -> Any:
    """Return some of the rows, in the given order."""
    if isinstance(rows, Mapping):
        return {name: array[which] for name, array in rows.items()}
    return rows.iloc[which] if isinstance(rows, pd.DataFrame) else rows[which]


def joined(first: Any, second: Any) -> Any:
    """Return the rows of both; they must be of the same kind."""
    if isinstance(first, Mapping):
        return {name: np.concatenate([array, second[name]]) for name, array in first.items()}
    if isinstance(first, pd.DataFrame):
        return pd.concat([first, second], ignore_index=True)
    return np.concatenate([first, second])


@dataclass(frozen=True)
class Flat:
    """Rows as a table of single values, and the way back.

    Attributes:
        table: one column per value of a row.
        restore: a table with the same columns → the same kind of rows as the caller's.
        columns_of: input → its columns, if the rows are a dict.
    """

    table: pd.DataFrame
    restore: Callable[[pd.DataFrame], Any]
    columns_of: Mapping[str, list[Any]] = field(default_factory=dict)


def flat(rows: Any) -> Flat:
    """Return rows as a table of single values."""
    if isinstance(rows, pd.DataFrame):
        return Flat(rows, lambda table: table)
    if isinstance(rows, Mapping):
        return _flat_inputs(rows)
    array = np.asarray(rows)
    return Flat(
        pd.DataFrame(array.reshape(len(array), -1)),
        lambda table: table.to_numpy().reshape(-1, *array.shape[1:]),
    )


def features(rows: Any) -> pd.DataFrame:
    """Return the columns that mean something by themselves: no pixels, and no elements of a wide input."""
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, Mapping):
        return pd.DataFrame({name: array.ravel() for name, array in rows.items() if array[:1].size == 1})
    return pd.DataFrame(rows if rows.ndim == _MATRIX_DIMENSIONS else rows[:, :0].reshape(len(rows), 0))


def not_numbers(rows: Any) -> str:
    """Return text for an error that names the columns of a table that are not numbers; may be empty."""
    if not isinstance(rows, pd.DataFrame):
        return ""
    odd = rows.columns.difference(rows.select_dtypes(["number", "bool"]).columns, sort=False)
    named = ", ".join(repr(name) for name in odd)
    return (
        f" (not numbers: {named}; leave out columns that are not features, for example with --features)"
        if named
        else ""
    )


def _flat_inputs(rows: Mapping[str, NDArray[Any]]) -> Flat:
    parts = {name: pd.DataFrame(array.reshape(len(array), -1)) for name, array in rows.items()}
    for name, part in parts.items():
        part.columns = [f"{name}[{i}]" for i in range(part.shape[1])]
    columns_of = {name: list(part.columns) for name, part in parts.items()}

    def restore(table: pd.DataFrame) -> dict[str, NDArray[Any]]:
        return {
            name: table[columns_of[name]].to_numpy().reshape(-1, *array.shape[1:])
            for name, array in rows.items()
        }

    return Flat(pd.concat(parts.values(), axis=1), restore, columns_of)
