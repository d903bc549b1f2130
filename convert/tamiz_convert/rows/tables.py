"""Rows from files, for the command line and for release checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tamiz.tables.columns import ColumnType
from tamiz.tables.errors import TableError
from tamiz.tables.options import Reading
from tamiz.tables.source import Source
from tamiz_convert.errors import RowsError

ARRAYS: Final = ".npz"
"""The suffix of files with arrays, for rows that are not a table: one array per input, and one of labels."""

_NULLABLE: Final = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


@contextmanager
def opened(path: Path, reading: Reading | None = None, named: Collection[str] = ()) -> Iterator[Source]:
    """Open a table for a block.

    Args:
        path: the file.
        reading: how it is read.
        named: columns that are used, even if pandas wrote them as an index.

    Raises:
        RowsError: if the file cannot be read, also in the block.
    """
    try:
        with Source(path, reading, named) as source:
            yield source
    except TableError as error:
        raise RowsError(str(error)) from error


def read(source: Source, types: Mapping[str, ColumnType], columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns of a file as a DataFrame, each once.

    Args:
        source: the file.
        types: of columns by name, as far as they are known.
        columns: their names, in order.

    Raises:
        TableError: if a column is missing, or holds a value that its type does not.
    """
    table = source.read(types, list(dict.fromkeys(columns)))
    frame: pd.DataFrame = table.to_pandas()
    for name in table.column_names:
        if table.column(name).null_count:  # whole numbers with a gap would have become floats
            frame[name] = table.column(name).to_pandas(types_mapper=_NULLABLE.get)
    return frame


def load_arrays(path: Path, target: str) -> tuple[Any, NDArray[Any]]:
    """Load labeled rows from a .npz file, as numpy.savez writes it.

    Args:
        path: the file.
        target: the name of the array with the labels.

    Returns:
        The rows (one array besides the labels: that array; more: a dict of arrays by name), and the labels.

    Raises:
        RowsError: if the file cannot be read, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise RowsError(f"{path} does not exist") from None
    except Exception as error:  # zipfile's and NumPy's, of many kinds; also for a pickle in the file
        raise RowsError(f"{path} cannot be read: {error}") from error
    if target not in arrays:
        raise RowsError(f"{path} has no array {target!r}; it has {', '.join(arrays)}")
    labels = arrays.pop(target)
    if not arrays:
        raise RowsError(f"{path} has no array besides {target!r}; expected one per input of the model")
    return (next(iter(arrays.values())) if len(arrays) == 1 else arrays), labels
