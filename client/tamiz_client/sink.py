"""Answers that are written to a file in chunks, as Parquet or CSV."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tamiz.files import replacing
from tamiz.standard_output import written
from tamiz.tables.errors import TableError
from tamiz_client.errors import reason


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
