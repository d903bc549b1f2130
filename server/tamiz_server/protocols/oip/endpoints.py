"""The Open Inference Protocol over HTTP: the paths of the protocol and of Triton, on top of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from google.protobuf.message import Message

from tamiz.oip.inference import (
    ModelConfigRequest,
    ModelConfigResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelRepositoryParameter,
    ModelStatisticsRequest,
    ModelStatisticsResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import InvalidRequest
from tamiz_server.protocols.oip.inference import SERVICE_NAME, Inference
from tamiz_server.protocols.oip.json_answer import JSON_LENGTH, reply
from tamiz_server.protocols.oip.json_request import JsonRequest, read_request
from tamiz_server.protocols.oip.service import OipService
from tamiz_server.serving.endpoints import Asked, Endpoint, Reply, json_reply
from tamiz_server.serving.json_text import member, members, message_json, read_json, shown
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Served

_ONE: Final = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
_LOAD: Final = {"load": "RepositoryModelLoad", "unload": "RepositoryModelUnload"}

_Answer = Callable[[Asked], Awaitable[Reply]]


class OverHttp:
    """The dialect of `POST /v2/models/NAME/infer`, for one request; see `Dialect`."""

    method = Inference.method
    held_back = False

    def __init__(self, inference: Inference, asked: Asked) -> None:
        """Take what all requests share, and what path and headers say."""
        self._inference = inference
        self._asked = asked

    def parse(self, body: bytes) -> JsonRequest:
        """Return the request."""
        named = self._asked.named
        json_bytes = _json_bytes(self._asked.headers)
        return read_request(body, json_bytes, named["name"], named.get("version", ""))

    def model(self, message: JsonRequest) -> tuple[str, int, str]:
        """Return name, version and label of the model."""
        return self._inference.model(message.message)

    def read(self, message: JsonRequest, served: Served, deadline_s: float, n_bytes: int) -> Request:
        """Return the request."""
        return self._inference.read(message.message, served, deadline_s, n_bytes)

    def write(self, message: JsonRequest, served: Served, answer: Answer) -> Reply:
        """Return the answer."""
        return reply(message, self._inference.respond(message.message, served, answer))


def endpoints(service: OipService, requests: Requests) -> list[Endpoint]:
    """Return the paths of the protocol.

    Args:
        service: answers everything but requests for predictions.
        requests: answers these.
    """
    inference = Inference()

    async def infer(asked: Asked) -> Reply:
        return await requests.answer(OverHttp(inference, asked), asked.body, asked.deadline_s, asked.metadata)

    def get(path: str, method: str, answer: _Answer) -> Endpoint:
        return Endpoint("GET", path, f"/{SERVICE_NAME}/{method}", answer)

    def of_one(suffix: str, method: str, answer: _Answer) -> list[Endpoint]:
        return [get(path + suffix, method, answer) for path in _ONE]

    ask = _Asker(service)
    return [
        get("/v2/health/live", "ServerLive", ask.live),
        get("/v2/health/ready", "ServerReady", ask.ready),
        get("/v2", "ServerMetadata", ask.server),
        get("/v2/models/stats", "ModelStatistics", ask.statistics),
        *of_one("/ready", "ModelReady", ask.model_ready),
        *of_one("", "ModelMetadata", ask.model),
        *of_one("/config", "ModelConfig", ask.configuration),
        *of_one("/stats", "ModelStatistics", ask.statistics),
        *(
            Endpoint("POST", f"{path}/infer", f"/{Inference.method}", infer, counts_itself=True)
            for path in _ONE
        ),
        Endpoint("POST", "/v2/repository/index", f"/{SERVICE_NAME}/RepositoryIndex", ask.index),
        *(
            Endpoint(
                "POST",
                f"/v2/repository/models/{{name}}/{verb}",
                f"/{SERVICE_NAME}/{method}",
                ask.changing(verb),
            )
            for verb, method in _LOAD.items()
        ),
    ]


class _Asker:
    """Puts requests without tensors to the service, as messages."""

    def __init__(self, service: OipService) -> None:
        self._methods = service.methods

    async def live(self, asked: Asked) -> Reply:
        answer = await self._ask("ServerLive", ServerLiveRequest(), ServerLiveResponse, asked)
        return json_reply({"live": answer.live})

    async def ready(self, asked: Asked) -> Reply:
        answer = await self._ask("ServerReady", ServerReadyRequest(), ServerReadyResponse, asked)
        return _whether_ready({}, is_ready=answer.ready)

    async def server(self, asked: Asked) -> Reply:
        answer = await self._ask("ServerMetadata", ServerMetadataRequest(), ServerMetadataResponse, asked)
        found = message_json(answer)
        return json_reply(found | {"extensions": [*found["extensions"], "binary_tensor_data", "parameters"]})

    async def model_ready(self, asked: Asked) -> Reply:
        answer = await self._ask("ModelReady", ModelReadyRequest(**asked.named), ModelReadyResponse, asked)
        return _whether_ready({"name": asked.named["name"]}, is_ready=answer.ready)

    async def model(self, asked: Asked) -> Reply:
        request = ModelMetadataRequest(**asked.named)
        return json_reply(
            message_json(await self._ask("ModelMetadata", request, ModelMetadataResponse, asked))
        )

    async def configuration(self, asked: Asked) -> Reply:
        answer = await self._ask("ModelConfig", ModelConfigRequest(**asked.named), ModelConfigResponse, asked)
        return json_reply(message_json(answer.config))

    async def statistics(self, asked: Asked) -> Reply:
        request = ModelStatisticsRequest(**asked.named)
        answer = await self._ask("ModelStatistics", request, ModelStatisticsResponse, asked)
        return json_reply(message_json(answer))

    async def index(self, asked: Asked) -> Reply:
        given = _given(asked.body, ("ready",))
        ready = member(given, "ready", bool, "true or false") or False
        request = RepositoryIndexRequest(ready=ready)
        answer = await self._ask("RepositoryIndex", request, RepositoryIndexResponse, asked)
        return json_reply([message_json(each) for each in answer.models])

    def changing(self, verb: str) -> _Answer:
        """Return what answers a request to load or unload a model."""
        request_type = RepositoryModelLoadRequest if verb == "load" else RepositoryModelUnloadRequest

        async def change(asked: Asked) -> Reply:
            given = _given(asked.body, ("parameters",))
            parameters = member(given, "parameters", dict, "an object") or {}
            request = request_type(
                model_name=asked.named["name"],
                parameters={name: _parameter(name, value) for name, value in parameters.items()},
            )
            await self._methods[_LOAD[verb]](request.SerializeToString(), asked.deadline_s, asked.metadata)
            return json_reply({})

        return change

    async def _ask(self, method: str, request: Message, type_: Any, asked: Asked) -> Any:
        body = request.SerializeToString()
        return type_.FromString(await self._methods[method](body, asked.deadline_s, asked.metadata))


def _json_bytes(headers: Mapping[str, str]) -> int | None:
    """Return how many bytes of a body are JSON; None if no header says so: all."""
    length = headers.get(JSON_LENGTH)
    if length is None:
        return None
    if not (length.isascii() and length.isdecimal() and len(length) < len(str(2**63))):
        raise InvalidRequest(f"the header Inference-Header-Content-Length is {length!r}: expected a number")
    return int(length)


def _whether_ready(about: dict[str, object], *, is_ready: bool) -> Reply:
    """Return the answer to a probe, which looks at the status."""
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return json_reply(about | {"ready": is_ready}, status)


def _given(body: bytes, known: Iterable[str]) -> Mapping[str, Any]:
    """Return what the body of a request says, which may be empty."""
    return members(read_json(body), "the request", known) if body else {}


def _parameter(name: str, value: Any) -> ModelRepositoryParameter:
    match value:
        case bool():
            return ModelRepositoryParameter(bool_param=value)
        case str():
            return ModelRepositoryParameter(string_param=value)
    raise InvalidRequest(f"parameter {name} is {shown(value)}: expected a text, true or false")
