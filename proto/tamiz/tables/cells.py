"""Single values: what the text of a CSV field, or a JSON value, is as a value of a type.

Each function raises ValueError, with what was expected, for a value that the type does not hold exactly.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final

import numpy as np

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE: Final = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_COMMA: Final = re.compile(r"[+-]?[0-9][0-9.]*,[0-9]+")
_BLANK: Final = " \t"
_BOOLS: Final = dict.fromkeys(("true", "True", "TRUE", "1"), True) | dict.fromkeys(
    ("false", "False", "FALSE", "0"), False
)
_DIGITS: Final = 20
"""More than any integer type has; a Decimal such as 1e999999999 is not written out."""

_NOT_MISSING: Final = "which cannot be missing: fill it in, or leave the row out"


def float_of_text(text: str | None, dtype: np.dtype[Any]) -> float | None:
    """Return a float; None for an empty field or NaN. A bool is 1 or 0, as in a table in memory."""
    stripped = "" if text is None else text.strip(_BLANK)
    if stripped.lower() in {"", "nan"}:
        return None
    if _INFINITE.fullmatch(stripped):
        return float(stripped)
    if stripped in _BOOLS:
        return float(_BOOLS[stripped])
    if not _DECIMAL.fullmatch(stripped):
        raise ValueError(_no_number(stripped, "a number"))
    value = float(stripped)
    if math.isinf(value) or (_INTEGER.fullmatch(stripped) and not _holds(dtype, int(stripped))):
        raise ValueError(f"expected a number that {dtype.name} holds exactly")
    return value


def integer_of_text(text: str | None, dtype: np.dtype[Any]) -> int:
    """Return an integer; "1.0" is one."""
    stripped = "" if text is None else text.strip(_BLANK)
    if not stripped or text is None:
        raise ValueError(f"expected {dtype.name}, {_NOT_MISSING}")
    if stripped in _BOOLS:
        return int(_BOOLS[stripped])
    if not _DECIMAL.fullmatch(stripped):
        raise ValueError(f"expected a whole number ({dtype.name})")
    return _in_range(Decimal(stripped), dtype)


def bool_of_text(text: str | None) -> bool:
    """Return a bool."""
    stripped = "" if text is None else text.strip(_BLANK)
    if stripped not in _BOOLS:
        raise ValueError("expected true, false, 1 or 0" + ("" if stripped else f", {_NOT_MISSING}"))
    return _BOOLS[stripped]


def float_of_json(value: Any, dtype: np.dtype[Any]) -> float | None:
    """Return a float; None for null and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, (int, float)):
        raise ValueError("expected a number or null")  # noqa: TRY004  a ValueError like the others
    if isinstance(value, int):
        return float_of_text(str(int(value)), dtype)
    return value


def integer_of_json(value: Any, dtype: np.dtype[Any]) -> int:
    """Return an integer; 1.0 is one."""
    if value is None:
        raise ValueError(f"expected {dtype.name}, {_NOT_MISSING}")
    if not isinstance(value, (int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"expected a whole number ({dtype.name})")
    return _in_range(Decimal(value), dtype)


def bool_of_json(value: Any) -> bool:
    """Return a bool; 1 and 0 are bools."""
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise ValueError("expected true or false" + (f", {_NOT_MISSING}" if value is None else ""))


def string_of_json(value: Any) -> str | None:
    """Return a text; None for null."""
    if value is None or isinstance(value, str):
        return value
    raise ValueError("expected a text in quotes, or null")


def text_of_json(value: Any) -> str | None:
    """Return a value as it stands in the file."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _holds(dtype: np.dtype[Any], value: int) -> bool:
    with np.errstate(over="ignore"):
        held = float(dtype.type(value))
    return math.isfinite(held) and int(held) == value


def _in_range(value: Decimal, dtype: np.dtype[Any]) -> int:
    limits = np.iinfo(dtype)
    if (
        value.adjusted() > _DIGITS
        or value != value.to_integral_value()
        or not limits.min <= value <= limits.max
    ):
        raise ValueError(f"expected a whole number from {limits.min} to {limits.max} ({dtype.name})")
    return int(value)


def _no_number(text: str, expected: str) -> str:
    if _COMMA.fullmatch(text):
        return f"expected {expected} with a decimal point and no comma"
    if any(map(str.isdigit, text)):
        return f"expected {expected} such as 1234.5, without a unit or a separator of thousands"
    return f"expected {expected}; a word that means a missing value is named with --missing-values"
