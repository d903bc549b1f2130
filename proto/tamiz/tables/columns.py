"""A column's values become an arrow array of the type that is known for the column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.tables import cells, guess
from tamiz.tables.errors import ValueRefused
from tamiz.v1.manifest_pb2 import DataType, InputSpec


class Unknown(Enum):
    """What is done with a column whose type is not known."""

    TEXT = "stays text, as it stands in the file"
    NUMBER = "is bool or int64 if all its values are, else float64"
    GUESSED = "has the type that all its values have; a code stays text"


ColumnType = DataType | Unknown


def types_of(specs: Iterable[InputSpec]) -> dict[str, ColumnType]:
    """Return the types of the columns that a bundle's inputs read, by name."""
    return {name: spec.dtype for spec in specs for name in spec.column_names or [spec.name]}


# What pyarrow's own, fast conversion reads as `cells` does; anything else goes through `cells`.
_PLAIN_FLOATS: Final = r"^(-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?)?$"
_PLAIN_INTEGERS: Final = r"^-?[0-9]{1,18}$"


def text_column(texts: Sequence[str | None], kind: ColumnType) -> pa.Array:
    """Return a column of CSV as an array; None is a missing value.

    Numbers with a fraction are float64 whatever the float type is: the reader of tables rounds them.

    Raises:
        ValueRefused: for the first value that the type does not hold exactly.
    """
    kind = _resolved(texts, kind, guess.type_of_texts, guess.type_of_numbers)
    if kind in (Unknown.TEXT, DataType.DATA_TYPE_STRING):
        return pa.array(texts, pa.string())
    dtype = NUMERIC_DTYPES[cast(DataType, kind)]
    fast = None if dtype.kind == "b" else _fast(texts, dtype)
    return fast if fast is not None else _each(texts, _OF_TEXT[dtype.kind], dtype)


def json_column(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    """Return a column of JSON values as an array; see `text_column`."""
    kind = _resolved(values, kind, guess.type_of_json, guess.number_of_json)
    if kind is Unknown.TEXT:
        return pa.array(map(cells.text_of_json, values), pa.string())
    if kind == DataType.DATA_TYPE_STRING:
        return _array(values, cells.string_of_json, pa.string())
    dtype = NUMERIC_DTYPES[cast(DataType, kind)]
    return _each(values, _OF_JSON[dtype.kind], dtype)


_OF_TEXT: Final[dict[str, Callable[..., Any]]] = {
    "b": cells.bool_of_text,
    "f": cells.float_of_text,
    "i": cells.integer_of_text,
    "u": cells.integer_of_text,
}
_OF_JSON: Final[dict[str, Callable[..., Any]]] = {
    "b": cells.bool_of_json,
    "f": cells.float_of_json,
    "i": cells.integer_of_json,
    "u": cells.integer_of_json,
}


def _resolved(
    values: Sequence[Any],
    kind: ColumnType,
    guessed: Callable[[Sequence[Any]], DataType],
    number: Callable[[Sequence[Any]], DataType],
) -> ColumnType:
    if kind is Unknown.GUESSED:
        return guessed(values)
    return number(values) if kind is Unknown.NUMBER else kind


def _fast(texts: Sequence[str | None], dtype: np.dtype[Any]) -> pa.Array | None:
    """Return the array if all values are plain ones; else None."""
    array = pa.array(texts, pa.string())
    is_float = dtype.kind == "f"
    plain = pc.match_substring_regex(array, _PLAIN_FLOATS if is_float else _PLAIN_INTEGERS)
    if not pc.all(plain.fill_null(is_float), min_count=0).as_py():
        return None
    try:
        if not is_float:
            return array.cast(pa.int64()).cast(pa.from_numpy_dtype(dtype))
        floats = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    largest = pc.max(pc.abs(floats)).as_py()
    exact = 2.0 ** np.finfo(dtype).nmant  # up to here the type holds every whole number
    return floats if largest is None or largest < exact else None


def _each(values: Sequence[Any], take: Callable[..., Any], dtype: np.dtype[Any]) -> pa.Array:
    kind = pa.float64() if dtype.kind == "f" else pa.from_numpy_dtype(dtype)
    return _array(values, take if dtype.kind == "b" else partial(take, dtype=dtype), kind)


def _array(values: Sequence[Any], convert: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
    converted = []
    for row, value in enumerate(values):
        try:
            converted.append(convert(value))
        except ValueError as error:
            raise ValueRefused(row, value, str(error)) from error
    return pa.array(converted, kind)
