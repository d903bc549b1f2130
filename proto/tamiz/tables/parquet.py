"""Parquet: columns that have types already."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from tamiz.tables.errors import TableError


class Parquet:
    """A Parquet file.

    Attributes:
        names: of the columns. pandas' index is none of them, unless it is asked for by its name.
        n_rows: how many rows there are.
    """

    def __init__(self, file: BinaryIO, named: Collection[str], missing: frozenset[str]) -> None:
        """Read the names of the columns.

        Args:
            file: the file.
            named: columns that are used; an index with such a name is a column.
            missing: the words in columns of text that mean a missing value.

        Raises:
            OSError: if the file cannot be read.
            pa.ArrowException: if it is no Parquet file.
        """
        self._file = pyarrow.parquet.ParquetFile(file)
        self._missing = pa.array(sorted(missing), pa.string())
        schema = self._file.schema_arrow
        index = _index(schema) - set(named)
        self.names = [name for name in schema.names if name not in index]
        self.n_rows = self._file.metadata.num_rows

    def tables(self, n_rows: int | None) -> Iterator[pa.Table]:
        """Yield tables of at most `n_rows` rows; None for all rows in one.

        Raises:
            OSError: if the file cannot be read.
            pa.ArrowException, TableError: if it is damaged.
        """
        n_read = 0
        for table in self._read(n_rows):
            n_read += table.num_rows
            yield self._marked(table)
        if n_read != self.n_rows:
            raise TableError(f"it is damaged: it has {n_read} rows, and says that there are {self.n_rows}")

    def empty(self) -> pa.Table:
        """Return a table without rows."""
        return self._marked(self._file.schema_arrow.empty_table().select(self.names))

    def _read(self, n_rows: int | None) -> Iterator[pa.Table]:
        if n_rows is None:
            yield self._file.read(self.names)
            return
        for batch in self._file.iter_batches(n_rows, columns=self.names):
            yield pa.Table.from_batches([batch])

    def _marked(self, table: pa.Table) -> pa.Table:
        """Return a table without pandas' index, and with the named words as missing."""
        if not set(self.names) <= set(table.column_names):
            raise TableError("it is damaged: it lacks a column that it names")
        table = table.select(self.names)
        table.validate(full=True)  # a damaged file may hold text that is not UTF-8
        if not len(self._missing):
            return table
        for position, field in enumerate(table.schema):
            if _is_text(field.type):
                texts = table.column(position).cast(pa.string())
                is_missing = pc.is_in(texts, value_set=self._missing)
                marked = pc.if_else(is_missing, pa.scalar(None, pa.string()), texts)
                table = table.set_column(position, field.name, marked)
        return table


def _index(schema: pa.Schema) -> set[str]:
    """Return the names of the columns that hold pandas' index."""
    try:
        noted: Any = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
    except (KeyError, TypeError, ValueError):
        return set()
    return {each for each in noted if isinstance(each, str)}


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
