"""Rows → the arrays that a model reads, by name. This is the only place where a table becomes inputs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.rows.cast import cast
from tamiz.rows.column import Column, RowsError, column_of
from tamiz.rows.table import Table, as_table, listed
from tamiz.v1.manifest_pb2 import InputSpec

_MATRIX_DIMENSIONS: Final = 2
_SHOWN_TEXT: Final = 60


def read_rows(rows: Any, specs: Sequence[InputSpec]) -> dict[str, NDArray[Any]]:
    """Return the inputs of a model.

    A table gives its columns by name; columns that the model does not read are passed over. Where a model
    knows its columns only by their order, a table gives all of its columns in their order, if they are as
    many. An array gives the one input that a model reads. Values are converted only where nothing is lost:
    see `cast`.

    Args:
        rows: see `as_table`; at least one row.
        specs: the inputs. An empty shape, or -1 in one, stands for any size.

    Returns:
        Input name → (n_rows, …), in the input's dtype, contiguous; object for text.

    Raises:
        RowsError: if the rows do not fit; the message names the column or input, and the row.
    """
    fast = _as_it_is(rows, specs)
    if fast is not None:
        return fast
    table = as_table(rows, [name for spec in specs for name in spec.column_names or [spec.name]])
    if table is None:
        arrays = {specs[0].name: _from_array(rows, specs)}
    else:
        _require_columns(table, specs)
        arrays = {spec.name: _from_table(table, spec, specs) for spec in specs}
    for spec in specs:
        _check_shape(arrays[spec.name].shape, spec)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise RowsError(f"the inputs have different numbers of rows: {lengths}")
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _as_it_is(rows: Any, specs: Sequence[InputSpec]) -> dict[str, NDArray[Any]] | None:
    """Return an array that fits already, without looking further."""
    if type(rows) is not np.ndarray or len(specs) != 1 or rows.ndim != len(specs[0].shape):
        return None
    fits = rows.dtype == NUMERIC_DTYPES.get(specs[0].dtype) and all(
        want in (-1, size) for want, size in zip(specs[0].shape, rows.shape, strict=True)
    )
    return {specs[0].name: np.ascontiguousarray(rows)} if fits and len(rows) else None


def _from_array(rows: Any, specs: Sequence[InputSpec]) -> NDArray[Any]:
    spec = specs[0]
    if isinstance(rows, str | bytes | os.PathLike):
        shown = repr(os.fspath(rows))[:_SHOWN_TEXT]
        raise RowsError(
            f"the rows are {type(rows).__name__} {shown}: pass an array, a table or a dict; the command"
            " tamiz-client predict reads files"
        )
    name = getattr(rows, "name", None)  # of a Series
    if isinstance(name, str) and name and spec.column_names and name not in (*spec.column_names, spec.name):
        raise RowsError(f"the rows are the column {name!r}, and the model reads {listed(spec.column_names)}")
    try:
        column = column_of(rows)
    except RowsError as error:
        raise RowsError(f"the rows are not an array or a table: {error}") from error
    values = column.values
    if values.ndim == 0:  # NumPy makes a single object of whatever it does not know
        raise RowsError(
            f"the rows are of type {type(rows).__name__}: pass an array, a DataFrame or a dict of arrays"
        )
    objects = values.flat if values.dtype == object else ()
    record = next((each for each in objects if hasattr(each, "__dict__") or isinstance(each, dict)), None)
    if record is not None:
        raise RowsError(
            f"the rows hold a {type(record).__name__}: pass a list with one dict per row, such as"
            " dataclasses.asdict gives, or a table"
        )
    if not len(values):
        raise RowsError("there are no rows")
    if len(specs) > 1:
        raise RowsError(
            f"the model reads {len(specs)} inputs ({listed([spec.name for spec in specs])}), and the rows"
            " have no names: pass a DataFrame, or a dict with these names"
        )
    if values.ndim == 1 and len(spec.shape) == _MATRIX_DIMENSIONS:
        if spec.shape[1] != 1:
            raise RowsError(
                f"input {spec.name!r} wants rows of {spec.shape[1]} values, got one dimension of"
                f" {len(values)}: for a single row pass X.reshape(1, -1)"
            )
        column = _upright(column)
    return cast(column, spec.dtype, f"input {spec.name!r}")


def _require_columns(table: Table, specs: Sequence[InputSpec]) -> None:
    """Refuse a table that lacks columns, with the names of all of them."""
    absent = [
        name for spec in specs if spec.name not in table for name in spec.column_names if name not in table
    ]
    if not absent:
        return
    alike = next((name for name in table if _plain(name) == _plain(absent[0])), None)
    hint = "" if alike is None else f"; {alike!r} is another name than {absent[0]!r}: rename the column"
    raise RowsError(f"missing column(s) {listed(absent)}; the rows have {listed(list(table))}{hint}")


def _plain(name: str) -> str:
    return name.strip().casefold()


def _from_table(table: Table, spec: InputSpec, specs: Sequence[InputSpec]) -> NDArray[Any]:
    """Return one input: its columns side by side, or the array that bears its own name."""
    names = list(spec.column_names) or _by_order(table, spec, specs)
    has_all = bool(names) and all(name in table for name in names)
    if not has_all and spec.name in table:
        column = table[spec.name]
        return cast(_upright(column) if len(spec.shape) != 1 else column, spec.dtype, f"input {spec.name!r}")
    columns = [_single(table[name], name) for name in names]
    lengths = {len(column.values) for column in columns}
    if len(lengths) > 1:
        raise RowsError(
            "the columns have different numbers of values:"
            f" {', '.join(f'{name!r} {len(each.values)}' for name, each in zip(names, columns, strict=True))}"
        )
    cast_ = [cast(each, spec.dtype, f"column {name!r}") for name, each in zip(names, columns, strict=True)]
    return np.stack(cast_, axis=1)


def _by_order(table: Table, spec: InputSpec, specs: Sequence[InputSpec]) -> list[str]:
    """Return the columns of an input that has no names of its own: all that no other input reads."""
    if spec.name in table:
        return []
    others = {name for each in specs if each is not spec for name in (each.name, *each.column_names)}
    names = [name for name in table if name not in others]
    if _is_numbered_otherwise(names):
        raise RowsError(
            f"the model was trained without column names and reads columns by their order, and"
            f" {listed(names)} are not in the order of their numbers: pass an array with the columns in the"
            " order of the training"
        )
    is_only = all(each is spec or each.column_names or each.name in table for each in specs)
    width = spec.shape[1] if len(spec.shape) == _MATRIX_DIMENSIONS else -1
    expected = "its" if width < 0 else f"exactly {width}"
    if not is_only or len(spec.shape) not in (0, _MATRIX_DIMENSIONS) or width not in (-1, len(names)):
        raise RowsError(
            f"input {spec.name!r} is not among the columns {listed(list(table))}, and has no column names,"
            f" because the model was trained without them: expected {expected} columns"
            f" in the order of the training, or an array; these are {len(names)}"
        )
    return names


def _is_numbered_otherwise(names: Sequence[str]) -> bool:
    """Return whether names are numbers, as pandas and polars make them up, but in another order."""
    parts = [re.fullmatch(r"(\D*)(\d+)", name) for name in names]
    numbers = [int(part[2]) for part in parts if part]
    is_numbered = len(numbers) == len(names) and len({part[1] for part in parts if part}) == 1
    return is_numbered and numbers != sorted(numbers)


def _single(column: Column, name: str) -> Column:
    """Return a column with one value per row, (n_rows,)."""
    values, missing = column.values, column.missing
    if values.ndim == _MATRIX_DIMENSIONS and values.shape[1] == 1:
        return Column(values[:, 0], missing[:, 0])
    if values.ndim != 1:
        raise RowsError(
            f"column {name!r} has the shape {list(values.shape)}: expected one value per row"
            " (for a single row, pass lists of one value)"
        )
    return column


def _upright(column: Column) -> Column:
    """Return one value per row as a matrix of one column; anything else as it is."""
    if column.values.ndim != 1:
        return column
    return Column(column.values.reshape(-1, 1), column.missing.reshape(-1, 1))


def _check_shape(shape: tuple[int, ...], spec: InputSpec) -> None:
    want = tuple(spec.shape)
    fits = not want or (
        len(shape) == len(want) and all(w in (-1, s) for w, s in zip(want[1:], shape[1:], strict=True))
    )
    if not fits:
        expected = ", ".join(["rows", *("any" if size < 0 else str(size) for size in want[1:])])
        raise RowsError(f"input {spec.name!r} wants the shape [{expected}], got {list(shape)}")
    if not shape[0]:
        raise RowsError("there are no rows")
