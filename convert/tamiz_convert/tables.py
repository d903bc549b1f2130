"""Labeled rows and estimators from files, for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import joblib
import pandas as pd

from tamiz_convert.errors import EstimatorError, ExportError, RowsError
from tamiz_convert.files import replace

_PICKLES: Final = {".joblib", ".pkl", ".pickle"}


def load_estimator(path: Path, *, trust_pickle: bool) -> Any:
    """Load an estimator from a joblib or pickle file.

    Raises:
        EstimatorError: if the file is missing, of another kind, not trusted, or cannot be unpickled here.
    """
    if path.suffix not in _PICKLES:
        raise EstimatorError(
            f"{path} is no estimator: expected a file that ends in {', '.join(sorted(_PICKLES))}"
        )
    if not path.is_file():
        raise EstimatorError(f"{path} does not exist")
    if not trust_pickle:
        raise EstimatorError(
            f"{path} is a pickle, and loading a pickle runs whatever code is in it. If it is yours, add --trust-pickle"
        )
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling raises anything
        raise EstimatorError(
            f"{path} cannot be loaded: {error}. It needs the libraries, in the versions, that wrote it"
        ) from error


def load_rows(
    path: Path, target: str, *, features: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Load labeled rows from a Parquet or CSV file.

    Args:
        path: the file.
        target: the name of the column with the labels.
        features: the columns to keep, in this order; None keeps all but the target.

    Raises:
        RowsError: if the file cannot be read, or a column is missing.
    """
    table = read_table(path)
    select(table, [target, *(features or [])], path)
    rows = table[list(features)] if features else table.drop(columns=[target])
    return rows, table[target]


def select(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """Return some columns of a table.

    Args:
        table: the table.
        columns: their names, in order.
        path: where the table was read, for the error.

    Raises:
        RowsError: if a column is missing.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise RowsError(
            f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, table.columns))}"
        )
    return table[list(columns)]


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        ExportError: if that is not possible.
    """
    try:
        replace(path, text.encode())
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from error


def read_table(path: Path) -> pd.DataFrame:
    """Return the table in a Parquet or CSV file.

    Raises:
        RowsError: if the file cannot be read.
    """
    if path.suffix not in {".parquet", ".csv"}:
        raise RowsError(f"{path} is no table: expected a file that ends in .parquet or .csv")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise RowsError(f"{path} does not exist") from None
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise RowsError(f"{path} cannot be read: {error}") from error
