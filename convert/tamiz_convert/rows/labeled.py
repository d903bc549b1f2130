"""Check labeled rows, and match their labels with the classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.raw import as_rows, count, flat, joined, take

_SHOWN: Final = 5


@dataclass(frozen=True)
class LabeledRows:
    """Rows with class indices.

    Attributes:
        rows: (n_rows, …), ndarray, DataFrame or a dict of ndarrays.
        y: (n_rows,), int64, indices into the classes.
        slices: (n_rows,), each row's slice value: text, int64 or bool; None if there are no slices.
    """

    rows: Any
    y: NDArray[np.int64]
    slices: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.int64]) -> LabeledRows:
        """Return some of the rows, in the given order."""
        slices = None if self.slices is None else self.slices[indices]
        return LabeledRows(take(self.rows, indices), self.y[indices], slices)


def labeled(
    rows: Any, labels: Any, classes: Labels, what: str, slices: NDArray[Any] | None = None
) -> LabeledRows:
    """Check held-out rows, and turn their labels into indices of the classes.

    Args:
        rows: (n_rows, …), ndarray, DataFrame or a dict of ndarrays.
        labels: (n_rows,), in the classes' own type.
        classes: the estimator's classes.
        what: the name of the rows in an error.
        slices: (n_rows,), each row's slice value, if there are slices.

    Raises:
        RowsError: if there are no rows, if there are not as many labels as rows, or if a label is missing,
            has another type, or is not a class.
    """
    rows = as_rows(rows, what)
    if labels is None:
        raise RowsError(f"the {what} rows came without labels; expected one label per row")
    values = np.asarray(labels).ravel()
    if count(rows) != len(values):
        raise RowsError(
            f"there are {count(rows):,} {what} rows and {len(values):,} labels; expected one label per row"
        )
    missing = np.flatnonzero(pd.isna(values))
    if len(missing):
        raise RowsError(
            f"{len(missing):,} of {len(values):,} {what} labels are missing (NaN or None), the first in row"
            f" {missing[0]}; remove those rows"
        )
    return LabeledRows(rows, _indices(values, classes, what), slices)


def joined_rows(first: LabeledRows, second: LabeledRows) -> LabeledRows:
    """Return the rows of both; they must be of the same kind."""
    slices = None
    if first.slices is not None and second.slices is not None:
        slices = np.concatenate([first.slices, second.slices])
    return LabeledRows(joined(first.rows, second.rows), np.concatenate([first.y, second.y]), slices)


def refuse_overlap(rows: Any, others: Any, what: str, whose: str) -> None:
    """Refuse rows that are also among others.

    Args:
        rows: (n_rows, …), ndarray, DataFrame or a dict of ndarrays.
        others: the same kind of rows; if both are tables, only their common columns are compared.
        what: the name of the rows in an error.
        whose: the name of the others in an error.

    Raises:
        RowsError: with the number of repeated rows and the first of them.
    """
    if isinstance(rows, pd.DataFrame) and isinstance(others, pd.DataFrame):
        common = [name for name in rows.columns if name in others.columns]
        if not common:
            raise RowsError(f"the {what} rows and the {whose} rows have no column in common")
        rows, others = rows[common], others[common]
    repeated = np.flatnonzero(np.isin(row_keys(rows), row_keys(others)))
    if len(repeated):
        shown = ", ".join(map(str, repeated[:_SHOWN].tolist())) + (", …" if len(repeated) > _SHOWN else "")
        raise RowsError(
            f"{len(repeated):,} of {count(rows):,} {what} rows are {whose} rows as well (rows {shown}):"
            " rows that were seen before say nothing about new ones. Remove them"
        )


def digest(rows: LabeledRows) -> str:
    """Return "sha256:" and the digest of rows and labels, in their order. Equal values have equal digests."""
    hashed = hashlib.sha256(row_keys(rows.rows).tobytes())
    hashed.update(rows.y.tobytes())
    return f"sha256:{hashed.hexdigest()}"


def row_keys(rows: Any) -> NDArray[np.uint64]:
    """Return one number per row, (n_rows,); equal rows have equal numbers."""
    table = flat(rows).table
    comparable = table.astype(dict.fromkeys(table.select_dtypes("number").columns, np.float64))
    return np.asarray(pd.util.hash_pandas_object(comparable, index=False), dtype=np.uint64)


def _indices(values: NDArray[Any], classes: Labels, what: str) -> NDArray[np.int64]:
    is_text = classes.dtype.kind == "U"
    if is_text != all(isinstance(value, str) for value in values.tolist()):
        kind, given = ("strings", "numbers") if is_text else ("integers", "strings")
        raise RowsError(
            f"the {what} labels are {given}, but the estimator was trained on {kind} such as"
            f" {classes.tolist()[0]!r}: pass labels of that type"
        )
    position = {label: index for index, label in enumerate(classes.tolist())}
    try:
        return np.array([position[value] for value in values.tolist()], dtype=np.int64)
    except KeyError:
        unseen = sorted({repr(value) for value in values.tolist() if value not in position})
        raise RowsError(
            f"the {what} labels {', '.join(unseen[:_SHOWN])} were not seen in training; the classes are"
            f" {', '.join(map(repr, classes.tolist()))}"
        ) from None
