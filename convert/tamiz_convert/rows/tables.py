"""Labeled rows from files, for the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz_convert.errors import RowsError

ARRAYS: Final = ".npz"
"""The suffix of files with arrays, for rows that are not a table: one array per input, and one of labels."""

_READERS: Final[dict[str, Callable[[Path], pd.DataFrame]]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
}


def load_rows(path: Path, target: str) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Load labeled rows from a Parquet or CSV file.

    Args:
        path: the file.
        target: the column with the labels.

    Raises:
        RowsError: if the file cannot be read, or a column is missing.
    """
    table = read_table(path)
    select(table, [target], path)
    return table.drop(columns=[target]), table[target]


def select(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """Return some columns of a table.

    Args:
        table: the table.
        columns: their names, in order.
        path: the table's file, for the error.

    Raises:
        RowsError: if a column is missing.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise RowsError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has"
            f" {', '.join(map(repr, table.columns))}"
        )
    return table[list(columns)]


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


def read_table(path: Path) -> pd.DataFrame:
    """Return the table in a Parquet or CSV file.

    Raises:
        RowsError: if the file cannot be read.
    """
    if path.suffix not in _READERS:
        raise RowsError(f"{path} is not a table: expected a file that ends in {' or '.join(_READERS)}")
    try:
        return _READERS[path.suffix](path)
    except FileNotFoundError:
        raise RowsError(f"{path} does not exist") from None
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise RowsError(f"{path} cannot be read: {error}") from error
