"""A request in the protocol's JSON, with binary tensors behind it if it has any, becomes its message.

    {"inputs": [{"name": …, "shape": …, "datatype": …, "data": [[0.5, 1.5]]}, …]} tensor tensor …
    └───────────── as many bytes as Inference-Header-Content-Length says ───────┘

The form is that of the Open Inference Protocol over HTTP, with Triton's extensions for binary tensors and for
parameters.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from tamiz.oip.inference import InferParameter, ModelInferRequest
from tamiz.rows import RowsError, column_of
from tamiz.rows.cast import cast
from tamiz.v1.manifest_pb2 import DataType
from tamiz_server.errors import InvalidRequest
from tamiz_server.protocols.oip.tensors import DATATYPES
from tamiz_server.serving.json_text import member, members, read_json, shown
from tamiz_server.serving.json_values import as_array

_REQUEST: Final = ("id", "parameters", "inputs", "outputs", "model_name", "model_version")
_INPUT: Final = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT: Final = ("name", "parameters")
_BINARY_SIZE: Final = "binary_data_size"
_BINARY: Final = "binary_data"
_ALL_BINARY: Final = "binary_data_output"
_LARGEST_INT64: Final = 2**63 - 1
_LARGEST_UINT64: Final = 2**64 - 1
_MOST_DIMENSIONS: Final = 16
_MOST_LISTED: Final = 2**14
"""How many inputs or outputs a request may have: each takes some 70 µs to read."""

_MOST_PARAMETERS: Final = 1_000
_TYPES: Final = {datatype: data_type for data_type, datatype in DATATYPES.items()}


class JsonRequest(NamedTuple):
    """A request.

    Attributes:
        message: the request as a message; all of its tensors are raw.
        binary: of the outputs of which the caller says so, by name: whether it wants a binary tensor.
        all_binary: the same for all others.
    """

    message: ModelInferRequest
    binary: Mapping[str, bool]
    all_binary: bool


def read_request(body: bytes, json_bytes: int | None, name: str, version: str) -> JsonRequest:
    """Return a request.

    Args:
        body: JSON, and behind it the binary tensors, in the order of the inputs that have them.
        json_bytes: how many bytes of it are JSON; None for all.
        name: of the model.
        version: of the model; it may be a label, and empty.

    Raises:
        InvalidRequest: if something is not as the protocol says, naming what.
    """
    if json_bytes is not None and json_bytes > len(body):
        raise InvalidRequest(
            f"the header Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes"
        )
    asked = members(read_json(body[:json_bytes]), "the request", _REQUEST)
    _require_same(asked, "model_name", name)  # KServe's client writes it once more
    _require_same(asked, "model_version", version)
    message = ModelInferRequest(model_name=name, model_version=version)
    message.id = member(asked, "id", str, "a text") or ""
    parameters = _parameters(asked)
    all_binary = _flag(parameters, _ALL_BINARY) or False
    _put(parameters, message.parameters)
    tensors = _Tensors(b"" if json_bytes is None else body[json_bytes:])
    for each in _listed(asked, "inputs"):
        _add_input(message, members(each, "an entry of inputs", _INPUT), tensors)
    tensors.require_end()
    binary = {}
    for each in _listed(asked, "outputs"):
        output = members(each, "an entry of outputs", _OUTPUT)
        parameters = _parameters(output)
        wish = _flag(parameters, _BINARY)
        added = message.outputs.add(name=_name(output, "outputs"))
        _put(parameters, added.parameters)
        if wish is not None:
            binary[added.name] = wish
    return JsonRequest(message, binary, all_binary)


class _Tensors:
    """The binary tensors behind the JSON."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def take(self, size: int, name: str) -> bytes:
        """Return the next one."""
        tensor = self._body[self._position : self._position + size]
        if len(tensor) < size:
            raise InvalidRequest(
                f"input {name!r} has {_BINARY_SIZE} {size}, and {len(tensor)} bytes are left behind the JSON;"
                " the header Inference-Header-Content-Length says where they begin"
            )
        self._position += size
        return tensor

    def require_end(self) -> None:
        """Refuse bytes that belong to no tensor."""
        if left := len(self._body) - self._position:
            raise InvalidRequest(f"{left} bytes behind the JSON belong to no input: expected {_BINARY_SIZE}")


def _add_input(message: ModelInferRequest, given: Mapping[str, Any], tensors: _Tensors) -> None:
    name = _name(given, "inputs")
    datatype = member(given, "datatype", str, "a text such as FP32") or ""
    shape = _shape(given, name)
    parameters = _parameters(given)
    size = parameters.pop(_BINARY_SIZE, None)
    if size is not None and not _is_whole(size, _LARGEST_INT64):
        raise InvalidRequest(f"{_BINARY_SIZE} of input {name!r} is {shown(size)}: expected a number of bytes")
    if (size is None) == (given.get("data") is None):
        raise InvalidRequest(f"input {name!r} must have either data or the parameter {_BINARY_SIZE}")
    tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
    _put(parameters, tensor.parameters)
    raw = tensors.take(size, name) if size is not None else _raw(given["data"], shape, datatype, name)
    message.raw_input_contents.append(raw)


def _require_same(asked: Mapping[str, Any], what: str, in_path: str) -> None:
    in_body = member(asked, what, str, "a text")
    if in_body and in_body != in_path:
        raise InvalidRequest(f"{what} is {in_body!r}, and {in_path!r} in the path: expected the same")


def _raw(data: Any, shape: list[int], datatype: str, name: str) -> bytes:
    """Return a tensor's elements as bytes: listed one after the other, or in lists as its shape says."""
    if datatype not in _TYPES:
        raise InvalidRequest(
            f"input {name!r} has datatype {datatype!r}: in JSON expected one of {', '.join(_TYPES)}"
        )
    array = as_array(data, f"data of input {name!r}")
    if array.size != math.prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise InvalidRequest(
            f"input {name!r} of shape {shape} takes {math.prod(shape)} elements, flat or in lists of that"
            f" shape; data has the shape {list(array.shape)}"
        )
    if not array.size:
        raise InvalidRequest(f"input {name!r} of shape {shape} has no elements: expected at least one")
    try:
        values = cast(column_of(array.reshape(shape)), _TYPES[datatype], f"input {name!r}")
    except RowsError as error:
        raise InvalidRequest(str(error)) from error
    if _TYPES[datatype] != DataType.DATA_TYPE_STRING:
        return values.tobytes()
    return b"".join(struct.pack("<I", len(text)) + text for text in (each.encode() for each in values.flat))


def _shape(given: Mapping[str, Any], name: str) -> list[int]:
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(_is_whole(size, _LARGEST_INT64) for size in shape):
        got = shape[:_MOST_DIMENSIONS] if isinstance(shape, list) else shown(shape)
        raise InvalidRequest(
            f"shape of input {name!r} is {got}: expected a list of whole numbers, rows first, such as [2, 30]"
        )
    if len(shape) > _MOST_DIMENSIONS:
        raise InvalidRequest(
            f"shape of input {name!r} has {len(shape)} dimensions: expected at most {_MOST_DIMENSIONS}"
        )
    return shape


def _name(given: Mapping[str, Any], where: str) -> str:
    name = member(given, "name", str, "a text")
    if not name:
        raise InvalidRequest(f"an entry of {where} has no name")
    return str(name)


def _listed(asked: Mapping[str, Any], name: str) -> Iterable[Any]:
    found = member(asked, name, list, "a list of objects") or ()
    if len(found) > _MOST_LISTED:
        raise InvalidRequest(f"{name} has {len(found)} entries: expected at most {_MOST_LISTED}")
    return found


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    found = member(given, "parameters", dict, "an object") or {}
    if len(found) > _MOST_PARAMETERS:
        raise InvalidRequest(f"there are {len(found)} parameters: expected at most {_MOST_PARAMETERS}")
    return dict(found)


def _flag(parameters: dict[str, Any], name: str) -> bool | None:
    """Take a parameter that is about the form of the answer, and not about the request."""
    value = parameters.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name} is {shown(value)}: expected true or false")
    return value


def _put(parameters: Mapping[str, Any], into: Any) -> None:
    """Put parameters into a map of a message."""
    for name, value in parameters.items():
        into[name].CopyFrom(_parameter(name, value))


def _parameter(name: str, value: Any) -> InferParameter:
    match value:
        case bool():
            return InferParameter(bool_param=value)
        case int() if -_LARGEST_INT64 - 1 <= value <= _LARGEST_INT64:
            return InferParameter(int64_param=value)
        case int() if 0 < value <= _LARGEST_UINT64:
            return InferParameter(uint64_param=value)
        case float():
            return InferParameter(double_param=value)
        case str():
            return InferParameter(string_param=value)
    raise InvalidRequest(f"parameter {name} is {shown(value)}: expected a number, a text, true or false")


def _is_whole(value: Any, largest: int) -> bool:
    return type(value) is int and 0 <= value <= largest
