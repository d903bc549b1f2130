"""CSV and TSV: a header, and fields that are text."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Final

from tamiz.tables.errors import TableError
from tamiz.tables.lines import MAX_LINE

_SEPARATORS: Final = ",;\t|"
_SAMPLE_LINES: Final = 50
_SHOWN: Final = 5
_NAMED: Final = re.compile(r"\"?sep=([^\"\s]|\t)\"?\s*", re.IGNORECASE)
"""A first line by which Excel says what separates the fields."""

csv.field_size_limit(MAX_LINE)


class Separated:
    """A CSV file.

    Attributes:
        names: of the columns.
    """

    def __init__(self, lines: Iterator[str], separator: str | None) -> None:
        """Read the header.

        Args:
            lines: of the file.
            separator: between the fields; None to find it.

        Raises:
            TableError: if there is no header.
        """
        sample = list(islice(lines, _SAMPLE_LINES))
        named = _NAMED.fullmatch(sample[0]) if sample else None
        if named:  # not a header
            del sample[0]
        found = separator or (named[1] if named else _separator(sample))
        self._reader = csv.reader(chain(sample, lines), delimiter=found, strict=True)
        self._n_read = 0
        names = next(filter(None, self._records("the header")), None)
        if names is None:
            raise TableError("it is empty: expected a header with the names of the columns")
        self.names = names

    def chunks(self, n_rows: int | None) -> Iterator[list[tuple[str, ...]]]:
        """Yield the texts of each column, for at most `n_rows` rows at a time; None for all rows.

        Empty lines are passed over; in a file of one column nobody knows whether they are fields.

        Raises:
            TableError: for a row with more or fewer fields than the header, or quotes that do not fit.
        """
        rows = self._rows()
        while chunk := list(islice(rows, n_rows)):
            yield list(zip(*chunk, strict=True))

    def _rows(self) -> Iterator[list[str]]:
        after_gap = False
        for record in self._records(None):
            if not record:
                after_gap = True
                continue
            if after_gap and len(self.names) == 1:
                raise TableError(f'row {self._n_read} is an empty line; write "" for an empty field')
            if len(record) != len(self.names):
                shown = ", ".join(map(repr, record[:_SHOWN])) + (", …" if len(record) > _SHOWN else "")
                raise TableError(
                    f"row {self._n_read} has {len(record)} fields, and the header has {len(self.names)}"
                    f" ({shown}); put a field that holds the separator into double quotes"
                )
            self._n_read += 1
            yield record

    def _records(self, where: str | None) -> Iterator[list[str]]:
        """Yield the records; an empty line is an empty one."""
        try:
            yield from self._reader
        except csv.Error as error:
            raise TableError(
                f"{where or f'row {self._n_read}'}: the quotes do not fit ({error}); a quote in a quoted"
                " field is written twice"
            ) from error


def _separator(sample: list[str]) -> str:
    """Return the separator: the one that gives all lines the same number of fields, and most of them."""
    return max(_SEPARATORS, key=lambda each: _fit(sample, each))


def _fit(sample: list[str], separator: str) -> tuple[bool, bool, int]:
    widths: list[int] = []
    records = csv.reader(sample, delimiter=separator, strict=True)
    with suppress(csv.Error):  # also for a quoted field that goes on after the sample
        widths.extend(len(record) for record in records if record)
    n_columns = widths[0] if widths else 0
    return n_columns > 1, len(set(widths)) == 1, n_columns
