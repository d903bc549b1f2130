"""JSON lines: one object per line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from tamiz.tables.errors import TableError


class JsonLines:
    """A file of JSON objects.

    Attributes:
        names: of the columns: the keys of the first row.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        """Read the first row.

        Raises:
            TableError: if there is none.
        """
        rows = self._rows(lines)
        first = next(rows, None)
        if first is None:
            raise TableError("it is empty: expected one JSON object per line")
        if not first:
            raise TableError("row 0 has no values: expected a JSON object with a value per column")
        self.names = list(first)
        self._rest = chain([first], rows)

    def chunks(self, n_rows: int | None) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the values of each column, for at most `n_rows` rows at a time; None for all rows.

        Raises:
            TableError: for a line that is no JSON object, or has other keys than the first one.
        """
        while chunk := list(islice(self._rest, n_rows)):
            yield [tuple(row[name] for row in chunk) for name in self.names]

    def _rows(self, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
        first: dict[str, Any] | None = None
        for row, line in enumerate(filter(str.strip, lines)):
            values = _object(line, row)
            first = first or values
            if values.keys() != first.keys():
                _refuse(row, values, first)
            yield values


def _refuse(row: int, values: dict[str, Any], first: dict[str, Any]) -> None:
    """Refuse a row with other keys: a misspelled one would become a missing value without a word."""
    absent = next((name for name in first if name not in values), None)
    if absent is not None:
        raise TableError(f"row {row} lacks {absent!r}, which row 0 has: write null where a value is missing")
    new = next(name for name in values if name not in first)
    raise TableError(f"row {row} has {new!r}, which row 0 lacks: write null where a value is missing")


def _object(line: str, row: int) -> dict[str, Any]:
    try:
        values = json.loads(line, object_pairs_hook=_once, parse_float=_float)
        if "\\u" in line:  # half of a character, which no text can hold
            json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise TableError(f"row {row} is not JSON: {error}; expected one object per line") from error
    if not isinstance(values, dict):
        raise TableError(
            f"row {row} is not a JSON object; expected one object per line, as pandas writes it with"
            " to_json(orient='records', lines=True)"
        )
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} occurs twice")
    return values


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large for float64")
    return value
