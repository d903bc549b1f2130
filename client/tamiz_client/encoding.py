"""Rows as a caller has them → tensors of the contract. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from operator import index
from typing import Any, Final

from numpy.typing import NDArray

from tamiz.bundle_format import MAX_VERSION
from tamiz.rows import RowsError, read_rows
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import PredictRequest, Priority, Strings, Tensor
from tamiz_client.errors import InvalidRows, TamizClientError

_MOST_STRINGS: Final = 2**17
"""How many strings one request may have: a server refuses a message of twice as many parts."""
_UTF8_BYTES: Final = 4
"""The most bytes of one character."""
_SHARE: Final = 4
"""A table that is too large is cut into parts of a quarter of what is allowed: others use the queue too."""


def build_request(model: str, rows: Any, specs: Sequence[InputSpec], **wishes: Any) -> PredictRequest:
    """Return one request for all rows; see `build_requests`."""
    return next(build_requests(model, rows, specs, **wishes))


def build_requests(
    model: str,
    rows: Any,
    specs: Sequence[InputSpec],
    *,
    inputs_digest: str = "",
    version: int | str | None = None,
    threshold: float | None = None,
    return_probabilities: bool = False,
    low_priority: bool = False,
    most_rows: int = 0,
    most_bytes: int = 0,
) -> Iterator[PredictRequest]:
    """Return requests that together ask for all rows, in their order. All rows are read before the first.

    Args:
        model: the model's name.
        rows: see `tamiz.rows.read_rows`: an array, a table, a dict of columns, or records.
        specs: the inputs that the model reads.
        inputs_digest: the digest of these inputs, as the server gave it.
        version: a version, or the label of one; None for the highest.
        threshold: a stricter threshold than the model's own, which the server raises to the next proven one;
            None to use the model's own.
        return_probabilities: whether to ask for the probability of every class.
        low_priority: whether requests of other callers go first.
        most_rows: how many rows a request may have; 0: any number.
        most_bytes: how many bytes its rows may have; 0: any number.

    Raises:
        InvalidRows: if the rows do not fit; the message names the input or column.
        TamizClientError: if `version` or `threshold` has the wrong type.
    """
    if not isinstance(threshold, Real | None):
        raise TamizClientError(f"threshold is {threshold!r}: expected a number from 0 to 1")
    number, label = number_and_label(version)
    arrays = _arrays(rows, specs)
    n_rows = len(arrays[specs[0].name])
    at_once = _rows_at_once(arrays, n_rows, most_rows, most_bytes)
    for start in range(0, n_rows, at_once):
        yield PredictRequest(
            model_name=model,
            model_version=number,
            model_label=label,
            inputs=[_tensor(arrays[spec.name][start : start + at_once], spec) for spec in specs],
            inputs_digest=inputs_digest,
            threshold=threshold,
            return_probabilities=return_probabilities,
            priority=Priority.PRIORITY_LOW if low_priority else Priority.PRIORITY_NORMAL,
        )


def _rows_at_once(arrays: Mapping[str, NDArray[Any]], n_rows: int, most_rows: int, most_bytes: int) -> int:
    """Return how many rows go into one request: all of them if they may."""
    strings = [array.ravel().tolist() for array in arrays.values() if array.dtype == object]
    n_bytes = sum(array.nbytes for array in arrays.values() if array.dtype != object)
    n_bytes += sum(_UTF8_BYTES * len(text) for texts in strings for text in texts) if most_bytes else 0
    excess = max(
        n_rows / most_rows if most_rows else 0.0,
        n_bytes / most_bytes if most_bytes else 0.0,
        sum(map(len, strings)) / _MOST_STRINGS if most_rows or most_bytes else 0.0,
    )
    return n_rows if excess <= 1.0 else max(1, int(n_rows / excess / _SHARE))


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


def _arrays(rows: Any, specs: Sequence[InputSpec]) -> dict[str, NDArray[Any]]:
    try:
        return read_rows(rows, specs)
    except RowsError as error:
        raise InvalidRows(str(error)) from error


def _tensor(array: NDArray[Any], spec: InputSpec) -> Tensor:
    shape = array.shape
    if spec.dtype == DataType.DATA_TYPE_STRING:
        strings = Strings(values=array.ravel().tolist())
        return Tensor(name=spec.name, dtype=spec.dtype, shape=shape, strings=strings)
    return Tensor(name=spec.name, dtype=spec.dtype, shape=shape, raw=array.tobytes())
