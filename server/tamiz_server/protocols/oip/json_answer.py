"""An answer as the protocol has it over HTTP: JSON, and behind it the tensors that are wanted binary."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from tamiz.oip.inference import InferParameter, ModelInferResponse
from tamiz_server.protocols.oip.json_request import JsonRequest
from tamiz_server.protocols.oip.tensors import BYTES, DTYPES, split
from tamiz_server.serving.endpoints import BINARY, Reply
from tamiz_server.serving.json_text import finite, write_json

JSON_LENGTH: Final = "inference-header-content-length"
"""The header that says how many bytes of the body are JSON, if tensors follow."""


def reply(asked: JsonRequest, response: ModelInferResponse) -> Reply:
    """Return an answer. What JSON does not have, such as the NaN of an abstained row, is null in it."""
    outputs: list[dict[str, Any]] = []
    tensors: list[bytes] = []
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        about: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if asked.binary.get(output.name, asked.all_binary):
            about["parameters"] = {"binary_data_size": len(raw)}
            tensors.append(raw)
        else:
            about["data"] = _elements(output, raw)
        outputs.append(about)
    answer: dict[str, Any] = {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "parameters": {name: _plain(response.parameters[name]) for name in sorted(response.parameters)},
        "outputs": outputs,
    }
    if response.id:
        answer["id"] = response.id
    head = write_json(answer)
    if not tensors:
        return Reply(head)
    return Reply(b"".join((head, *tensors)), content_type=BINARY, headers=((JSON_LENGTH, str(len(head))),))


def _elements(output: ModelInferResponse.InferOutputTensor, raw: bytes) -> list[Any]:
    """Return the elements of a tensor, one after the other."""
    if output.datatype == BYTES:
        return [element.decode() for element in split(raw, math.prod(output.shape), output.name)]
    dtype = DTYPES[output.datatype]
    elements: list[Any] = np.frombuffer(raw, dtype).tolist()
    return [*map(finite, elements)] if dtype.kind == "f" else elements


def _plain(parameter: InferParameter) -> Any:
    kind = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, kind) if kind else None
    return finite(value) if isinstance(value, float) else value
