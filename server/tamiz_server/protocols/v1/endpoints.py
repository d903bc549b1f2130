"""The typed protocol over HTTP: predictions for rows in JSON, and what is served, on top of the service."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from tamiz.bundle_format import MAX_VERSION
from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
)
from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import ModelNotFound
from tamiz_server.protocols.v1.json_answer import reply
from tamiz_server.protocols.v1.json_request import JsonRequest, read_arrays, read_request
from tamiz_server.protocols.v1.prediction import SERVICE_NAME, Typed
from tamiz_server.protocols.v1.service import PredictionService
from tamiz_server.serving.endpoints import Asked, Endpoint, Reply, json_reply
from tamiz_server.serving.json_text import message_json
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Served

_ONE: Final = (
    "/v1/models/{name}",
    "/v1/models/{name}/versions/{version}",
    "/v1/models/{name}/labels/{label}",
)
_VERSION: Final = re.compile("[1-9][0-9]{0,18}")


class OverHttp:
    """The dialect of `POST /v1/models/NAME:predict`, for one request; see `Dialect`."""

    method = Typed.method
    held_back = False

    def __init__(self, named: Mapping[str, str]) -> None:
        """Take what the path names."""
        self._named = named

    def parse(self, body: bytes) -> JsonRequest:
        """Return the request."""
        return read_request(body)

    def model(self, message: JsonRequest) -> tuple[str, int, str]:  # noqa: ARG002  the path names it
        """Return name, version and label of the model."""
        return _model(self._named)

    def read(self, message: JsonRequest, served: Served, deadline_s: float, n_bytes: int) -> Request:
        """Return the request."""
        served.require_inputs(message.inputs_digest)
        inputs = read_arrays(message.rows, served.engine.model.manifest.inputs)
        if message.timeout_us:
            deadline_s = min(deadline_s, time.monotonic() + message.timeout_us * 1e-6)
        return Request(
            inputs,
            len(next(iter(inputs.values()))),
            wanted=message.threshold,
            deadline_s=deadline_s,
            wants_probabilities=message.return_probabilities,
            low_priority=message.low_priority,
            held_back=self.held_back,
            n_bytes=n_bytes,
        )

    def write(self, message: JsonRequest, served: Served, answer: Answer) -> Reply:
        """Return the answer."""
        return reply(message, served, answer)


def endpoints(service: PredictionService, requests: Requests) -> list[Endpoint]:
    """Return the paths of the protocol.

    Args:
        service: says what is served.
        requests: answers requests for predictions.
    """

    async def predict(asked: Asked) -> Reply:
        return await requests.answer(OverHttp(asked.named), asked.body, asked.deadline_s, asked.metadata)

    async def list_models(asked: Asked) -> Reply:
        body = ListModelsRequest().SerializeToString()
        answer = await service.list_models(body, asked.deadline_s, asked.metadata)
        return json_reply(message_json(ListModelsResponse.FromString(answer)))

    async def get_model(asked: Asked) -> Reply:
        name, version, label = _model(asked.named)
        body = GetModelRequest(name=name, version=version, model_label=label).SerializeToString()
        answer = await service.get_model(body, asked.deadline_s, asked.metadata)
        # KServe's clients look for `ready`.
        return json_reply({"ready": True} | message_json(GetModelResponse.FromString(answer)))

    return [
        *(
            Endpoint("POST", f"{path}:predict", f"/{Typed.method}", predict, counts_itself=True)
            for path in _ONE
        ),
        Endpoint("GET", "/v1/models", f"/{SERVICE_NAME}/ListModels", list_models),
        *(Endpoint("GET", path, f"/{SERVICE_NAME}/GetModel", get_model) for path in _ONE),
    ]


def _model(named: Mapping[str, str]) -> tuple[str, int, str]:
    """Return name, version (0 if there is none) and label."""
    version = named.get("version", "")
    if version and not (_VERSION.fullmatch(version) and int(version) <= MAX_VERSION):
        raise ModelNotFound(f"no version {version!r} of model {named['name']!r}: versions are numbers from 1")
    return named["name"], int(version or 0), named.get("label", "")
