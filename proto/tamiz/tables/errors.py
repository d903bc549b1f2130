"""What can go wrong with a file of rows."""

from __future__ import annotations

from typing import Any


class TableError(Exception):
    """A file cannot be read or written; the message names the file, and the column, row and value."""


class ValueRefused(Exception):
    """A column cannot be read because of one value.

    Attributes:
        row: of the value, 0 for the first of the values at hand.
        value: what stands there.
        why: why it is refused, and what to do.
    """

    def __init__(self, row: int, value: Any, why: str) -> None:
        super().__init__(row, value, why)
        self.row = row
        self.value = value
        self.why = why
