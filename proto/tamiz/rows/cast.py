"""A column becomes the dtype of an input, if this type holds exactly these values."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz.dtypes import NUMERIC_DTYPES, name_of
from tamiz.rows.column import CellRefused, Column, RowsError, column_of
from tamiz.v1.manifest_pb2 import DataType

NUMBERS: Final = (bool, int, float, np.bool_, np.integer, np.floating, Decimal, Fraction)
"""What a column of objects may hold for a type of numbers."""


_DIGITS: Final = 308
"""No type holds a number of more digits, but a few floats."""

_NOT_WHOLE: Final = 0.5
"""In place of any fraction for a type of whole numbers: the float next to a fraction may be whole."""


def cast(column: Column, dtype: DataType, what: str) -> NDArray[Any]:
    """Return a column's values in the dtype of an input.

    Text stays text and numbers stay numbers: neither is read as the other. A whole number or a bool is taken
    where the target holds the same value; a fraction is rounded to the nearest float of the target. A missing
    number becomes NaN, and a missing text the empty text.

    Args:
        column: the values, (n_rows, …).
        dtype: the type of the input.
        what: the name of the column or input, for the error.

    Raises:
        RowsError: with the first value that the type does not hold, and its row.
    """
    wanted = name_of(dtype)
    if dtype == DataType.DATA_TYPE_STRING:
        return _as_text(column, what)
    target = NUMERIC_DTYPES[dtype]
    if column.values.dtype == target:
        return column.values
    if column.values.dtype.kind in "cmM":
        raise RowsError(f"{what} wants {wanted}, got {column.values.dtype}: convert it as in the training")
    if column.missing.any() and target.kind != "f":
        why = f"a value is missing, which {wanted} cannot hold: fill it in, or leave the row out"
        raise CellRefused(what, _first(column.missing), why)
    numbers = column.values
    if numbers.dtype.kind == "O":
        numbers = _numbers(column, target, wanted, what)
    return _converted(numbers, column, target, wanted, what)


def _as_text(column: Column, what: str) -> NDArray[np.object_]:
    if column.values.dtype.kind != "O":
        _refuse(column, ~column.missing, "string", what, "; pass text, such as astype(str) gives")
    values = column.values.astype(object)
    values[column.missing] = ""
    wrong = np.fromiter((not isinstance(value, str) for value in values.flat), bool, values.size)
    _refuse(column, wrong.reshape(values.shape), "string", what, "; pass text, such as astype(str) gives")
    broken = np.fromiter((not is_unicode(value) for value in values.flat), bool, values.size)
    _refuse(column, broken.reshape(values.shape), "string", what, ": it holds half of a surrogate pair")
    return values


def is_unicode(text: str) -> bool:
    """Return whether a text can be sent: half of a surrogate pair has no encoding."""
    return text.isascii() or text.encode(errors="replace").decode() == text


def _numbers(column: Column, target: np.dtype[Any], wanted: str, what: str) -> NDArray[Any]:
    """Return objects as an array of numbers; NaN where one is missing."""
    values = column.values
    wrong = np.fromiter((not isinstance(value, NUMBERS) for value in values.flat), bool, values.size).reshape(
        values.shape
    )
    wrong &= ~column.missing
    is_text = isinstance(next(iter(values[wrong]), ""), str)
    why = ": text is not read as a number" if is_text else ": convert it as in the training"
    _refuse(column, wrong, wanted, what, why)
    filled = np.where(column.missing, np.nan, values).flat
    return column_of([_plain_number(value, target) for value in filled]).values.reshape(values.shape)


def _plain_number(value: Any, target: np.dtype[Any]) -> Any:
    """Return a Decimal or Fraction as an int, if it is whole, or as a float; any other number as it is."""
    if not isinstance(value, Decimal | Fraction):
        return value
    if isinstance(value, Decimal) and not value.is_finite():
        return float(value)
    # The digits of 1e999999 are not written out.
    if (value.adjusted() > _DIGITS) if isinstance(value, Decimal) else (abs(value) > 10**_DIGITS):
        return 10**_DIGITS
    if value == int(value):
        return int(value)
    return float(value) if target.kind == "f" else _NOT_WHOLE


def _converted(
    numbers: NDArray[Any], column: Column, target: np.dtype[Any], wanted: str, what: str
) -> NDArray[Any]:
    """Return numbers in a dtype; one too large for NumPy's own is an object."""
    with np.errstate(over="ignore", invalid="ignore"):
        if numbers.dtype.kind == "O":
            lost = _lost_one_by_one(numbers, target)
            converted = np.where(lost, 0, numbers).astype(target)
        else:
            converted = numbers.astype(target)
            lost = _lost(numbers, converted)
    way_out = ""
    if numbers.dtype.kind in "iuO" and target.kind == "f":
        way_out = ": it is too large to be exact; pass an identifier as text, or leave it out of the features"
    _refuse(column, lost, wanted, what, way_out)
    return converted


def _lost(numbers: NDArray[Any], converted: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values are not the same after a conversion."""
    source, target = numbers.dtype.kind, converted.dtype
    if source == "f" and target.kind == "f":  # rounding is fine, overflow is not
        return np.asarray(np.isinf(converted) & ~np.isinf(numbers))
    if source == "f":
        floats = numbers.astype(np.float64)
        low, high = (0.0, 1.0) if target.kind == "b" else (float(np.iinfo(target).min), 2.0 ** _bits(target))
        inside = (floats >= low) & ((floats <= high) if target.kind == "b" else (floats < high))
        return np.asarray(~inside | (np.floor(floats) != floats))
    if target.kind == "f":  # every whole number up to this one is exact; the few beyond one by one
        large = np.abs(converted.astype(np.float64)) >= 2.0 ** (np.finfo(target).nmant + 1)
        if large.any():
            large[large] = [
                not np.isfinite(got) or int(got) != int(given)
                for got, given in zip(converted[large], numbers[large], strict=True)
            ]
        return np.asarray(large)
    back = converted.astype(numbers.dtype)  # a negative number becomes a large one, and comes back
    return np.asarray((back != numbers) | ((numbers < 0) != (converted < 0)))


def _bits(target: np.dtype[Any]) -> int:
    return int(np.iinfo(target).bits - (target.kind == "i"))


def _lost_one_by_one(numbers: NDArray[Any], target: np.dtype[Any]) -> NDArray[np.bool_]:
    """Return which of some Python numbers a dtype does not hold: whole ones that no NumPy dtype does."""

    def is_lost(value: Any) -> bool:
        if value is None:  # refused before, unless it becomes NaN
            return False
        try:
            held = target.type(value)
            if target.kind == "f" and isinstance(value, float):
                return bool(np.isinf(held) and not np.isinf(value))
            return bool(int(held) != value)
        except (OverflowError, ValueError):  # too large, infinite or missing
            return True

    return np.fromiter(map(is_lost, numbers.flat), bool, numbers.size).reshape(numbers.shape)


def _first(which: NDArray[np.bool_]) -> int:
    """Return the row of the first of some values."""
    return int(np.argwhere(which)[0][0])


def _refuse(column: Column, wrong: NDArray[np.bool_], wanted: str, what: str, way_out: str) -> None:
    if wrong.any():
        value = column.values[wrong].flat[0]
        shown = repr(value.item() if isinstance(value, np.generic) else value)
        raise CellRefused(
            what, _first(wrong), f"{shown} does not fit {wanted}, which the model reads{way_out}"
        )
