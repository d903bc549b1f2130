"""Check labeled rows, and match their labels with the classes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.per_row import one_per_row, refuse_other_order, words_advice
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
    """Return the rows of both; they must be of the same kind."""
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
        others: the same kind of rows. Of two tables, only the common columns are compared.
        what: the name of the rows in an error.
        whose: the name of the others in an error.
        allowed: whether equal rows are natural; then they are only noted.

    Returns:
        A note about them, if there are any.

    Raises:
        RowsError: with the number of repeated rows and the first of them.
    """
    compared = ""
    if isinstance(rows, pd.DataFrame) and isinstance(others, pd.DataFrame):
        common = [name for name in rows.columns if name in others.columns]
        if not common:
            raise RowsError(f"the {what} rows and the {whose} rows have no column in common")
        if len(common) < len(rows.columns):
            compared = f" in {', '.join(map(repr, common))}, the columns that both have"
        rows, others = rows[common], others[common]
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


def digest(rows: LabeledRows) -> str:
    """Return "sha256:" and the digest of rows and labels, in their order. Equal values have equal digests."""
    hashed = hashlib.sha256(row_keys(rows.rows).tobytes())
    hashed.update(rows.y.tobytes())
    return f"sha256:{hashed.hexdigest()}"


def row_keys(rows: Any) -> NDArray[np.uint64]:
    """Return one number per row, (n_rows,); equal rows have equal numbers."""
    table = flat(rows).table
    numeric = table.select_dtypes("number", exclude=["timedelta", np.complexfloating]).columns
    comparable = table.astype(dict.fromkeys(numeric, np.float64))
    try:
        keys = pd.util.hash_pandas_object(comparable, index=False)
    except TypeError:  # a column beside the features may hold lists
        others = comparable.columns.difference(numeric, sort=False)
        comparable = comparable.astype(dict.fromkeys(others, object))
        keys = pd.util.hash_pandas_object(comparable.assign(**comparable[others].map(repr)), index=False)
    return np.asarray(keys, dtype=np.uint64)


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
    found = label_positions(values, classes)
    unseen = np.flatnonzero(found < 0)
    if len(unseen):
        named = sorted({repr(listed[row]) for row in unseen.tolist()})
        raise RowsError(
            f"the {what} labels {', '.join(named[:_SHOWN])} were not seen in training (the first in row"
            f" {unseen[0]}); the classes are {', '.join(map(repr, classes.tolist()))}"
        )
    return found
