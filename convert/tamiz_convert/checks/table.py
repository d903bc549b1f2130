"""Rows as the caller has them, with columns by name, or by number where it is a matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz_convert.checks.did_you_mean import did_you_mean
from tamiz_convert.errors import SpecificationError
from tamiz_convert.rows.slices import slice_texts

MAX_SLICES: Final = 1000
_MATRIX: Final = 2


@dataclass(frozen=True)
class Table:
    """Rows with columns.

    Attributes:
        frame: the columns; of a matrix they are called 0, 1, 2, …
        array: the rows themselves where they are no table, such as images; then there are no columns.
        is_matrix: whether the caller has a matrix.
    """

    frame: pd.DataFrame
    is_matrix: bool
    array: NDArray[Any] | None = None

    @classmethod
    def of(cls, rows: Any) -> Table:
        """Return a table of (n_rows, …) rows, DataFrame or ndarray."""
        if isinstance(rows, pd.DataFrame):
            return cls(rows.reset_index(drop=True), is_matrix=False)
        matrix = np.asarray(rows)
        if matrix.ndim != _MATRIX:
            return cls(pd.DataFrame(index=range(len(matrix))), is_matrix=True, array=matrix)
        return cls(pd.DataFrame(matrix), is_matrix=True)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def rows(self) -> Any:
        """The rows in the form in which the caller has them."""
        if self.array is not None:
            return self.array
        return self.frame.to_numpy() if self.is_matrix else self.frame

    def column(self, name: str | int, where: str) -> pd.Series[Any]:
        """Return a column.

        Args:
            name: of the column.
            where: the place in the specification that names it.

        Raises:
            SpecificationError: if there is no such column.
        """
        if name not in self.frame.columns:
            known = [str(each) for each in self.frame.columns]
            raise SpecificationError(
                f"{where}: the rows have no column {name!r}{did_you_mean(str(name), known)}; they have {_listed(known) or 'none'}"
            )
        return self.frame[name]

    def take(self, positions: NDArray[np.int64]) -> Table:
        """Return some of the rows."""
        array = None if self.array is None else self.array[positions]
        return Table(self.frame.iloc[positions].reset_index(drop=True), self.is_matrix, array)

    def replaced(self, values: Mapping[str | int, Any]) -> Table:
        """Return the rows with other values in some columns."""
        return Table(_assigned(self.frame, values), self.is_matrix)

    def slices(self, by: Sequence[str | int], where: str) -> Iterable[tuple[str, NDArray[np.bool_]]]:
        """Yield a name and (n_rows,) bool for each combination of values; all rows if `by` is empty.

        Raises:
            SpecificationError: for an unknown column, or more than 1,000 slices.
        """
        if not by:
            return [("all rows", np.ones(len(self), dtype=bool))]
        texts = [slice_texts(self.column(name, where)) for name in by]
        keys = pd.MultiIndex.from_arrays(texts)
        codes, distinct = keys.factorize(sort=True)
        if len(distinct) > MAX_SLICES:
            raise SpecificationError(
                f"{where}: the column(s) {', '.join(map(str, by))} make {len(distinct)} slices, at most {MAX_SLICES} can be"
                " checked; put the values into coarser groups"
            )
        return [
            (", ".join(f"{name} = {value}" for name, value in zip(by, values, strict=True)), codes == index)
            for index, values in enumerate(distinct)
        ]


def _assigned(frame: pd.DataFrame, values: Mapping[str | int, Any]) -> pd.DataFrame:
    changed = frame.copy()
    for name, column in values.items():
        changed[name] = column
    return changed


def _listed(names: Sequence[str], shown: int = 20) -> str:
    more = f", … ({len(names)} in all)" if len(names) > shown else ""
    return ", ".join(map(repr, names[:shown])) + more
