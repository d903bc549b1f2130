"""The type of a column that the model does not know. Codes stay text; doubt is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tamiz.tables.errors import ValueRefused
from tamiz.v1.manifest_pb2 import DataType

# No plus sign and no leading zero: +31 and 01001 are codes.
_INTEGER: Final = r"^-?(0|[1-9][0-9]*)$"
_NUMBER: Final = r"^(-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|NaN|nan|-?inf)$"
_COMMA: Final = re.compile(r"-?[0-9][0-9.]*,[0-9]+")
_BOOLS: Final = frozenset({"true", "false", "True", "False", "TRUE", "FALSE"})
_WORDS: Final = frozenset(
    (
        "NA",
        "N/A",
        "n/a",
        "na",
        "#N/A",
        "#NA",
        "<NA>",
        "NULL",
        "Null",
        "null",
        "None",
        "none",
        "missing",
        "?",
        ".",
    )
)
"""Words that readers of CSV take for a missing value."""

_POINT: Final = (
    "expected a number with a decimal point and no comma; if the column is text, give the table as Parquet,"
    " which has types"
)
_LARGEST: Final = 2**53
"""Up to here float64 holds every whole number."""

_LARGEST_INT64: Final = 2**63 - 1


def type_of_texts(texts: Sequence[str | None]) -> DataType:
    """Return the type of a column of CSV: numbers only if all values are, and bool likewise; else text.

    Raises:
        ValueRefused: for numbers among words that may mean a missing value, and for decimal commas.
    """
    distinct = pc.unique(pa.array(texts, pa.string()))
    filled = distinct.filter(pc.not_equal(distinct, ""))  # without null, too
    is_missing = len(filled) < len(distinct)
    is_number = pc.match_substring_regex(filled, _NUMBER)
    words = set(filled.filter(pc.invert(is_number)).to_pylist())
    if not words:
        return _of_numbers(filled, is_missing=is_missing)
    if words <= _BOOLS and len(words) == len(distinct):
        return DataType.DATA_TYPE_BOOL
    if len(words) < len(filled) and words <= _WORDS:
        _refuse(
            texts,
            words,
            "the other values are numbers; if it means a missing value, name it with --missing-values, and if"
            " the column is text, give the table as Parquet, which has types",
        )
    if all(_COMMA.fullmatch(word) for word in words):
        _refuse(texts, words, _POINT)
    return DataType.DATA_TYPE_STRING


def type_of_numbers(texts: Sequence[str | None]) -> DataType:
    """Return the type of a column of CSV that the model reads as numbers: bool, int64 or float64."""
    if set(texts) <= _BOOLS and texts:
        return DataType.DATA_TYPE_BOOL
    is_whole = all(text is not None and re.fullmatch(r"[+-]?[0-9]{1,18}", text) for text in texts)
    return DataType.DATA_TYPE_INT64 if is_whole else DataType.DATA_TYPE_FLOAT64


def type_of_json(values: Sequence[Any]) -> DataType:
    """Return the type of a column of JSON values.

    Raises:
        ValueRefused: if they are of several types.
    """
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float}:
        return number_of_json(values)
    if kinds == {bool}:
        return DataType.DATA_TYPE_BOOL
    if kinds == {str}:
        return DataType.DATA_TYPE_STRING
    first = next(value for value in values if value is not None)
    for row, value in enumerate(values):
        if isinstance(value, (list, dict)):
            raise ValueRefused(row, value, "expected a single value")
        if value is not None and isinstance(value, str) != isinstance(first, str):
            raise ValueRefused(row, value, f"the values before are of another type, such as {first!r}")
    row = next(row for row, value in enumerate(values) if isinstance(value, bool) != isinstance(first, bool))
    raise ValueRefused(row, values[row], f"the values before are of another type, such as {first!r}")


def number_of_json(values: Sequence[Any]) -> DataType:
    """Return the type of a column of JSON values that the model reads as numbers: bool, int64 or float64."""
    if {type(value) for value in values} == {bool}:
        return DataType.DATA_TYPE_BOOL
    is_whole = all(type(value) is int and abs(value) < _LARGEST_INT64 for value in values)
    return DataType.DATA_TYPE_INT64 if is_whole else DataType.DATA_TYPE_FLOAT64


def _of_numbers(numbers: pa.Array, *, is_missing: bool) -> DataType:
    if not len(numbers) or not pc.all(pc.match_substring_regex(numbers, _INTEGER)).as_py():
        return DataType.DATA_TYPE_FLOAT64
    try:
        largest = pc.max(pc.abs(numbers.cast(pa.int64()))).as_py()
    except pa.ArrowInvalid:
        return DataType.DATA_TYPE_STRING  # no number holds it exactly, so it is a code
    if is_missing:
        return DataType.DATA_TYPE_FLOAT64 if largest <= _LARGEST else DataType.DATA_TYPE_STRING
    return DataType.DATA_TYPE_INT64


def _refuse(texts: Sequence[str | None], words: set[str], why: str) -> None:
    row = next(row for row, text in enumerate(texts) if text in words)
    raise ValueRefused(row, texts[row], why)
