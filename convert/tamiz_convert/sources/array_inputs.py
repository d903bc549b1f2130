"""Turn the caller's rows into inputs of a torch or ONNX graph: arrays with any number of dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.dtypes import NUMERIC_DTYPES, name_of
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.rows.raw import columns

_MATRIX_DIMENSIONS: Final = 2


@dataclass(frozen=True)
class ArrayInputs:
    """Inputs by name; the first dimension of each counts the rows.

    Attributes:
        specs: the manifest's descriptions, with shapes taken from rows.
    """

    specs: tuple[InputSpec, ...]

    @classmethod
    def of(cls, rows: Any, wanted: Iterable[InputSpec]) -> ArrayInputs:
        """Return the inputs for rows like these.

        Args:
            rows: an array or a table if there is one input; else a dict of arrays by input, or a table with
                one column per input.
            wanted: what the model reads. -1 in a shape stands for any size and is replaced by the size in the
                rows. An empty shape means that the shape is unknown.

        Raises:
            RowsError: if the rows do not fit.
        """
        specs = []
        asked = tuple(wanted)
        arrays = _arrays(rows, asked)
        for spec in asked:
            array = arrays[spec.name]
            _check_shape(array, spec)
            names = _column_names(rows, asked) or [spec.name] * isinstance(rows, pd.DataFrame)
            specs.append(
                InputSpec(
                    name=spec.name,
                    dtype=spec.dtype,
                    shape=[-1, *array.shape[1:]],
                    column_names=names,
                    missing_values_allowed=spec.missing_values_allowed,
                )
            )
        return cls(tuple(specs))

    def feed(self, rows: Any) -> dict[str, NDArray[Any]]:
        """Return the rows for the graph: input name → (n_rows, …), in the input's dtype."""
        arrays = _arrays(rows, self.specs)
        for spec in self.specs:
            _check_shape(arrays[spec.name], spec)
        return {spec.name: _converted(arrays[spec.name], spec) for spec in self.specs}


def _arrays(rows: Any, specs: tuple[InputSpec, ...]) -> dict[str, NDArray[Any]]:
    if isinstance(rows, pd.DataFrame):
        return _from_table(rows, specs)
    names = [spec.name for spec in specs]
    if isinstance(rows, Mapping):
        missing = [name for name in names if name not in rows]
        if missing:
            raise RowsError(f"the rows lack the input(s) {', '.join(missing)}; they have {', '.join(rows)}")
        return {name: np.asarray(rows[name]) for name in names}
    if len(specs) > 1:
        raise RowsError(
            f"the model reads {len(specs)} inputs ({', '.join(names)}): pass the rows as a dict of arrays"
            " with these names"
        )
    return {names[0]: np.asarray(rows)}


def _from_table(rows: pd.DataFrame, specs: tuple[InputSpec, ...]) -> dict[str, NDArray[Any]]:
    """Return one array of all columns if there is one input, else one column per input."""
    if len(specs) == 1:
        return {specs[0].name: columns(rows, specs[0].column_names or rows.columns).to_numpy()}
    table = columns(rows, (spec.name for spec in specs))
    return {name: table[name].to_numpy().reshape(-1, 1) for name in table.columns}


def _column_names(rows: Any, specs: tuple[InputSpec, ...]) -> list[str]:
    is_one_matrix = isinstance(rows, pd.DataFrame) and len(specs) == 1
    return [str(column) for column in rows.columns] if is_one_matrix else []


def _check_shape(array: NDArray[Any], spec: InputSpec) -> None:
    want = list(spec.shape)
    fits = not want or (
        array.ndim == len(want)
        and all(size in (-1, have) for size, have in zip(want[1:], array.shape[1:], strict=True))
    )
    if not fits:
        expected = ", ".join(["rows", *("any" if size < 0 else str(size) for size in want[1:])])
        raise RowsError(
            f"the rows of input {spec.name!r} have shape {list(array.shape)}; the model expects [{expected}]"
        )
    if array.ndim < _MATRIX_DIMENSIONS:
        raise EstimatorError(
            f"input {spec.name!r} has one number per row and no second dimension; let the model read the"
            " shape [rows, 1]"
        )


def _converted(array: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    if spec.dtype == DataType.DATA_TYPE_STRING:
        text = ["" if pd.isna(value) else str(value) for value in array.ravel()]
        return np.array(text, dtype=object).reshape(array.shape)
    target = NUMERIC_DTYPES[spec.dtype]
    try:
        converted = np.ascontiguousarray(array, dtype=target)
    except (ValueError, TypeError) as error:
        raise RowsError(f"input {spec.name!r} cannot be read as {name_of(spec.dtype)}: {error}") from error
    if target.kind != "f" and (converted.astype(array.dtype) != array).any():
        raise RowsError(f"input {spec.name!r} wants {name_of(spec.dtype)}, but the rows hold other values")
    return converted
