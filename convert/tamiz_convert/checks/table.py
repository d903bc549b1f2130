"""Rows as the caller has them, with columns by name, or by number where they have no names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.rows import column_of
from tamiz_convert.errors import SpecificationError, did_you_mean
from tamiz_convert.rows.raw import flat
from tamiz_convert.rows.slices import slice_texts

MAX_SLICES: Final = 1000


@dataclass(frozen=True)
class Table:
    """Rows with columns.

    Attributes:
        frame: the columns; of an array they are called 0, 1, 2, …, pixel by pixel where the rows are images.
        restore: a frame with the same columns → rows of the caller's kind.
    """

    frame: pd.DataFrame
    restore: Callable[[pd.DataFrame], Any]

    @classmethod
    def of(cls, rows: Any) -> Table:
        """Return a table of rows: a DataFrame, an array of (n_rows, …), or a dict of arrays by input."""
        if isinstance(rows, pd.DataFrame):
            rows = rows.reset_index(drop=True).apply(_plain)
        taken = flat(rows)
        return cls(taken.table, taken.restore)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def rows(self) -> Any:
        """The rows in the form in which the caller gave them."""
        return self.restore(self.frame)

    @property
    def names_columns(self) -> bool:
        """Whether the caller's rows have columns by name."""
        return isinstance(self.restore(self.frame.head(1)), pd.DataFrame)

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
                f"{where}: the rows have no column {name!r}{did_you_mean(str(name), known)}; they have"
                f" {_listed(known) or 'none'}"
            )
        return self.frame[name]

    def take(self, positions: NDArray[np.int64]) -> Table:
        """Return some of the rows."""
        return Table(self.frame.iloc[positions].reset_index(drop=True), self.restore)

    def replaced(self, values: Mapping[str | int, Any]) -> Table:
        """Return the rows with other values in some columns."""
        return Table(_assigned(self.frame, values), self.restore)

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
                f"{where}: {', '.join(map(str, by))} would make {len(distinct):,} slices, and at most"
                f" {MAX_SLICES:,} can be checked: put the values into coarser groups"
            )
        return [
            (", ".join(f"{name} = {value}" for name, value in zip(by, values, strict=True)), codes == index)
            for index, values in enumerate(distinct)
        ]


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of nullable numbers as one that noise can be added to; others as they are."""
    if isinstance(column.dtype, np.dtype) or column.dtype.kind not in "iuf":
        return column
    read = column_of(column)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan) if read.missing.any() else read.values
    return pd.Series(values, index=column.index, name=column.name)


def _assigned(frame: pd.DataFrame, values: Mapping[str | int, Any]) -> pd.DataFrame:
    changed = frame.copy()
    for name, column in values.items():
        changed[name] = column
    return changed


def _listed(names: Sequence[str], shown: int = 20) -> str:
    more = f", … ({len(names)} in all)" if len(names) > shown else ""
    return ", ".join(map(repr, names[:shown])) + more
