"""The slice column: its value names the slice of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.thresholds import MAX_SUBSETS
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import RowsError
from tamiz_convert.rows.per_row import one_per_row

MISSING: Final = "(missing)"
"""The name of the slice of rows with a missing text. A missing text is the empty string, on the wire and
here."""

Values = NDArray[Any]
"""(n_rows,): text as objects, int64, or bool."""


@dataclass(frozen=True)
class SliceColumn:
    """The column that names the slice of a row.

    Attributes:
        name: of the column and of its input.
        dtype: text, int64 or bool.
        values: the known values, ascending.
    """

    name: str
    dtype: DataType
    values: tuple[Any, ...]

    @classmethod
    def of(cls, name: str, *columns: Values) -> SliceColumn:
        """Return the column with all its values in some rows.

        Args:
            name: the name of the column.
            columns: what `slice_values` returned for all held-out rows. The certification rows may be among
                them, because labels are not used.

        Raises:
            RowsError: for columns of two types, too many values, or two values with the same name.
        """
        types = {_data_type(column) for column in columns}
        if len(types) > 1:
            raise RowsError(
                f"column {name!r} has one type in the calibration rows and another in the certification rows"
            )
        values = tuple(sorted(set(np.concatenate(columns).tolist())))
        if len(values) > MAX_SUBSETS:
            raise RowsError(
                f"column {name!r} has {len(values)} values; at most {MAX_SUBSETS} slices can be certified"
                " together: put the values into coarser groups"
            )
        names = [slice_name(value) for value in values]
        if len(set(names)) < len(names):
            raise RowsError(
                f"column {name!r} has missing values and also the value {MISSING!r}: rename that value"
            )
        return cls(name, types.pop(), values)

    @property
    def names(self) -> list[str]:
        """The names of the slices, in the order of their indices."""
        return [slice_name(value) for value in self.values]

    @property
    def spec(self) -> InputSpec:
        """The manifest's description of the column's input."""
        return InputSpec(
            name=self.name,
            dtype=self.dtype,
            shape=[-1, 1],
            column_names=[self.name],
            missing_values_allowed="" in self.values,
        )

    def index(self, values: Values) -> NDArray[np.int64]:
        """Return the index of each value's slice; see `subset_index`."""
        return subset_index(self.names, values)

    def feed(self, values: Values) -> dict[str, NDArray[Any]]:
        """Return (n_rows,) values as onnxruntime reads them."""
        return {self.name: values.astype(NUMERIC_DTYPES.get(self.dtype, object)).reshape(-1, 1)}

    def completed(
        self, feed: dict[str, NDArray[Any]], values: Values
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
        """Return the feed with the slice column, and the index of each row's slice.

        Args:
            feed: a graph's inputs: first edge rows, then real rows.
            values: (n_real,), the values of the real rows. Edge rows get examples in turn, unless the feed
                already holds the column.
        """
        n_made = len(next(iter(feed.values()))) - len(values)
        if self.name not in feed:
            feed = feed | self.feed(np.concatenate([self._examples(n_made), values]))
        made = self.index(feed[self.name][:n_made].ravel())
        return feed, np.concatenate([made, self.index(values)])

    def _examples(self, n_rows: int) -> Values:
        """Return (n_rows,) values: all known ones and an unknown one, in turn."""
        turns = list(self.values)
        if self.dtype == DataType.DATA_TYPE_STRING:
            turns.append("".join(turns) + "?")
        elif self.dtype == DataType.DATA_TYPE_INT64:
            turns.append(next(each for each in range(len(turns) + 1) if each not in turns))
        return np.resize(np.array(turns, dtype=NUMERIC_DTYPES.get(self.dtype, object)), n_rows)


class Given(NamedTuple):
    """The caller's held-out rows, with the slice column taken out.

    Attributes:
        calibration, certification: (X, y), X without the slice column unless the estimator knows it.
        train: the training rows, also without the slice column.
        column: the slices; None if there are none.
        slices: (n_rows,), the slice value of each row, for the calibration and for the certification rows.
    """

    calibration: tuple[Any, Any]
    certification: tuple[Any, Any] | None
    train: Any
    column: SliceColumn | None = None
    slices: tuple[Values | None, Values | None] = (None, None)


def take_slices(
    calibration: tuple[Any, Any],
    certification: tuple[Any, Any] | None,
    train: Any,
    name: str | None,
    known: Iterable[str],
) -> Given:
    """Take the slice column out of held-out rows.

    Args:
        calibration: (X, y).
        certification: (X, y), or None.
        train: the training rows, X or (X, y), or None; they need not hold the column.
        name: the column that names the slices; None if there are none.
        known: the columns that the estimator was trained on; empty if it does not know their names.

    Raises:
        RowsError: if rows have no column names or not that column, or if its values cannot name slices.
    """
    if name is None:
        return Given(calibration, certification, train)
    if not isinstance(name, str):
        raise RowsError(f"slice_by must be the name of a column; got {type(name).__name__}")
    first = slice_values(calibration[0], name, "calibration")
    second = None if certification is None else slice_values(certification[0], name, "certification")
    column = SliceColumn.of(name, *(each for each in (first, second) if each is not None))
    taken = [] if name in set(known) else [name]

    def features(rows: Any) -> Any:
        if isinstance(rows, tuple):
            return features(rows[0]), rows[1]
        return rows.drop(columns=taken, errors="ignore") if isinstance(rows, pd.DataFrame) else rows

    return Given(features(calibration), features(certification), features(train), column, (first, second))


def columns_named(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns as a tuple."""
    # A single name must not be read as a sequence of letters.
    return (names,) if isinstance(names, str) else tuple(names)


def slice_name(value: Any) -> str:
    """Return the name of a value's slice."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    return str(value) or MISSING


def slice_values(table: Any, name: str, what: str) -> Values:
    """Return the values of a column of a table, as a bundle would read them.

    Args:
        table: a DataFrame.
        name: the name of the column.
        what: the name of the rows in an error.

    Raises:
        RowsError: if there is no such column, or it holds floats, missing numbers, or a mixture.
    """
    if not isinstance(table, pd.DataFrame):
        raise RowsError(
            f"slice_by={name!r} names a column, but the {what} rows are a {type(table).__name__} without"
            " column names: pass a DataFrame with the features and this column"
        )
    if name not in table.columns:
        raise RowsError(
            f"the {what} rows have no column {name!r} to slice by; they have"
            f" {', '.join(map(repr, table.columns))}"
        )
    return _as_values(table[name], name, what)


def slice_texts(column: pd.Series[Any]) -> NDArray[np.str_]:
    """Return the values of a column as text, (n_rows,); a missing one becomes `MISSING`."""
    read = one_per_row(column, f"values of column {column.name!r}")
    return np.array(
        [
            MISSING if none or value == "" else str(value)
            for value, none in zip(read.values, read.missing, strict=True)
        ],
        dtype=np.str_,
    )


def subset_index(names: Sequence[str], values: Values) -> NDArray[np.int64]:
    """Return the index of each value's slice, as the graph's output `subset` gives it.

    Args:
        names: the names of the known slices.
        values: (n_rows,), text, int64 or bool.

    Returns:
        (n_rows,), int64; -1 for an unknown slice.
    """
    position = {name: index for index, name in enumerate(names)}
    return np.array([position.get(slice_name(value), -1) for value in values.tolist()], dtype=np.int64)


def _as_values(column: Any, name: str, what: str) -> Values:
    read = one_per_row(column, f"values of column {name!r} in the {what} rows")
    values, missing = read.values, read.missing
    kinds = {type(value) for value in values[~missing].tolist()} if values.dtype.kind == "O" else set()
    if values.dtype.kind == "f" or kinds & {float, Decimal}:
        raise RowsError(
            f"column {name!r} of the {what} rows holds floats, which cannot name slices: put the values into"
            " bins first, for example with pandas.cut(…).astype(str)"
        )
    if kinds <= {str} and values.dtype.kind == "O":
        return np.where(missing, "", values)
    if missing.any() and (values.dtype.kind in "biu" or kinds in ({int}, {bool})):
        raise RowsError(
            f"column {name!r} of the {what} rows has missing values; fill them in, or make it text (the first"
            f" is in row {np.argmax(missing)})"
        )
    if values.dtype.kind not in "biu" and kinds not in ({int}, {bool}):
        raise RowsError(
            f"column {name!r} of the {what} rows holds values that are not all text, all whole numbers or all"
            f" bool, such as {values[~missing].tolist()[0]!r}: convert them to one of these"
        )
    if values.dtype.kind == "b" or kinds == {bool}:
        return values.astype(np.bool_)
    if max(values.tolist(), default=0) > np.iinfo(np.int64).max:
        raise RowsError(f"column {name!r} of the {what} rows holds numbers beyond 64 bits: make it text")
    return values.astype(np.int64)


def _data_type(values: Values) -> DataType:
    types = {"b": DataType.DATA_TYPE_BOOL, "i": DataType.DATA_TYPE_INT64}
    return types.get(values.dtype.kind, DataType.DATA_TYPE_STRING)
