"""One column of a table, whoever made it: its values as NumPy has them, and where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_EXACT_INTEGER: Final = 2**53
"""Up to here a float64 holds every whole number."""


class RowsError(ValueError):
    """Rows do not fit; the message says what is wrong with them, what was expected, and what to do."""


class CellRefused(RowsError):
    """A value does not fit. The message names the column, the row and the value."""

    def __init__(self, what: str, row: int, why: str) -> None:
        """Say what is wrong in which row; rows are counted from 0."""
        super().__init__(f"{what}, row {row}: {why}")
        self._what, self._row, self._why = what, row, why

    def after(self, n_rows: int) -> str:
        """Return the message for rows that follow so many others."""
        return f"{self._what}, row {n_rows + self._row}: {self._why}"


@dataclass(frozen=True)
class Column:
    """Values, one or more per row.

    Attributes:
        values: (n_rows, …), of a numeric dtype, or object: None where a value is missing. In a float column
            NaN is missing.
        missing: (n_rows, …), bool: which values are missing.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]


def column_of(values: Any) -> Column:
    """Return the values of a column, a Series, an array or a list.

    Args:
        values: an ndarray (also a masked one), a list, or a column of pandas, polars or Arrow of any type:
            nullable, categorical, dictionary-encoded, decimal. Missing is whatever its owner calls so: NaN,
            None, NaT, pandas' NA, a null, a masked value.

    Raises:
        RowsError: for lists of several lengths, and what is not a column at all.
    """
    array = _array(values)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype.kind in "fcmM":
        return Column(array, np.isnat(array) if array.dtype.kind in "mM" else np.isnan(array))
    if array.dtype.kind != "O":
        return Column(array, np.zeros(array.shape, dtype=bool))
    missing = np.fromiter(map(_is_missing, array.flat), dtype=bool, count=array.size).reshape(array.shape)
    if missing.any():
        array = array.copy()
        array[missing] = None
    return Column(array, missing)


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(values)
        none = np.array(None, dtype=object)
        return np.asarray(np.where(masked, none, values.data) if masked.any() else values.data)
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "to_pylist"):
        return _from_arrow(values)
    if hasattr(values, "null_count"):
        return _from_polars(values)
    if hasattr(values, "to_numpy"):
        return _from_pandas(values)
    return _from_sequence(values)


def _from_arrow(values: Any) -> NDArray[Any]:
    """A null in whole numbers would make them floats, and a dictionary or a decimal has no dtype."""
    kind = str(values.type)
    if kind.startswith(("float", "double", "halffloat")) or (
        values.null_count == 0 and kind.startswith(("int", "uint", "bool"))
    ):
        as_numpy = values if hasattr(values, "chunks") else values.to_numpy(zero_copy_only=False)
        return np.asarray(as_numpy)
    return _objects(values.to_pylist())


def _from_polars(values: Any) -> NDArray[Any]:
    """A null in whole numbers would make them floats."""
    if values.dtype.is_float() or (
        values.null_count() == 0 and (values.dtype.is_integer() or str(values.dtype) == "Boolean")
    ):
        return np.asarray(values.to_numpy())
    return _objects(values.to_list())


def _from_pandas(values: Any) -> NDArray[Any]:
    """NumPy's own dtypes as they are; the others would lose whole numbers or categories on their way."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return np.asarray(values.to_numpy())
    if hasattr(dtype, "categories"):  # by code, because pandas would make whole numbers with a gap floats
        categories = _objects([*column_of(dtype.categories).values.tolist(), None])
        array = categories[np.asarray(values.cat.codes if hasattr(values, "cat") else values.codes)]
    else:
        array = values.to_numpy(dtype=object)
    if not any(map(_is_missing, array)):
        return _from_sequence(array.tolist())
    return np.asarray(array)


def _from_sequence(values: Any) -> NDArray[Any]:
    """NumPy would make a number or None among strings a string, and a large whole number a float."""
    try:
        array = np.asarray(values)
        if array.dtype.kind in "US" or (array.dtype.kind == "f" and _has_large_integer(values)):
            array = np.array(values, dtype=object)
    except ValueError as error:  # lists of several lengths
        raise RowsError(f"they are not an array: {error}") from error
    return array


def _has_large_integer(values: Any) -> bool:
    if isinstance(values, Sequence) and not isinstance(values, str):
        return any(map(_has_large_integer, values))
    return isinstance(values, int | np.integer) and abs(int(values)) > _EXACT_INTEGER


def _objects(values: list[Any]) -> NDArray[Any]:
    """Return a list as an array of one dimension, whatever its elements are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT or pandas' NA."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124  NaN
    except (
        TypeError,
        ValueError,
        ArithmeticError,
    ):  # NA, an array, a signaling NaN
        return not hasattr(value, "__len__")
