"""Turns wire bytes into arrays. Inputs that do not fit the manifest are refused here, and nowhere later."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tamiz.dtypes import NUMERIC_DTYPES, name_of
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import Tensor
from tamiz_server.errors import InvalidRequest

Inputs = dict[str, NDArray[Any]]


class Named(Protocol):
    """A tensor of any protocol, as sent."""

    @property
    def name(self) -> str:
        """Which input it is for."""


_Sent = TypeVar("_Sent", bound=Named)

_SHOWN_DIMENSIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Spec:
    """One input of a model, in a form that is quick to check requests against.

    Attributes:
        name: the input's name.
        data_type: the contract's type.
        dtype: numpy's type; None for strings.
        tail: the sizes of all dimensions but the first; -1: any size.
        missing_values_allowed: whether the model was made for NaN.
    """

    name: str
    data_type: DataType
    dtype: np.dtype[Any] | None
    tail: tuple[int, ...]
    missing_values_allowed: bool

    @classmethod
    def of(cls, spec: InputSpec) -> Spec:
        """Return the checking form of a manifest's input."""
        return cls(
            name=spec.name,
            data_type=spec.dtype,
            dtype=NUMERIC_DTYPES.get(spec.dtype),
            tail=tuple(spec.shape[1:]),
            missing_values_allowed=spec.missing_values_allowed,
        )

    def __str__(self) -> str:
        shape = ", ".join(["rows", *("any" if size < 0 else str(size) for size in self.tail)])
        return f"input {self.name!r} of {name_of(self.data_type)}[{shape}]"


def read_inputs(tensors: Sequence[Tensor], specs: Sequence[Spec]) -> tuple[Inputs, int]:
    """Return a request's inputs as arrays, and how many rows they have.

    Args:
        tensors: what was sent.
        specs: what the model reads.

    Returns:
        One array per spec, (n_rows, *tail), of the spec's dtype (object for strings); numeric ones are
        read-only views of the message. And n_rows, at least 1.

    Raises:
        InvalidRequest: if an input is missing, unknown or sent twice, has the wrong dtype, shape or byte
            count, or has another number of rows than the others.
    """
    return read_each(tensors, specs, _read)


def read_each(
    tensors: Sequence[_Sent], specs: Sequence[Spec], read: Callable[[_Sent, Spec], NDArray[Any]]
) -> tuple[Inputs, int]:
    """Read inputs as `read_inputs` does, for any protocol; `read` turns one tensor into an array."""
    if len(tensors) == len(specs) == 1 and tensors[0].name == specs[0].name:
        # The common case, without building two dicts.
        array = read(tensors[0], specs[0])
        return {specs[0].name: array}, array.shape[0]
    by_name = _by_name(tensors, specs)
    inputs = {spec.name: read(by_name[spec.name], spec) for spec in specs}
    rows = {name: array.shape[0] for name, array in inputs.items()}
    n_rows = next(iter(rows.values()))
    for name, count in rows.items():
        if count != n_rows:
            first = next(iter(rows))
            raise InvalidRequest(
                f"input {name!r} has {count} rows and input {first!r} has {n_rows}: expected the same"
            )
    return inputs, n_rows


def _by_name(tensors: Sequence[_Sent], specs: Sequence[Spec]) -> dict[str, _Sent]:
    by_name: dict[str, _Sent] = {}
    for tensor in tensors:
        if tensor.name in by_name:
            raise InvalidRequest(f"input {tensor.name!r} was sent twice")
        by_name[tensor.name] = tensor
    expected = {spec.name for spec in specs}
    for name in by_name:
        if name not in expected:
            raise InvalidRequest(f"unknown input {name!r}: the model reads {', '.join(map(str, specs))}")
    for spec in specs:
        if spec.name not in by_name:
            raise InvalidRequest(f"{spec} is missing")
    return by_name


def _read(tensor: Tensor, spec: Spec) -> NDArray[Any]:
    if tensor.dtype != spec.data_type:
        raise InvalidRequest(f"expected {spec}, got dtype {_type_name(tensor.dtype)}")
    shape = read_shape(tensor.shape, spec)
    if spec.dtype is None:
        return _read_strings(tensor, shape, spec)
    raw = tensor.raw
    expected_bytes = math.prod(shape) * spec.dtype.itemsize
    if len(raw) != expected_bytes:
        sent = tensor.WhichOneof("contents")
        if sent != "raw":
            raise InvalidRequest(f"expected {spec} as raw bytes, got {sent or 'no contents'}")
        raise InvalidRequest(
            f"input {spec.name!r} of shape {list(shape)} takes {expected_bytes} bytes of"
            f" {name_of(spec.data_type)}, got {len(raw)}"
        )
    return np.ndarray(shape, spec.dtype, raw)  # a read-only view


def read_shape(sent: Sequence[int], spec: Spec) -> tuple[int, ...]:
    """Return a tensor's shape, (rows, *tail).

    Raises:
        InvalidRequest: if it does not fit the spec, or has no row.
    """
    if len(sent) != len(spec.tail) + 1:
        got = list(sent) if len(sent) <= _SHOWN_DIMENSIONS else f"of {len(sent)} dimensions"
        raise InvalidRequest(f"expected {spec}, got shape {got}")
    shape = tuple(sent)
    if shape[1:] != spec.tail or min(shape) < 1:
        _check_shape(shape, spec)
    return shape


def _check_shape(shape: tuple[int, ...], spec: Spec) -> None:
    pairs = zip(shape[1:], spec.tail, strict=True)
    if not all(size > 0 if want < 0 else size == want for size, want in pairs):
        raise InvalidRequest(f"expected {spec}, got shape {list(shape)}")
    if shape[0] < 1:
        raise InvalidRequest(f"input {spec.name!r} has {shape[0]} rows: expected at least one")


def _read_strings(tensor: Tensor, shape: tuple[int, ...], spec: Spec) -> NDArray[Any]:
    if tensor.WhichOneof("contents") != "strings":
        raise InvalidRequest(
            f"expected {spec} as strings, got {tensor.WhichOneof('contents') or 'no contents'}"
        )
    values = tensor.strings.values
    if len(values) != math.prod(shape):
        raise InvalidRequest(
            f"input {spec.name!r} of shape {list(shape)} takes {math.prod(shape)} strings, got {len(values)}"
        )
    return np.array(values, dtype=object).reshape(shape)


def _type_name(data_type: DataType) -> str:
    """Return the name of a type that was sent; the enum is open and may hold an unknown number."""
    return name_of(data_type) if data_type in DataType.values() else f"number {data_type}"
