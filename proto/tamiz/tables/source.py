"""A file of rows: a CSV, JSON lines or Parquet file, whole or in chunks."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import pyarrow as pa

from tamiz.tables.columns import ColumnType, Unknown, json_column, text_column
from tamiz.tables.errors import TableError, ValueRefused
from tamiz.tables.json_lines import JsonLines
from tamiz.tables.lines import lines
from tamiz.tables.options import KINDS, Reading
from tamiz.tables.parquet import Parquet
from tamiz.tables.separated import Separated

_SEPARATORS: Final = {".csv": None, ".tsv": "\t"}
_JSON: Final = (".jsonl", ".ndjson", ".json")
_SHOWN: Final = 60


class Source:
    """A file of rows, open until the block ends. Rows are counted from 0, without the header.

    Attributes:
        names: of the columns, in the file's order.
        shown: what the file is called in a message.
        n_rows: how many rows there are; None where that is known only at the end.
    """

    def __init__(self, path: str | Path, reading: Reading | None = None, named: Collection[str] = ()) -> None:
        """Open a file and read the names of its columns.

        Args:
            path: of the file; "-" for CSV on standard input.
            reading: how it is read.
            named: columns that are used; pandas' index is a column only if its name is among them.

        Raises:
            TableError: if the file is missing, empty or of another kind, or repeats a column.
        """
        self._path = str(path)
        self.shown = "the standard input" if self._path == "-" else self._path
        self._reading = reading or Reading()
        self._n_read = 0
        with self._explained(), ExitStack() as opened:
            self._file, self._convert = self._opened(opened, named)
            self.names: list[str] = self._file.names
            self.n_rows: int | None = getattr(self._file, "n_rows", None)
            repeated = next((name for name in self.names if self.names.count(name) > 1), None)
            if repeated is not None:
                raise TableError(f"the column {repeated!r} occurs twice; give each column a name of its own")
            self._open = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def chunks(
        self, types: Mapping[str, ColumnType], rest: ColumnType, n_rows: int | None
    ) -> Iterator[pa.Table]:
        """Yield the rows in order; a file without rows is one table without rows.

        Args:
            types: of columns by name. A Parquet file has its own types, and keeps them.
            rest: the type of all other columns; `Unknown.GUESSED` only if all rows are read at once.
            n_rows: how many rows a table has at most; None for all rows.

        Raises:
            TableError: for a row that is broken, or a value that its column's type does not hold exactly.
        """
        kinds = [types.get(name, rest) for name in self.names]
        with self._explained():
            if isinstance(self._file, Parquet):
                yield from self._file.tables(n_rows) if self.n_rows else [self._file.empty()]
                return
            for columns in self._file.chunks(n_rows):
                yield self._table(columns, kinds)
                self._n_read += len(columns[0])
            if self._n_read == 0:
                yield self._table([()] * len(kinds), kinds)

    def read(self, types: Mapping[str, ColumnType], columns: Sequence[str]) -> pa.Table:
        """Return some columns with all their rows; see `chunks`. Types that are not known are guessed.

        Raises:
            TableError: as in `chunks`; if a column is missing, or there are no rows.
        """
        missing = [name for name in columns if name not in self.names]
        if missing:
            raise TableError(
                f"{self.shown} has no column {', '.join(map(repr, missing))}; it has"
                f" {', '.join(map(repr, self.names))}"
            )
        wanted = {name: types.get(name, Unknown.GUESSED) for name in columns}
        (table,) = self.chunks(wanted, Unknown.TEXT, None)
        if table.num_rows == 0:
            raise TableError(f"{self.shown} has columns, but no rows")
        return table.select(list(columns))

    def _table(self, columns: Sequence[Sequence[Any]], kinds: Sequence[ColumnType]) -> pa.Table:
        missing = self._reading.missing
        arrays = []
        for name, values, kind in zip(self.names, columns, kinds, strict=True):
            if missing:
                values = [None if isinstance(each, str) and each in missing else each for each in values]  # noqa: PLW2901
            try:
                arrays.append(self._convert(values, kind))
            except ValueRefused as refused:
                value = repr(refused.value)
                shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
                raise TableError(
                    f"column {name!r}, row {self._n_read + refused.row}: {shown}: {refused.why}"
                ) from refused
        return pa.table(arrays, names=self.names)

    def _opened(
        self, opened: ExitStack, named: Collection[str]
    ) -> tuple[Separated | JsonLines | Parquet, Callable[[Sequence[Any], ColumnType], pa.Array]]:
        kind = Path(self._path.lower().removesuffix(".gz")).suffix
        if self._path.lower().endswith(".parquet"):
            return Parquet(self._binary(opened), named, self._reading.missing), text_column
        if self._path != "-" and kind not in (*_SEPARATORS, *_JSON):
            raise TableError(f"it is not a table: expected a file that ends in {KINDS}")
        text = lines(self._binary(opened), self._reading.encoding)
        if kind in _JSON:
            return JsonLines(text), json_column
        return Separated(text, self._reading.separator or _SEPARATORS.get(kind)), text_column

    def _binary(self, opened: ExitStack) -> BinaryIO:
        if self._path == "-":
            if sys.stdin.isatty():
                print("reading CSV from standard input; end it with Ctrl-D", file=sys.stderr)  # noqa: T201
            return sys.stdin.buffer
        open_binary: Any = gzip.open if self._path.lower().endswith(".gz") else open
        file: BinaryIO = opened.enter_context(open_binary(self._path, "rb"))
        return file

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Put the file's name before what went wrong."""
        try:
            yield
        except TableError as error:
            raise TableError(f"{self.shown}: {error}") from error
        except FileNotFoundError as error:
            raise TableError(f"{self.shown} does not exist") from error
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, pa.ArrowException) as error:
            number = error.errno if isinstance(error, OSError) else None
            why = str(error) if number is None else os.strerror(number)
            raise TableError(f"{self.shown} cannot be read: {why}") from error
