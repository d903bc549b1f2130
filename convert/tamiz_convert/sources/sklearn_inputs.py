"""Turn the caller's rows into named inputs of a graph.

A plain matrix (or a table without a ColumnTransformer) becomes one input, `features`. A table that a
ColumnTransformer reads becomes one input per used column, of shape [rows, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz.dtypes import NUMERIC_DTYPES, name_of
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import RowsError
from tamiz_convert.rows.raw import columns, not_numbers

FEATURES: Final = "features"

_ELEM_TYPES: Final = {
    DataType.DATA_TYPE_BOOL: TensorProto.BOOL,
    DataType.DATA_TYPE_INT64: TensorProto.INT64,
    DataType.DATA_TYPE_FLOAT32: TensorProto.FLOAT,
    DataType.DATA_TYPE_FLOAT64: TensorProto.DOUBLE,
    DataType.DATA_TYPE_STRING: TensorProto.STRING,
}
_MATRIX_DIMENSIONS: Final = 2


@dataclass(frozen=True)
class MatrixInput:
    """One input of shape (n_rows, n_columns).

    Attributes:
        dtype: float32 or float64.
        n_columns: how many features.
        column_names: their names if they came from a table; else empty.
    """

    dtype: DataType
    n_columns: int
    column_names: tuple[str, ...]

    @classmethod
    def of(cls, rows: Any, column_names: Sequence[str], n_columns: int) -> MatrixInput:
        """Return the input for rows like these; float32 only if all of them are."""
        dtypes = list(rows.dtypes) if isinstance(rows, pd.DataFrame) else [np.asarray(rows).dtype]
        is_float32 = all(dtype == np.float32 for dtype in dtypes)
        dtype = DataType.DATA_TYPE_FLOAT32 if is_float32 else DataType.DATA_TYPE_FLOAT64
        return cls(dtype, n_columns, tuple(column_names))

    def specs(self) -> list[InputSpec]:
        """Return the manifest's description."""
        return [
            InputSpec(
                name=FEATURES, dtype=self.dtype, shape=[-1, self.n_columns], column_names=self.column_names
            )
        ]

    def canonical(self, rows: Any) -> Any:
        """Return rows for the estimator: float64, rounded to the input's dtype, columns in order."""
        if isinstance(rows, pd.DataFrame) and self.column_names:
            rows = columns(rows, self.column_names)
        matrix = _to_float64(rows)
        if self.dtype == DataType.DATA_TYPE_FLOAT32:
            matrix = matrix.astype(np.float32).astype(np.float64)
        if matrix.ndim != _MATRIX_DIMENSIONS or matrix.shape[1] != self.n_columns:
            raise RowsError(
                f"the rows have shape {list(matrix.shape)}; the estimator was trained on {self.n_columns}"
                f" features: expected [rows, {self.n_columns}]"
            )
        return pd.DataFrame(matrix, columns=list(self.column_names)) if self.column_names else matrix

    def feed(self, rows: Any) -> dict[str, NDArray[Any]]:
        """Return rows as onnxruntime reads them."""
        matrix = np.asarray(self.canonical(rows), dtype=NUMERIC_DTYPES[self.dtype])
        return {FEATURES: np.ascontiguousarray(matrix)}


@dataclass(frozen=True)
class ColumnInputs:
    """One input of shape (n_rows, 1) per column of a table.

    Attributes:
        dtypes: column name → the contract's type.
        all_columns: every column that the estimator was trained on, in order; only the reference gets unused
            ones.
        may_miss: the columns in which the estimator handles missing values; there, an empty string is a
            missing one.
    """

    dtypes: dict[str, DataType]
    all_columns: tuple[str, ...]
    may_miss: frozenset[str]

    @classmethod
    def of(
        cls, rows: pd.DataFrame, used: Sequence[str], all_columns: Sequence[str], may_miss: set[str]
    ) -> ColumnInputs:
        """Return the inputs for tables like this one."""
        table = columns(rows, used)
        dtypes = {name: _data_type(name, table[name]) for name in used}
        return cls(dtypes, tuple(all_columns), frozenset(may_miss))

    def specs(self) -> list[InputSpec]:
        """Return the manifest's description."""
        return [
            InputSpec(name=name, dtype=dtype, shape=[-1, 1], column_names=[name])
            for name, dtype in self.dtypes.items()
        ]

    def canonical(self, rows: Any) -> pd.DataFrame:
        """Return rows for the estimator: floats as float64, missing strings as NaN."""
        if not isinstance(rows, pd.DataFrame):
            raise RowsError(
                f"the estimator was trained on a DataFrame with the columns {', '.join(self.all_columns)}:"
                f" expected such a DataFrame, got {type(rows).__name__}"
            )
        table = columns(rows, self.dtypes)
        for name, dtype in self.dtypes.items():
            if dtype == DataType.DATA_TYPE_FLOAT32:
                table[name] = table[name].astype(np.float32).astype(np.float64)
            elif dtype == DataType.DATA_TYPE_STRING and name in self.may_miss:
                table[name] = (
                    table[name].astype(object).where(table[name].notna() & (table[name] != ""), np.nan)
                )
        for name in self.all_columns:  # scikit-learn wants unused columns too, but callers may leave them out
            if name not in table:
                table[name] = rows.get(name, np.nan)
        return table[list(self.all_columns)]

    def feed(self, rows: Any) -> dict[str, NDArray[Any]]:
        """Return rows as onnxruntime reads them; a missing string becomes an empty one."""
        table = self.canonical(rows)
        return {name: _column(name, table[name], dtype) for name, dtype in self.dtypes.items()}


Inputs = MatrixInput | ColumnInputs


@dataclass(frozen=True)
class MatrixAndColumns:
    """A matrix, and columns that are not in it, such as the slice column."""

    matrix: MatrixInput
    columns: ColumnInputs

    def feed(self, rows: Any) -> dict[str, NDArray[Any]]:
        """Return rows as onnxruntime reads them; a matrix without names gets all columns not in `columns`."""
        beside = self.columns.feed(rows)
        if not self.matrix.column_names:
            rows = rows.drop(columns=list(self.columns.dtypes))
        return self.matrix.feed(rows) | beside


def inputs_of(specs: Sequence[InputSpec]) -> Inputs | MatrixAndColumns:
    """Return the inputs that a manifest describes.

    Raises:
        RowsError: if an input does not have two dimensions.
    """
    odd = [spec.name for spec in specs if len(spec.shape) != _MATRIX_DIMENSIONS]
    if odd:
        raise RowsError(
            f"the bundle's input(s) {', '.join(odd)} do not have two dimensions, and only tables and matrices"
            " can be given here"
        )
    matrices = [spec for spec in specs if spec.name == FEATURES and list(spec.column_names) != [FEATURES]]
    columns = [spec for spec in specs if spec not in matrices]
    may_miss = frozenset(spec.name for spec in columns if spec.missing_values_allowed)
    named = ColumnInputs(
        {spec.name: spec.dtype for spec in columns}, tuple(s.name for s in columns), may_miss
    )
    if not matrices:
        return named
    matrix = MatrixInput(matrices[0].dtype, matrices[0].shape[1], tuple(matrices[0].column_names))
    return MatrixAndColumns(matrix, named) if columns else matrix


def elem_type(spec: InputSpec) -> int:
    """Return the ONNX element type of an input."""
    return _ELEM_TYPES[spec.dtype]


def _data_type(name: str, column: pd.Series[Any]) -> DataType:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.dtype.categories.dtype)
    types = pd.api.types
    if types.is_bool_dtype(column):
        return DataType.DATA_TYPE_BOOL
    if types.is_integer_dtype(column):
        return DataType.DATA_TYPE_INT64
    if types.is_float_dtype(column):
        return DataType.DATA_TYPE_FLOAT32 if column.dtype == np.float32 else DataType.DATA_TYPE_FLOAT64
    if all(isinstance(value, str) for value in column.dropna()):
        return DataType.DATA_TYPE_STRING
    raise RowsError(
        f"column {name!r} holds {column.dtype} values that are neither numbers nor all strings; convert it"
        " to one of them"
    )


def _column(name: str, column: pd.Series[Any], dtype: DataType) -> NDArray[Any]:
    if dtype == DataType.DATA_TYPE_STRING:
        values = column.astype(object).where(column.notna(), "")
        return np.array([str(value) for value in values], dtype=object).reshape(-1, 1)
    try:
        return column.to_numpy(dtype=NUMERIC_DTYPES[dtype]).reshape(-1, 1)
    except (ValueError, TypeError) as error:
        raise RowsError(f"column {name!r} cannot be read as {name_of(dtype)}: {error}") from error


def _to_float64(rows: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise RowsError(f"the rows are not all numbers: {error}{not_numbers(rows)}") from error
