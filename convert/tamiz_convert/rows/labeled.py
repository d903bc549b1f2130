"""Check labeled rows, and match their labels with the classes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.rows.cast import NUMBERS
from tamiz.rows.column import column_of
from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.per_row import one_per_row, refuse_other_order, words_advice
from tamiz_convert.rows.raw import as_rows, count, flat, joined, take

_SHOWN: Final = 5
_EXACT: Final = 2.0**53
"""From here on a float64 stands for more than one whole number."""


@dataclass(frozen=True)
class LabeledRows:
    """Rows with class indices.

    Attributes:
        rows: (n_rows, …), ndarray, DataFrame or a dict of ndarrays.
        y: (n_rows,), int64, indices into the classes.
        slices: (n_rows,), each row's slice value: text, int64 or bool; None if there are no slices.
        weights: (n_rows,), float64, above 0, how often each row counts; None if each counts once.
    """

    rows: Any
    y: NDArray[np.int64]
    slices: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.int64]) -> LabeledRows:
        """Return some of the rows, in the given order."""
        slices = None if self.slices is None else self.slices[indices]
        weights = None if self.weights is None else self.weights[indices]
        return LabeledRows(take(self.rows, indices), self.y[indices], slices, weights)


def labeled(
    rows: Any, labels: Any, classes: Labels, what: str, slices: NDArray[Any] | None = None
) -> LabeledRows:
    """Check held-out rows, and turn their labels into indices of the classes.

    Args:
        rows: (n_rows, …), ndarray, DataFrame or a dict of ndarrays.
        labels: (n_rows,), as `one_per_row` reads them, in the classes' own type; 1.0 is the class 1.
        classes: the estimator's classes.
        what: the name of the rows in an error.
        slices: (n_rows,), each row's slice value, if there are slices.

    Raises:
        RowsError: if there are no rows, if there are not as many labels as rows, if the labels' index has
            another order, or if a label is missing, has another type, or is not a class.
    """
    if labels is None:
        raise RowsError(f"the {what} rows came without labels; expected one label per row")
    refuse_other_order(rows, labels, f"{what} labels")
    rows = as_rows(rows, what)
    read = one_per_row(labels, f"{what} labels")
    values = read.values
    if count(rows) != len(values):
        raise RowsError(
            f"there are {count(rows):,} {what} rows and {len(values):,} labels; expected one label per row"
        )
    missing = np.flatnonzero(read.missing)
    if len(missing):
        advice = words_advice(classes.tolist()) or "; remove those rows"
        raise RowsError(
            f"{len(missing):,} of {len(values):,} {what} labels are missing (NaN or None), the first in row"
            f" {missing[0]}{advice}"
        )
    return LabeledRows(rows, _indices(values, classes, what), slices)


def joined_rows(first: LabeledRows, second: LabeledRows) -> LabeledRows:
    """Return the rows of both, without weights; they must be of the same kind."""
    slices = None
    if first.slices is not None and second.slices is not None:
        slices = np.concatenate([first.slices, second.slices])
    return LabeledRows(joined(first.rows, second.rows), np.concatenate([first.y, second.y]), slices)


def refuse_overlap(
    rows: Any, others: Any, what: str, whose: str, *, allowed: bool = False
) -> tuple[str, ...]:
    """Refuse rows that are also among others.

    Args:
        rows: (n_rows, …), ndarray, DataFrame or a dict of ndarrays.
        others: the same kind of rows, in any types. Of two tables, only the common columns are compared.
        what: the name of the rows in an error.
        whose: the name of the others in an error.
        allowed: whether equal rows are natural; then they are only noted.

    Returns:
        A note about them, if there are any.

    Raises:
        RowsError: with the number of repeated rows and the first of them; if the rows cannot be compared.
    """
    rows, others, compared = _common(rows, others, what, whose)
    repeated = np.flatnonzero(np.isin(row_keys(rows), row_keys(others)))
    if not len(repeated):
        return ()
    if allowed:
        note = f"{len(repeated):,} of {count(rows):,} {what} rows equal {whose} rows{compared}"
        return (f"{note}; allow_duplicates says that they are other observations with the same values",)
    shown = ", ".join(map(str, repeated[:_SHOWN].tolist())) + (", …" if len(repeated) > _SHOWN else "")
    raise RowsError(
        f"{len(repeated):,} of {count(rows):,} {what} rows are {whose} rows as well{compared} (rows"
        f" {shown}):"
        f" rows that were seen before say nothing about new ones. Bring {what} rows that were set apart"
        " before the training. If they are other observations that only have the same values, as with few"
        " categories, pass allow_duplicates=True (--allow-duplicates). Do not remove the equal rows alone:"
        " those that stay would be the rare ones, and the certificate would be about them"
    )


def _common(rows: Any, others: Any, what: str, whose: str) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Return what two sets of rows have in common, in words too; where either holds float32, both do."""
    compared = ""
    first, second = flat(rows).table, flat(others).table
    if not (isinstance(rows, np.ndarray) or isinstance(others, np.ndarray)):
        common = [name for name in first.columns if name in second.columns]
        if not common:
            raise RowsError(f"the {what} rows and the {whose} rows have no column in common")
        if len(common) < len(first.columns):
            compared = f" in {', '.join(map(repr, common))}, the columns that both have"
        first, second = first[common], second[common]
    elif first.shape[1] != second.shape[1]:
        raise RowsError(
            f"the {what} rows have {first.shape[1]} columns and the {whose} rows {second.shape[1]}, and"
            " without names they cannot be compared: pass both with the model's columns alone, or both as"
            " tables"
        )
    rounded = [index for index in range(first.shape[1]) if np.float32 in _dtypes(first, second, index)]
    if not rounded:
        return first, second, compared
    return _in_float32(first, rounded), _in_float32(second, rounded), compared


def _dtypes(first: pd.DataFrame, second: pd.DataFrame, index: int) -> tuple[Any, Any]:
    return first.dtypes.iloc[index], second.dtypes.iloc[index]


def _in_float32(table: pd.DataFrame, indices: list[int]) -> pd.DataFrame:
    """Return a table whose numbers in some columns are rounded to float32."""
    columns = {index: _comparable(table.iloc[:, index]) for index in range(table.shape[1])}
    for index in indices:
        if columns[index].dtype.kind == "f":
            with np.errstate(over="ignore"):
                columns[index] = columns[index].astype(np.float32)
    return pd.DataFrame(columns, index=table.index)


def digest(rows: LabeledRows) -> str:
    """Return "sha256:" and the digest of rows, labels and weights, in their order.

    Equal values have equal digests.
    """
    hashed = hashlib.sha256(row_keys(rows.rows).tobytes())
    hashed.update(rows.y.tobytes())
    if rows.weights is not None:
        hashed.update(rows.weights.tobytes())
    return f"sha256:{hashed.hexdigest()}"


def row_keys(rows: Any) -> NDArray[np.uint64]:
    """Return one number per row, (n_rows,); equal rows have equal numbers, whatever their types."""
    table = flat(rows).table
    columns = {index: _comparable(table.iloc[:, index]) for index in range(table.shape[1])}
    keys = pd.util.hash_pandas_object(pd.DataFrame(columns, index=table.index), index=False)
    return np.asarray(keys, dtype=np.uint64)


def _comparable(column: pd.Series[Any]) -> NDArray[Any]:
    """Return a column as float64 or, if not all are numbers, as text; what is missing is NaN or ""."""
    read = column_of(column)
    values = read.values
    if values.dtype.kind == "O":
        known = values[~read.missing].tolist()
        if not all(isinstance(value, NUMBERS) for value in known):
            texts = [value if isinstance(value, str) else repr(value) for value in values.tolist()]
            return np.where(read.missing, "", np.array(texts, dtype=object))
        values = np.where(read.missing, np.nan, values)
    if values.dtype.kind in "cmM":
        return values
    return values.astype(np.float64) + 0.0  # not −0.0, which has a key of its own


def label_positions(values: NDArray[Any], classes: Labels) -> NDArray[np.int64]:
    """Return the index of each label's class, (n_rows,); -1 if it is not a class. 1.0 and True are 1."""
    position = {label: index for index, label in enumerate(classes.tolist())}
    return np.array(
        [position.get(value, -1) if isinstance(value, Hashable) else -1 for value in values.tolist()],
        dtype=np.int64,
    )


def _indices(values: NDArray[Any], classes: Labels, what: str) -> NDArray[np.int64]:
    is_text = classes.dtype.kind == "U"
    listed = values.tolist()
    odd = next((row for row, value in enumerate(listed) if isinstance(value, str) != is_text), None)
    if odd is not None:
        kind = "strings" if is_text else "integers"
        given = "strings" if isinstance(listed[odd], str) else "numbers"
        given = given if isinstance(listed[odd], str | int | float) else type(listed[odd]).__name__
        raise RowsError(
            f"the {what} labels are {given} (row {odd}: {listed[odd]!r}), but the estimator was trained on"
            f" {kind} such as {classes.tolist()[0]!r}: pass labels of that type"
        )
    large = next((value for value in listed if isinstance(value, float) and abs(value) >= _EXACT), None)
    if large is not None:
        raise RowsError(
            f"the {what} labels hold {large!r}, a float beyond 2^53, which stands for several whole numbers:"
            " pass the labels as integers"
        )
    found = label_positions(values, classes)
    unseen = np.flatnonzero(found < 0)
    if len(unseen):
        named = sorted({repr(listed[row]) for row in unseen.tolist()})
        raise RowsError(
            f"the {what} labels {', '.join(named[:_SHOWN])} were not seen in training (the first in row"
            f" {unseen[0]}); the classes are {', '.join(map(repr, classes.tolist()))}"
        )
    return found
