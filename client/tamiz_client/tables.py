"""Tables that are read from files and written to files in chunks, as Parquet or CSV."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tamiz.files import replacing
from tamiz.standard_output import written
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_client.errors import TamizClientError, reason

_ARROW_TYPES: Final = {
    DataType.DATA_TYPE_BOOL: pa.bool_(),
    DataType.DATA_TYPE_INT64: pa.int64(),
    DataType.DATA_TYPE_INT32: pa.int32(),
    DataType.DATA_TYPE_FLOAT32: pa.float32(),
    DataType.DATA_TYPE_FLOAT64: pa.float64(),
    DataType.DATA_TYPE_STRING: pa.string(),
}


class TableError(TamizClientError):
    """A file cannot be read or written."""


class Source:
    """A table that is read in chunks.

    Attributes:
        n_rows: how many rows it has; None for CSV, where that is known only at the end.
        schema: pyarrow's schema of its columns.
    """

    def __init__(self, path: str, specs: Sequence[InputSpec], chunk_rows: int) -> None:
        """Open a table.

        Args:
            path: a .parquet or .csv file, or "-" for CSV on standard input.
            specs: the model's inputs; they give the types of a CSV file's columns.
            chunk_rows: rows per chunk.

        Raises:
            TableError: if the file is missing or of another kind.
        """
        self.n_rows: int | None = None
        self._path = path
        self._chunk_rows = chunk_rows
        try:
            self._open(specs)
        except (OSError, pa.ArrowException) as error:
            raise TableError(f"{path} cannot be read: {reason(error)}") from error

    def chunks(self) -> Iterator[pa.Table]:
        """Return the rows in order, at most `chunk_rows` at a time.

        Raises:
            TableError: for a row that does not fit its column's type.
        """
        try:
            if self._parquet is not None:
                for batch in self._parquet.iter_batches(self._chunk_rows):
                    yield pa.Table.from_batches([batch])
                return
            for batch in self._csv:
                table = pa.Table.from_batches([batch])
                for start in range(0, table.num_rows, self._chunk_rows):
                    yield table.slice(start, self._chunk_rows)
        except (OSError, pa.ArrowException) as error:
            raise TableError(f"{self._path} cannot be read: {reason(error)}") from error

    def _open(self, specs: Sequence[InputSpec]) -> None:
        self._parquet: Any = None
        if self._path.lower().endswith(".parquet"):
            self._parquet = pyarrow.parquet.ParquetFile(self._path)
            self.n_rows = self._parquet.metadata.num_rows
            self.schema = self._parquet.schema_arrow
        elif self._path == "-" or self._path.lower().endswith(".csv"):
            self._open_csv(specs)
        else:
            raise TableError(
                f"{self._path} is not a table: expected a file that ends in .parquet or .csv, or -"
            )

    def _open_csv(self, specs: Sequence[InputSpec]) -> None:
        types = {
            name: _ARROW_TYPES[spec.dtype]
            for spec in specs
            for name in spec.column_names or [spec.name]
            if spec.dtype in _ARROW_TYPES
        }
        if self._path == "-" and sys.stdin.isatty():
            print("reading CSV from standard input; end it with Ctrl-D", file=sys.stderr)  # noqa: T201
        self._csv = pyarrow.csv.open_csv(
            sys.stdin.buffer if self._path == "-" else self._path,
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
        )
        self.schema = self._csv.schema
        first = self.schema.names[0]
        if len(self.schema) == 1 and any(separator in first for separator in ";\t|"):
            raise TableError(
                f"{self._path} has the single column {first[:60]!r}: expected columns separated by commas"
            )


class Sink(Protocol):
    """Where chunks go."""

    def write(self, table: pa.Table) -> None:
        """Write a chunk."""


@contextmanager
def sink(path: str) -> Iterator[Sink]:
    """Write a table in chunks. The file appears only when it is complete.

    Args:
        path: a .parquet or .csv file, or "-" for CSV on standard output.

    Raises:
        TableError: if the file is of another kind or cannot be written.
    """
    if path == "-":
        with written(), _closing(_Writer(sys.stdout.buffer, "csv")) as writer:
            yield writer
        return
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in {"parquet", "csv"}:
        raise TableError(f"{path} is not a table: expected a file that ends in .parquet or .csv")
    try:
        with replacing(Path(path)) as file, _closing(_Writer(file, kind)) as writer:
            yield writer
    except OSError as error:
        raise TableError(f"{path} cannot be written: {reason(error)}") from error


class _Writer:
    """Opens pyarrow's writer with the first chunk, whose columns the file gets."""

    def __init__(self, file: Any, kind: str) -> None:
        self._file = file
        self._kind = kind
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            make = pyarrow.parquet.ParquetWriter if self._kind == "parquet" else pyarrow.csv.CSVWriter
            self._writer = make(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextmanager
def _closing(writer: _Writer) -> Iterator[_Writer]:
    try:
        yield writer
    finally:
        writer.close()
