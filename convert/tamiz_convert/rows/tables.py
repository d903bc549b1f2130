"""Rows from files, for the command line and for release checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.tables.columns import ColumnType
from tamiz.tables.errors import TableError
from tamiz.tables.options import Reading
from tamiz.tables.source import Source
from tamiz_convert.errors import RowsError

ARRAYS: Final = ".npz"
"""The suffix of files with arrays, for rows that are not a table: one array per input, and one of labels."""


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
    frame: pd.DataFrame = source.read(types, list(dict.fromkeys(columns))).to_pandas()
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
