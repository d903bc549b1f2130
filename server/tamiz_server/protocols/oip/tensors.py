"""Tensors of the protocol: their datatypes, and how what was sent becomes what the model reads.

A client may send another datatype than the model's, because many fix it by the language that they are
written in. What is sent is converted where every value stays exactly what it was, and refused where one
would not.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.oip.inference import ModelInferRequest
from tamiz.v1.manifest_pb2 import DataType
from tamiz_server.errors import InvalidRequest
from tamiz_server.model.inputs import Inputs, Spec, read_each, read_shape
from tamiz_server.model.message_size import MOST_STRINGS

BYTES: Final = "BYTES"

DATATYPES: Final[dict[DataType, str]] = {
    DataType.DATA_TYPE_BOOL: "BOOL",
    DataType.DATA_TYPE_INT8: "INT8",
    DataType.DATA_TYPE_INT16: "INT16",
    DataType.DATA_TYPE_INT32: "INT32",
    DataType.DATA_TYPE_INT64: "INT64",
    DataType.DATA_TYPE_UINT8: "UINT8",
    DataType.DATA_TYPE_UINT16: "UINT16",
    DataType.DATA_TYPE_UINT32: "UINT32",
    DataType.DATA_TYPE_UINT64: "UINT64",
    DataType.DATA_TYPE_FLOAT16: "FP16",
    DataType.DATA_TYPE_FLOAT32: "FP32",
    DataType.DATA_TYPE_FLOAT64: "FP64",
    DataType.DATA_TYPE_STRING: BYTES,
}
"""The contract's type to the protocol's, for every type."""

DTYPES: Final = {DATATYPES[data_type]: dtype for data_type, dtype in NUMERIC_DTYPES.items()}
"""The protocol's numeric datatypes, but for BF16, as NumPy has them."""

_BF16: Final = "BF16"
# The field of InferTensorContents that belongs to a datatype, and the type of its elements.
_FIELDS: Final = {
    "BOOL": ("bool_contents", np.dtype(np.bool_)),
    **dict.fromkeys(("INT8", "INT16", "INT32"), ("int_contents", np.dtype(np.int32))),
    "INT64": ("int64_contents", np.dtype(np.int64)),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), ("uint_contents", np.dtype(np.uint32))),
    "UINT64": ("uint64_contents", np.dtype(np.uint64)),
    "FP32": ("fp32_contents", np.dtype(np.float32)),
    "FP64": ("fp64_contents", np.dtype(np.float64)),
    BYTES: ("bytes_contents", np.dtype(object)),
}
_LENGTH_BYTES: Final = 4


class _Sent(NamedTuple):
    """An input as it was sent: `raw` is None where its elements are in `tensor.contents`."""

    name: str
    tensor: ModelInferRequest.InferInputTensor
    raw: bytes | None


def read_inputs(request: ModelInferRequest, specs: tuple[Spec, ...]) -> tuple[Inputs, int]:
    """Return a request's inputs as arrays, and how many rows they have; see `model.inputs.read_inputs`.

    Raises:
        InvalidRequest: as there, and if contents do not fit their datatype or cannot be converted exactly.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs: expected one for"
            " each"
        )
    contents: list[bytes] | list[None] = list(raw) if raw else [None] * len(request.inputs)
    sent = [_Sent(each.name, each, content) for each, content in zip(request.inputs, contents, strict=True)]
    return read_each(sent, specs, _read)


def _read(sent: _Sent, spec: Spec) -> NDArray[Any]:
    tensor, raw = sent.tensor, sent.raw
    shape = read_shape(tensor.shape, spec)
    if tensor.datatype not in _FIELDS and tensor.datatype not in ("FP16", _BF16):
        raise InvalidRequest(
            f"input {spec.name!r} has datatype {tensor.datatype!r}, which the protocol does not have"
        )
    if (tensor.datatype == BYTES) != (spec.dtype is None):
        raise _unfit(spec, tensor.datatype)
    if raw is None:
        array = _typed(sent, shape)
    elif tensor.HasField("contents") and tensor.contents.ByteSize():  # some clients set an empty one
        raise InvalidRequest(
            f"input {spec.name!r} has contents beside raw_input_contents: expected one of the two"
        )
    elif tensor.datatype == BYTES:
        array = np.array(split(raw, math.prod(shape), spec.name), dtype=object).reshape(shape)
    else:
        array = _numbers(raw, shape, tensor.datatype, spec.name)
    if spec.dtype is None:
        return _decoded(array, spec.name)
    return array if array.dtype == spec.dtype else _converted(array, spec, spec.dtype, tensor.datatype)


def _numbers(raw: bytes, shape: tuple[int, ...], datatype: str, name: str) -> NDArray[Any]:
    dtype = np.dtype("<u2") if datatype == _BF16 else DTYPES[datatype]
    expected_bytes = math.prod(shape) * dtype.itemsize
    if len(raw) != expected_bytes:
        raise InvalidRequest(
            f"input {name!r} of shape {list(shape)} takes {expected_bytes} bytes of {datatype}, got"
            f" {len(raw)}"
        )
    array: NDArray[Any] = np.ndarray(shape, dtype, raw)  # a read-only view
    # A BF16 is the upper half of an FP32.
    return (array.astype("<u4") << 16).view("<f4") if datatype == _BF16 else array


def _typed(sent: _Sent, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the elements in the field of InferTensorContents that belongs to the datatype."""
    tensor = sent.tensor
    if tensor.datatype not in _FIELDS:
        raise InvalidRequest(f"input {sent.name!r} of {tensor.datatype} must come as raw_input_contents")
    field, dtype = _FIELDS[tensor.datatype]
    filled = [each.name for each, _ in tensor.contents.ListFields()]
    if filled != [field]:
        raise InvalidRequest(
            f"input {sent.name!r} of {tensor.datatype} is expected in {field} or raw_input_contents, got"
            f" {', '.join(filled) or 'neither'}"
        )
    values = getattr(tensor.contents, field)
    if len(values) != math.prod(shape):
        raise InvalidRequest(
            f"input {sent.name!r} of shape {list(shape)} takes {math.prod(shape)} elements, got {len(values)}"
        )
    array: NDArray[Any] = np.array(values, dtype=dtype).reshape(shape)
    declared = DTYPES.get(tensor.datatype, dtype)  # INT8 travels as int32
    return array if array.dtype == declared else _exact(array, declared, sent.name, tensor.datatype)


def split(raw: bytes, count: int, name: str) -> list[bytes]:
    """Return the elements of a raw BYTES tensor: each is preceded by its length, four bytes little-endian.

    Raises:
        InvalidRequest: if there are other than `count`, or too many; `name` says of which input.
    """
    if count > MOST_STRINGS:
        raise InvalidRequest(
            f"input {name!r} has {count} strings; at most {MOST_STRINGS} can be sent at once: send its rows"
            " in several requests"
        )
    elements: list[bytes] = []
    position = 0
    while position < len(raw) and len(elements) < count:
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(raw[position:start], "little")
        elements.append(raw[start:position])
    if position != len(raw) or len(elements) != count:
        raise InvalidRequest(
            f"input {name!r} takes {count} elements of BYTES, each preceded by its length in four bytes: the"
            f" {len(raw)} bytes sent are not that"
        )
    return elements


def _decoded(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return bytes as strings."""
    try:
        texts = [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"input {name!r} holds bytes that are not UTF-8: {error.object[:20]!r}"
        ) from error
    return np.array(texts, dtype=object).reshape(array.shape)


def _converted(array: NDArray[Any], spec: Spec, target: np.dtype[Any], datatype: str) -> NDArray[Any]:
    """Return an array in the model's type, if nothing is lost."""
    source = array.dtype
    if source.kind in "iu" and target.kind in "iuf":
        return _exact(array, target, spec.name, DATATYPES[spec.data_type])
    floats = source.kind == target.kind == "f"
    if floats and source.itemsize < target.itemsize:
        return array.astype(target)
    raise _unfit(spec, datatype, ": values could lose digits" if floats else "")


def _unfit(spec: Spec, datatype: str, why: str = "") -> InvalidRequest:
    wanted = DATATYPES[spec.data_type]
    return InvalidRequest(f"input {spec.name!r} has datatype {datatype}, expected {wanted}{why}")


def _exact(array: NDArray[Any], target: np.dtype[Any], name: str, wanted: str) -> NDArray[Any]:
    """Return integers in another type that can hold integers.

    Raises:
        InvalidRequest: naming the first that it cannot hold.
    """
    held = _held(array, target)
    if not held.all():
        position = np.unravel_index(int(held.argmin()), array.shape)
        raise InvalidRequest(
            f"input {name!r} holds {array[position]} in row {int(position[0])}, which {wanted} cannot hold"
            " exactly"
        )
    return array.astype(target)


def _held(array: NDArray[Any], target: np.dtype[Any]) -> NDArray[np.bool_]:
    """Return which integers a type holds exactly."""
    if target.kind in "iu":
        own, other = np.iinfo(array.dtype), np.iinfo(target)
        return (array >= max(own.min, other.min)) & (array <= min(own.max, other.max))
    # A float holds an integer if what is between its highest and its lowest bit fits into the significand.
    limits = np.finfo(target)
    unsigned = array.astype(np.uint64)  # negative numbers modulo 2⁶⁴
    magnitude = np.where(array < 0, np.negative(unsigned), unsigned)
    lowest_bit = magnitude & np.negative(magnitude)
    significand = magnitude // np.maximum(lowest_bit, 1)
    fits: NDArray[np.bool_] = (significand < 2 ** (limits.nmant + 1)) & (magnitude <= float(limits.max))
    return fits
