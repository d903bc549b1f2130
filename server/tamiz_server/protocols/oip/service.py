"""`inference.GRPCInferenceService`: bytes in, bytes out, on top of what is served. It knows no transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, TypeVar

from google.protobuf.message import Message

from tamiz.oip.inference import (
    ModelConfigRequest,
    ModelConfigResponse,
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    ModelStatisticsResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from tamiz_server.errors import InvalidRequest, ModelNotFound, TamizError
from tamiz_server.protocols.oip.description import configuration, metadata, statistics
from tamiz_server.protocols.oip.inference import (
    SERVICE_NAME,
    Inference,
    StreamInference,
    failure_on_stream,
    version_or_label,
)
from tamiz_server.protocols.oip.repository import ModelControl, Repository
from tamiz_server.serving.dialect import parse, parse_or_say_why
from tamiz_server.serving.methods import Feed, Method, Stream
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Registry, Served
from tamiz_server.serving.streams import Streams
from tamiz_server.telemetry.access_log import Metadata

_EXTENSIONS: Final = ("model_configuration", "statistics")
_CONTROL_EXTENSIONS: Final = ("model_repository", "model_repository(unload_dependents)")

_Request = TypeVar("_Request", bound=Message)


class OipService:
    """`inference.GRPCInferenceService`; see `Methods`."""

    name = SERVICE_NAME
    predicts = frozenset({"ModelInfer"})

    def __init__(
        self,
        registry: Registry,
        readiness: Readiness,
        requests: Requests,
        streams: Streams,
        server_version: str,
        control: ModelControl | None = None,
    ) -> None:
        """Answer with what a registry serves.

        Args:
            registry: the served versions.
            readiness: what ServerReady and ModelReady say.
            requests: answers requests for predictions.
            streams: answers them on streams.
            server_version: what ServerMetadata says.
            control: loads and unloads models on request; None if that is not offered.
        """
        self._registry = registry
        self._readiness = readiness
        self._requests = requests
        self._streams = streams
        self._server_version = server_version
        self._explicit = control is not None
        repository = Repository(registry, readiness, control)
        self._inference = Inference()
        self._stream_inference = StreamInference()
        self.feeds: dict[str, Feed] = {}
        self.streams: dict[str, Stream] = {"ModelStreamInfer": self.model_stream_infer}
        self.methods: dict[str, Method] = {
            "ServerLive": _method(ServerLiveRequest, lambda _: ServerLiveResponse(live=True)),
            "ServerReady": _method(ServerReadyRequest, lambda _: ServerReadyResponse(ready=self._is_ready())),
            "ModelReady": _method(ModelReadyRequest, self._model_ready),
            "ServerMetadata": _method(ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": _method(ModelMetadataRequest, self._model_metadata),
            "ModelInfer": self.model_infer,
            "ModelConfig": _method(ModelConfigRequest, self._model_config),
            "ModelStatistics": _method(ModelStatisticsRequest, self._model_statistics),
            "RepositoryIndex": repository.index,
            "RepositoryModelLoad": repository.load,
            "RepositoryModelUnload": repository.unload,
        }

    async def model_infer(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:
        """Answer a ModelInferRequest with a ModelInferResponse; see `Method`."""
        return await self._requests.answer(self._inference, body, deadline_s, metadata)

    def model_stream_infer(
        self, bodies: AsyncIterator[bytes], deadline_s: float, metadata: Metadata
    ) -> AsyncGenerator[bytes, None]:
        """Answer each ModelInferRequest with a ModelStreamInferResponse, in order; see `Stream`."""

        async def answer(body: bytes) -> bytes:
            request = parse_or_say_why(self._stream_inference.parse, body)
            try:
                return await self._requests.answer(
                    self._stream_inference, body, deadline_s, metadata, request
                )
            except TamizError as error:
                return failure_on_stream(None if isinstance(request, InvalidRequest) else request, error)

        return self._streams.answer(bodies, answer)

    def _is_ready(self) -> bool:
        return self._readiness.ready and not self._readiness.stopping

    def _model_ready(self, request: ModelReadyRequest) -> ModelReadyResponse:
        if not self._is_ready():
            return ModelReadyResponse(ready=False)
        try:
            served = self._find(request.name, request.version)
        except ModelNotFound:
            if not self._explicit and not self._failed(request.name, request.version):
                # Not in the registry's words: it names what is served, and this method needs no token.
                raise ModelNotFound(f"no model {request.name!r} here, or no such version of it") from None
            return ModelReadyResponse(ready=False)
        return ModelReadyResponse(ready=not served.engine.rests)

    def _server_metadata(self, request: ServerMetadataRequest) -> ServerMetadataResponse:  # noqa: ARG002  it is empty
        extensions = _EXTENSIONS + _CONTROL_EXTENSIONS if self._explicit else _EXTENSIONS
        return ServerMetadataResponse(name="tamiz", version=self._server_version, extensions=extensions)

    def _model_metadata(self, request: ModelMetadataRequest) -> Message:
        served = self._find(request.name, request.version)
        versions = [each for each in self._registry.versions() if each.name == served.name]
        return metadata(served, versions, self._inference.labels(served))

    def _model_config(self, request: ModelConfigRequest) -> ModelConfigResponse:
        served = self._find(request.name, request.version)
        return ModelConfigResponse(config=configuration(served, self._inference.labels(served)))

    def _model_statistics(self, request: ModelStatisticsRequest) -> ModelStatisticsResponse:
        self._registry.require_ready()
        if request.name:
            found = self._find(request.name, request.version)
            chosen = [
                each
                for each in self._registry.versions()
                if each is found or (each.name == found.name and not request.version)
            ]
        else:
            chosen = self._registry.versions()
        return ModelStatisticsResponse(model_stats=map(statistics, chosen))

    def _find(self, name: str, version: str) -> Served:
        return self._registry.find(name, *version_or_label(version))

    def _failed(self, name: str, version: str) -> bool:
        """Return whether a version is there and could not be loaded; with no version, whether any is."""
        return any(name == each and version in ("", str(number)) for each, number in self._readiness.failed)


def _method(type_: type[_Request], answer: Callable[[_Request], Message]) -> Method:
    """Return a method that needs no waiting."""

    async def method(body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG001  a Method
        return answer(parse(type_, body)).SerializeToString()

    return method
