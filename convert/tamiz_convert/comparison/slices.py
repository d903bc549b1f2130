"""Slices: the rows with one value in one column, compared separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz_convert.checks.context import count
from tamiz_convert.comparison.differences import Measured, exact_p_value
from tamiz_convert.comparison.measure import SIGNIFICANCE, Side, ahead
from tamiz_convert.errors import RowsError
from tamiz_convert.metrics.holm import holm_corrected
from tamiz_convert.rows.per_row import refuse_other_order
from tamiz_convert.rows.slices import columns_named, slice_texts

_MAX_VALUES: Final = 100


@dataclass(frozen=True)
class Slice:
    """The rows with one value in one column.

    Attributes:
        column, value: of the slice.
        n_rows: how many rows, scored or not.
        accuracy_a, accuracy_b: among the rows that both score; None if there are none.
        only_a_right, only_b_right: the number of rows where only one of them is right.
        corrected_p_value: of McNemar's exact test, corrected for the number of slices.
        coverage_a, coverage_b: the share of accepted rows, each at its own threshold.
        error_a, error_b: the error among accepted rows; None if there are none.
    """

    column: str
    value: str
    n_rows: int
    accuracy_a: float | None
    accuracy_b: float | None
    only_a_right: int
    only_b_right: int
    corrected_p_value: float
    coverage_a: float
    coverage_b: float
    error_a: float | None
    error_b: float | None

    @property
    def name(self) -> str:
        """Column and value, for people."""
        return f"{self.column} = {self.value}"

    @property
    def ahead(self) -> Side | None:
        """Which bundle is right more often on these rows, even if only by chance."""
        return ahead(self.only_a_right, self.only_b_right)

    @property
    def better(self) -> Side | None:
        """The better bundle, if the difference is more than noise."""
        return self.ahead if self.corrected_p_value <= SIGNIFICANCE else None


def slice_columns(slices: Sequence[str] | Mapping[str, Any], rows: Any) -> dict[str, NDArray[np.str_]]:
    """Return column → (n_rows,) values as text.

    Args:
        slices: columns of the rows, or name → (n_rows,) values.
        rows: (n_rows, n_features), ndarray or DataFrame.

    Raises:
        RowsError: if there is no such column, if it has another length, if its index has another order than
            that of the rows, or if it has too many values.
    """
    if isinstance(slices, Mapping):
        given = dict(slices)
        for name, values in given.items():
            refuse_other_order(rows, values, f"values of slice {name!r}")
    else:
        slices = columns_named(slices)
        known = list(rows.columns) if isinstance(rows, pd.DataFrame) else []
        missing = [name for name in slices if name not in known]
        if missing:
            raise RowsError(
                f"the rows have no column {', '.join(map(repr, missing))} to slice by; "
                + (
                    f"they have {', '.join(map(repr, known))}"
                    if known
                    else "pass a DataFrame, or slices={name: values}"
                )
            )
        given = {name: rows[name] for name in slices}
    return {str(name): _texts(str(name), values, len(rows)) for name, values in given.items()}


def _texts(name: str, values: Any, n_rows: int) -> NDArray[np.str_]:
    column = pd.Series(np.asarray(values, dtype=object).ravel())
    if len(column) != n_rows:
        raise RowsError(f"slice {name!r} has {len(column)} values for {n_rows} rows; expected one per row")
    texts = slice_texts(column)
    n_values = len(np.unique(texts))
    if n_values > _MAX_VALUES:
        raise RowsError(
            f"column {name!r} has {n_values} different values; at most {_MAX_VALUES} slices are compared,"
            " because a slice with few rows says nothing: put the values into a few bins"
        )
    return texts


def slices_of(columns: Mapping[str, NDArray[np.str_]], a: Measured, b: Measured) -> tuple[Slice, ...]:
    """Return every slice.

    Args:
        columns: column → (n_rows,) values as text.
        a: what one bundle answers.
        b: what the other answers for the same rows.
    """
    cells = [
        (name, str(value), np.asarray(texts == value))
        for name, texts in columns.items()
        for value in np.unique(texts)
    ]
    only_a, only_b = a.right & ~b.right & a.compared, b.right & ~a.right & a.compared
    counts = [(count(rows & only_a), count(rows & only_b)) for *_, rows in cells]
    corrected = holm_corrected([exact_p_value(*each) for each in counts])
    return tuple(
        _slice(*cell, (a, b), each, p_value)
        for cell, each, p_value in zip(cells, counts, corrected, strict=True)
    )


def _slice(
    column: str,
    value: str,
    rows: NDArray[np.bool_],
    sides: tuple[Measured, Measured],
    only_right: tuple[int, int],
    corrected: float,
) -> Slice:
    accuracy = [_share(each.right, rows & each.compared) for each in sides]
    error = [_share(each.wrong, rows & each.accepted) for each in sides]
    coverage = [count(rows & each.accepted) / count(rows) for each in sides]
    return Slice(
        column=column,
        value=value,
        n_rows=count(rows),
        accuracy_a=accuracy[0],
        accuracy_b=accuracy[1],
        only_a_right=only_right[0],
        only_b_right=only_right[1],
        corrected_p_value=corrected,
        coverage_a=coverage[0],
        coverage_b=coverage[1],
        error_a=error[0],
        error_b=error[1],
    )


def _share(what: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float | None:
    return float(what[rows].mean()) if rows.any() else None
