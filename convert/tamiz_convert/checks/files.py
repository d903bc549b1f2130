"""Files of rows that a specification names, read like the rows at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tamiz.tables.columns import ColumnType, Unknown
from tamiz.tables.options import Reading
from tamiz.v1.manifest_pb2 import DataType
from tamiz_convert.checks.table import Table
from tamiz_convert.errors import RowsError, SpecificationError
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.tables import opened, read


def read_like(
    path: Path,
    where: str,
    table: Table,
    classes: Labels,
    reading: Reading,
    target: str | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the rows of a file, with the types of the rows at hand and of the classes.

    Args:
        path: the file.
        where: the place in the specification that names it.
        table: the rows at hand.
        classes: (n_classes,).
        reading: how the file is read.
        target: the column that holds labels, if there is one.
        columns: those to read; by default all that the rows at hand have.

    Raises:
        SpecificationError: if it cannot be read.
    """
    types: dict[str, ColumnType] = {str(name): _type_of(column) for name, column in table.frame.items()}
    if target is not None and classes.dtype.kind == "U":
        types[target] = DataType.DATA_TYPE_STRING
    by_order = not table.names_columns
    try:
        with opened(path, reading, [*types]) as source:
            if columns is None:
                columns = [name for name in source.names if by_order or name in types or name == target]
            missing = [name for name in columns if name not in source.names]
            if missing:
                known = ", ".join(map(repr, source.names))
                raise SpecificationError(f"{where}: {path} has no column {missing[0]!r}; it has {known}")
            return read(source, types, columns)
    except RowsError as error:
        way_out = "; here a key of `files` in the specification" if " --" in str(error) else ""
        raise SpecificationError(f"{where}: {error}{way_out}") from None


def _type_of(column: pd.Series[Any]) -> ColumnType:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.categories.to_series()
    return Unknown.NUMBER if pd.api.types.is_numeric_dtype(column) else DataType.DATA_TYPE_STRING
