"""The caller's rows as the inputs of a graph, and as the estimator reads them: both from one reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from tamiz.rows import RowsError as DoNotFit
from tamiz.rows import as_table, read_rows
from tamiz.rows.cast import NUMBERS
from tamiz.rows.column import Column, column_of
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.builder import OWN_NAMES
from tamiz_convert.graphs.runner import Feed

FEATURES: Final = "features"
"""The name of the one input of a model that reads a matrix."""

_BY_KIND: Final = {
    "b": DataType.DATA_TYPE_BOOL,
    "i": DataType.DATA_TYPE_INT64,
    "u": DataType.DATA_TYPE_INT64,
    "f": DataType.DATA_TYPE_FLOAT64,
}


def feed_of(rows: Any, specs: Sequence[InputSpec]) -> Feed:
    """Return rows for a graph: input name → (n_rows, …), in the input's dtype.

    Raises:
        RowsError: if the rows do not fit; see `tamiz.rows.read_rows`, by which servers' clients read, too.
    """
    try:
        return read_rows(rows, specs)
    except DoNotFit as error:
        raise RowsError(str(error)) from error


@dataclass(frozen=True)
class Inputs:
    """The inputs of a scikit-learn estimator or a booster.

    Attributes:
        specs: one matrix, `FEATURES`; or one input of shape (n_rows, 1) per column that is read.
        all_columns: every column that the estimator was trained on, in order; only the reference gets those
            that are not read. Empty for a matrix without names.
        may_miss: the columns in which the estimator handles missing values, and what these are to it: NaN or
            None. There, an empty text is a missing one.
        is_matrix: whether all columns are one input.
    """

    specs: tuple[InputSpec, ...]
    all_columns: tuple[str, ...] = ()
    may_miss: Mapping[str, Any] = field(default_factory=dict)
    is_matrix: bool = False

    @classmethod
    def of_matrix(cls, rows: Any, column_names: Sequence[str], n_columns: int) -> Inputs:
        """Return one input for rows like these; float32 only if all of them are.

        A model that was trained without names is certified with a table's columns: they are its names from
        then on.
        """
        certified = rows.columns if isinstance(rows, pd.DataFrame) and rows.shape[1] == n_columns else ()
        dtypes = list(rows.dtypes) if isinstance(rows, pd.DataFrame) else [np.asarray(rows).dtype]
        is_float32 = all(dtype == np.float32 for dtype in dtypes)
        spec = InputSpec(
            name=FEATURES,
            dtype=DataType.DATA_TYPE_FLOAT32 if is_float32 else DataType.DATA_TYPE_FLOAT64,
            shape=[-1, n_columns],
            column_names=column_names or map(str, certified),
        )
        return cls((spec,), tuple(column_names), is_matrix=True)

    @classmethod
    def of_columns(
        cls, rows: pd.DataFrame, used: Sequence[str], all_columns: Sequence[str], may_miss: Mapping[str, Any]
    ) -> Inputs:
        """Return one input per used column, for tables like this one."""
        table: Mapping[str, Any] = as_table(rows) or {}
        absent = [name for name in used if name not in table]
        if absent:
            raise RowsError(
                f"missing column(s) {', '.join(map(repr, absent))}; the rows have"
                f" {', '.join(map(repr, rows.columns))}"
            )
        specs = tuple(
            InputSpec(
                name=_free_name(name, used),
                dtype=_data_type(name, table),
                shape=[-1, 1],
                column_names=[name],
            )
            for name in used
        )
        return cls(specs, tuple(all_columns), may_miss)

    def feed(self, rows: Any) -> Feed:
        """Return rows for the graph."""
        return feed_of(rows, self.specs)

    def canonical(self, rows: Any) -> Any:
        """Return rows as the estimator reads them: float64, missing text as NaN, its columns in order."""
        feed = self.feed(rows)
        if self.is_matrix:
            matrix = feed[FEATURES].astype(np.float64)
            return pd.DataFrame(matrix, columns=list(self.all_columns)) if self.all_columns else matrix
        table = {self.label(spec): self._column(feed[spec.name][:, 0], spec) for spec in self.specs}
        # scikit-learn wants unused columns too, but callers may leave them out.
        return pd.DataFrame({name: table.get(name, np.nan) for name in self.all_columns})

    def _column(self, values: Any, spec: InputSpec) -> Any:
        if spec.dtype == DataType.DATA_TYPE_FLOAT32:
            values = values.astype(np.float64)
        label = self.label(spec)
        if label not in self.may_miss:
            return values
        missing, value = values == "" if values.dtype == object else np.isnan(values), self.may_miss[label]
        if value is None:  # in a DataFrame, pandas would read None as NaN
            return pd.Series(np.where(missing, None, values), dtype=object)
        return np.where(missing, value, values) if missing.any() else values

    @property
    def texts(self) -> set[str]:
        """The columns that hold text."""
        return {self.label(spec) for spec in self.specs if spec.dtype == DataType.DATA_TYPE_STRING}

    def label(self, spec: InputSpec) -> str:
        """Return the name of an input's column; of a matrix, the input's own name."""
        return spec.name if self.is_matrix else str(spec.column_names[0])


def _free_name(column: str, columns: Sequence[str]) -> str:
    """Return a name for the input of a column: the column's own, unless a bundle needs that for itself."""
    name = column
    while name in OWN_NAMES or (name != column and name in columns):
        name = f"column_{name}"
    return name


def _data_type(name: str, table: Mapping[str, Column]) -> DataType:
    """Return the type in which a column of a table is sent: whole numbers that may be missing are floats."""
    try:
        read = table[name]
    except DoNotFit as error:
        raise RowsError(str(error)) from error
    values = read.values
    if values.dtype.kind == "O" and not read.missing.all():
        values = column_of(values[~read.missing].tolist()).values
    if values.dtype == np.float32:
        return DataType.DATA_TYPE_FLOAT32
    if read.missing.any() and values.dtype.kind in "biu":
        return DataType.DATA_TYPE_FLOAT64
    if values.dtype.kind in _BY_KIND:
        return _BY_KIND[values.dtype.kind]
    if values.dtype.kind != "O":
        raise RowsError(
            f"column {name!r} holds {values.dtype} values: expected numbers or text; convert it as in the"
            " training"
        )
    if read.missing.all():
        raise RowsError(f"column {name!r} holds missing values alone: nothing shows whether it is text")
    is_text = isinstance(values[0], str)
    odd = next((each for each in values if not isinstance(each, str if is_text else NUMBERS)), None)
    if odd is not None:
        row = next(row for row, each in enumerate(read.values) if each is odd)
        raise RowsError(
            f"column {name!r}, row {row}: {odd!r}: expected numbers alone or text alone in a column; convert"
            " it to one of them"
        )
    return DataType.DATA_TYPE_STRING if is_text else DataType.DATA_TYPE_FLOAT64
