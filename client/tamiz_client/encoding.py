"""Rows as a caller has them → tensors of the contract. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from operator import index
from typing import Any

from numpy.typing import NDArray

from tamiz.bundle_format import MAX_VERSION
from tamiz.rows import RowsError, read_rows
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import PredictRequest, Strings, Tensor
from tamiz_client.errors import InvalidRows, TamizClientError


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
        rows: see `tamiz.rows.read_rows`: an array, a table, a dict of columns, or records.
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
        inputs=_tensors(rows, specs),
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


def _tensors(rows: Any, specs: Sequence[InputSpec]) -> list[Tensor]:
    try:
        arrays = read_rows(rows, specs)
    except RowsError as error:
        raise InvalidRows(str(error)) from error
    return [_tensor(arrays[spec.name], spec) for spec in specs]


def _tensor(array: NDArray[Any], spec: InputSpec) -> Tensor:
    shape = array.shape
    if spec.dtype == DataType.DATA_TYPE_STRING:
        strings = Strings(values=array.ravel().tolist())
        return Tensor(name=spec.name, dtype=spec.dtype, shape=shape, strings=strings)
    return Tensor(name=spec.name, dtype=spec.dtype, shape=shape, raw=array.tobytes())
