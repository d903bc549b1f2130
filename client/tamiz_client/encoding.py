"""Rows as a caller has them → tensors of the contract. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from operator import index
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz.bundle_format import MAX_VERSION
from tamiz.dtypes import NUMERIC_DTYPES, name_of
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import PredictRequest, Strings, Tensor
from tamiz_client.errors import InvalidRows, TamizClientError

_MATRIX_DIMENSIONS: Final = 2
_SHOWN_NAMES: Final = 5
_NOT_NUMBERS: Final = "cmM"
"""Kinds of numpy's dtypes that would lose something as numbers: complex numbers, durations, dates."""


def build_request(
    model: str,
    rows: Any,
    specs: Sequence[InputSpec],
    *,
    version: int | str | None = None,
    threshold: float | None = None,
    return_probabilities: bool = False,
) -> PredictRequest:
    """Return a request.

    Args:
        model: the model's name.
        rows: an ndarray for a model with one input; a table (anything with `columns` or `column_names`, such
            as a pandas or polars DataFrame or a pyarrow Table) by column name; or a dict of arrays by input
            or column name.
        specs: the inputs that the model reads.
        version: a version, or the label of one; None for the highest.
        threshold: a stricter threshold than the model's own; None to use the model's own.
        return_probabilities: whether to ask for the probability of every class.

    Raises:
        InvalidRows: if the rows do not fit; the message names the input or column.
        TamizClientError: if `version` or `threshold` has the wrong type.
    """
    if not isinstance(threshold, Real | None):
        raise TamizClientError(f"threshold is {threshold!r}: expected a number from 0 to 1")
    number, label = number_and_label(version)
    return PredictRequest(
        model_name=model,
        model_version=number,
        model_label=label,
        inputs=[_tensor(array, spec) for array, spec in zip(_arrays(rows, specs), specs, strict=True)],
        threshold=threshold,
        return_probabilities=return_probabilities,
    )


def number_and_label(version: Any) -> tuple[int, str]:
    """Return a version as requests name it: by number (0 for the highest), or by label (never a number).

    Raises:
        TamizClientError: if it is neither a whole number that a version can have, nor a label.
    """
    if version is None:
        return 0, ""
    if isinstance(version, str) and version and not version.isdecimal():
        return 0, version
    try:
        number = int(version) if isinstance(version, str) else index(version)
    except (TypeError, ValueError):
        number = -1
    if isinstance(version, bool) or not 0 <= number <= MAX_VERSION:
        raise TamizClientError(
            f"version is {version!r}: expected a whole number from 1, a label, or None for the highest"
            " version"
        )
    return number, ""


def _arrays(rows: Any, specs: Sequence[InputSpec]) -> list[NDArray[Any]]:
    columns = _columns(rows)
    if columns is not None:
        return [_from_columns(columns, spec) for spec in specs]
    if len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise InvalidRows(
            f"the model reads {len(specs)} inputs ({names}): pass a DataFrame, or a dict with these names"
        )
    array = _matrix(rows, specs[0])
    if array.ndim == 1 and len(specs[0].shape) == _MATRIX_DIMENSIONS:
        raise InvalidRows(
            f"input {specs[0].name!r} wants rows of {specs[0].shape[1]} values, got one dimension of"
            f" {len(array)}: {_way_out(array)}"
        )
    return [array]


def _way_out(array: NDArray[Any]) -> str:
    if len(array) and isinstance(array[0], Mapping):
        return "for a list of dicts pass pd.DataFrame(rows)"
    return "for a single row pass X.reshape(1, -1)"


def _matrix(rows: Any, spec: InputSpec) -> NDArray[Any]:
    if hasattr(rows, "toarray"):  # scipy
        raise InvalidRows(f"input {spec.name!r}: the rows are a sparse matrix: pass rows.toarray()")
    try:
        array = np.asarray(rows)
    except ValueError as error:  # lists of several lengths
        raise InvalidRows(f"input {spec.name!r}: the rows are not an array: {error}") from error
    if array.ndim == 0:  # numpy makes a single object of whatever it does not know
        raise InvalidRows(
            f"input {spec.name!r}: the rows are of type {type(rows).__name__}: pass an array, a DataFrame or"
            " a dict of arrays"
        )
    return array


def _columns(rows: Any) -> dict[str, NDArray[Any]] | None:
    """Return a table's or dict's columns by name; None for anything else."""
    if isinstance(rows, Mapping):
        return {str(name): np.asarray(values) for name, values in rows.items()}
    names = getattr(rows, "column_names", None)  # pyarrow
    if names is None:
        names = getattr(rows, "columns", None)  # pandas, polars
    if names is None:
        return None
    return {str(name): _values(rows[name]) for name in names}


def _values(column: Any) -> NDArray[Any]:
    """Return a column's values; objects if numpy has no type for them (nullable, categorical)."""
    if hasattr(column, "to_numpy"):
        return np.asarray(column.to_numpy())
    return np.asarray(column)


def _from_columns(columns: dict[str, NDArray[Any]], spec: InputSpec) -> NDArray[Any]:
    if spec.name in columns:
        array = columns[spec.name]
        is_flat = array.ndim == 1 and len(spec.shape) == _MATRIX_DIMENSIONS and spec.shape[1] == 1
        return array.reshape(-1, 1) if is_flat else array
    names = list(spec.column_names)
    have = _listed(columns)
    if not names:
        raise InvalidRows(
            f"input {spec.name!r} has no column names, because the model was trained without them, and the"
            f" rows have the columns {have}: pass an array with the columns in the order of the training,"
            " such as df.to_numpy()"
        )
    missing = [name for name in names if name not in columns]
    if missing:
        raise InvalidRows(f"missing column(s) {_listed(missing)}; the rows have {have}")
    n_rows = columns[names[0]].shape[:1]
    for name in names:
        if columns[name].shape != n_rows or not n_rows:
            raise InvalidRows(
                f"column {name!r} has the shape {list(columns[name].shape)}: expected one value per row, in"
                " every column, and every name once (for a single row, pass lists of one value)"
            )
    return np.stack([_numbers(columns[name], spec, f"column {name!r}") for name in names], axis=1)


def _listed(names: Collection[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(map(repr, list(names)[:_SHOWN_NAMES])) or "none"
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _tensor(array: NDArray[Any], spec: InputSpec) -> Tensor:
    shape = array.shape
    want = tuple(spec.shape)
    fits = len(shape) == len(want) and all(w < 0 or s == w for s, w in zip(shape, want, strict=True))
    if not fits:
        expected = ", ".join("rows" if size < 0 else str(size) for size in want)
        raise InvalidRows(f"input {spec.name!r} wants the shape [{expected}], got {list(shape)}")
    if shape[0] == 0:
        raise InvalidRows("there are no rows to predict")
    if spec.dtype == DataType.DATA_TYPE_STRING:
        return Tensor(
            name=spec.name, dtype=spec.dtype, shape=shape, strings=Strings(values=_strings(array, spec))
        )
    numbers = _numbers(array, spec, f"input {spec.name!r}")
    return Tensor(name=spec.name, dtype=spec.dtype, shape=shape, raw=np.ascontiguousarray(numbers).tobytes())


def _strings(array: NDArray[Any], spec: InputSpec) -> list[str]:
    """Return strings; a missing one (None, NaN, pandas' NA) is the empty string."""
    values = ["" if _is_missing(value) else value for value in array.ravel().tolist()]
    for value in values:
        if not isinstance(value, str):
            raise InvalidRows(
                f"input {spec.name!r} wants strings, got {value!r} of type {type(value).__name__}"
            )
    return values


def _numbers(array: NDArray[Any], spec: InputSpec, what: str) -> NDArray[Any]:
    """Return numbers in the input's dtype, converted only where no value changes its meaning."""
    target = NUMERIC_DTYPES[spec.dtype]
    if array.dtype == target:
        return array
    if array.dtype.kind in _NOT_NUMBERS:
        raise InvalidRows(
            f"{what} wants {name_of(spec.dtype)}, got {array.dtype}: convert it as in the training"
        )
    if array.dtype.kind not in "biuf":
        array = _as_floats(array, spec, what)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(target)
        if target.kind == "f":  # rounding is fine, overflow is not
            lost = np.isinf(converted) & ~np.isinf(array.astype(np.float64))
        else:
            lost = converted.astype(array.dtype) != array
    if lost.any():
        raise InvalidRows(f"{what}: {array[lost].flat[0].item()!r} cannot be a {name_of(spec.dtype)}")
    return converted


def _as_floats(array: NDArray[Any], spec: InputSpec, what: str) -> NDArray[np.float64]:
    """Return objects as float64; a missing one (None, pandas' NA) becomes NaN."""
    try:
        return np.array(
            [np.nan if _is_missing(value) else value for value in array.ravel()], dtype=np.float64
        ).reshape(array.shape)
    except (TypeError, ValueError) as error:
        raise InvalidRows(f"{what} wants {name_of(spec.dtype)}: {error}") from error


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN or pandas' NA."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124  NaN
    except TypeError:  # bool(NA) is refused, and so is bool(NA != NA)
        return True
