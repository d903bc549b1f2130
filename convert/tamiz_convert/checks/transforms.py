"""Changes of rows, by name; each returns new values for some columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz_convert.checks.table import Table
from tamiz_convert.errors import SpecificationError, did_you_mean

Random = np.random.Generator
_PAIR: Final = 2


@dataclass(frozen=True)
class Transform:
    """A change of rows.

    Attributes:
        name: one of `permute`, `permute_within`, `replace`, `map`, `swap`, `gaussian`, `scale`, `shift`,
            `missing`.
        argument: its argument; None where it has none.
    """

    name: str
    argument: Any = None

    def __post_init__(self) -> None:
        if self.name not in _TRANSFORMS:
            known = list(_TRANSFORMS)
            raise SpecificationError(
                f"unknown transform {self.name!r}{did_you_mean(self.name, known)}; known are"
                f" {', '.join(known)}"
            )
        kind = _TRANSFORMS[self.name]
        if not kind.fits(self.argument):
            raise SpecificationError(
                f"the transform {self.name} needs {kind.expected}, got {self.argument!r}"
            )

    @classmethod
    def from_yaml(cls, value: Any, where: str) -> Transform:
        """Return the transform of "name" or {name: argument}."""
        if isinstance(value, str):
            value = {value: None}
        if not (isinstance(value, Mapping) and len(value) == 1):
            raise SpecificationError(
                f"{where}: expected the name of a transform, or one name with its argument, got {value!r}"
            )
        ((name, argument),) = value.items()
        try:
            return cls(str(name), argument)
        except SpecificationError as error:
            raise SpecificationError(f"{where}: {error}") from None

    def apply(self, table: Table, columns: Sequence[str | int], random: Random, where: str) -> Table:
        """Return changed rows, as many and in the same order.

        Args:
            table: the rows.
            columns: which columns are changed.
            random: the source of noise.
            where: the place in the specification, for errors.

        Raises:
            SpecificationError: for unknown columns, or columns that this transform cannot change.
        """
        taken = {name: table.column(name, where) for name in columns}
        call = _Call(table, taken, self.argument, random, where)
        return table.replaced(_TRANSFORMS[self.name].change(call))


@dataclass(frozen=True)
class _Call:
    """What a transform is called with."""

    table: Table
    columns: dict[str | int, pd.Series[Any]]
    argument: Any
    random: Random
    where: str

    def numbers(self, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> dict[str | int, Any]:
        """Change numeric columns; whole numbers stay whole."""
        changed: dict[str | int, Any] = {}
        for name, column in self.columns.items():
            if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
                raise SpecificationError(f"{self.where}: column {name!r} does not hold numbers")
            values = change(column.to_numpy(dtype=np.float64))
            is_whole = column.dtype.kind in "iu"
            changed[name] = pd.Series(values.round()).astype(column.dtype) if is_whole else values
        return changed


def _permute(call: _Call) -> dict[str | int, Any]:
    """Exchange values between rows, the same way in all columns."""
    return _reordered(call, call.random.permutation(len(call.table)))


def _permute_within(call: _Call) -> dict[str | int, Any]:
    """Exchange values between rows that have the same value in another column."""
    order = np.arange(len(call.table))
    for _, rows in call.table.slices([call.argument], call.where):
        order[rows] = call.random.permutation(order[rows])
    return _reordered(call, order)


def _reordered(call: _Call, order: NDArray[np.int64]) -> dict[str | int, Any]:
    return {name: column.iloc[order].reset_index(drop=True) for name, column in call.columns.items()}


def _replace(call: _Call) -> dict[str | int, Any]:
    return {name: _filled(call, name, column) for name, column in call.columns.items()}


def _filled(call: _Call, name: str | int, column: pd.Series[Any]) -> pd.Series[Any]:
    try:
        return pd.Series(call.argument, index=column.index).astype(column.dtype)
    except (TypeError, ValueError):
        raise SpecificationError(
            f"{call.where}: column {name!r} holds {column.dtype} values, and {call.argument!r} is not one"
        ) from None


def _swap(call: _Call) -> dict[str | int, Any]:
    if len(call.columns) != _PAIR:
        raise SpecificationError(f"{call.where}: swap needs two columns, got {len(call.columns)}")
    one, other = call.columns
    return {one: call.columns[other], other: call.columns[one]}


def _gaussian(call: _Call) -> dict[str | int, Any]:
    """Add normal noise; its standard deviation is a share of the column's own."""
    share = float(call.argument["rel_std"])
    return call.numbers(lambda values: values + call.random.normal(0.0, share * _std(values), len(values)))


def _std(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std()) if len(finite) else 0.0


def _missing(call: _Call) -> dict[str | int, Any]:
    """Remove a share of the values, in each column separately."""
    changed: dict[str | int, Any] = {}
    for name, column in call.columns.items():
        if column.dtype.kind in "iub":
            raise SpecificationError(
                f"{call.where}: column {name!r} holds {column.dtype} values, which cannot be missing"
            )
        changed[name] = column.mask(call.random.random(len(column)) < call.argument)
    return changed


@dataclass(frozen=True)
class _Kind:
    """A kind of transform: what it does, and which argument it needs, for people and as a test."""

    change: Callable[[_Call], dict[str | int, Any]]
    expected: str
    fits: Callable[[Any], bool]


def _is_none(value: Any) -> bool:
    return value is None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TRANSFORMS: Final = {
    "permute": _Kind(_permute, "no argument", _is_none),
    "permute_within": _Kind(_permute_within, "a column", lambda value: isinstance(value, str | int)),
    "replace": _Kind(_replace, "a value", lambda value: value is not None),
    "map": _Kind(
        lambda call: {n: column.replace(dict(call.argument)) for n, column in call.columns.items()},
        "old and new values, such as {a: b}",
        lambda value: isinstance(value, Mapping),
    ),
    "swap": _Kind(_swap, "no argument", _is_none),
    "gaussian": _Kind(
        _gaussian,
        "{rel_std: SHARE}, the noise's part of the column's standard deviation",
        lambda value: (
            isinstance(value, Mapping) and list(value) == ["rel_std"] and _is_number(value["rel_std"])
        ),
    ),
    "scale": _Kind(lambda call: call.numbers(lambda values: values * call.argument), "a number", _is_number),
    "shift": _Kind(lambda call: call.numbers(lambda values: values + call.argument), "a number", _is_number),
    "missing": _Kind(
        _missing, "a share from 0 to 1", lambda value: _is_number(value) and 0.0 <= value <= 1.0
    ),
}
