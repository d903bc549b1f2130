"""`tamiz.v1.PredictionService`: bytes in, bytes out, on top of what is served. It knows no transport."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

from tamiz.v1.prediction_pb2 import (
    BatchingSettings,
    Failure,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    ModelVersions,
    StreamPredictResponse,
)
from tamiz_server.errors import InvalidRequest, TamizError
from tamiz_server.protocols.v1.prediction import SERVICE_NAME, TYPED, TYPED_STREAM, on_stream
from tamiz_server.serving.dialect import parse, parse_or_say_why
from tamiz_server.serving.methods import Feed, Method, Stream
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Registry
from tamiz_server.serving.streams import Streams
from tamiz_server.telemetry.access_log import Metadata


class PredictionService:
    """`tamiz.v1.PredictionService`; see `Methods`."""

    name = SERVICE_NAME
    predicts = frozenset({"Predict"})

    def __init__(self, registry: Registry, requests: Requests, streams: Streams) -> None:
        """Answer with what a registry serves.

        Args:
            registry: the served versions.
            requests: answers requests for predictions.
            streams: answers them on streams.
        """
        self._registry = registry
        self._requests = requests
        self._streams = streams
        self.methods: dict[str, Method] = {
            "Predict": self.predict,
            "ListModels": self.list_models,
            "GetModel": self.get_model,
        }
        self.feeds: dict[str, Feed] = {}
        self.streams: dict[str, Stream] = {"StreamPredict": self.stream_predict}

    def predict(self, body: bytes, deadline_s: float, metadata: Metadata) -> Coroutine[Any, Any, bytes]:
        """Answer a PredictRequest with a PredictResponse; see `Method`."""
        return self._requests.answer(TYPED, body, deadline_s, metadata)

    def stream_predict(
        self, bodies: AsyncIterator[bytes], deadline_s: float, metadata: Metadata
    ) -> AsyncGenerator[bytes, None]:
        """Answer each PredictRequest with a StreamPredictResponse, in order; see `Stream`."""

        async def answer(body: bytes) -> bytes:
            return await self._answer_on_stream(body, deadline_s, metadata)

        return self._streams.answer(bodies, answer)

    async def list_models(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a ListModelsRequest with a ListModelsResponse; see `Method`."""
        parse(ListModelsRequest, body)
        self._registry.require_ready()
        models = [
            ModelVersions(name=name, versions=versions, labels=self._registry.labels(name))
            for name, versions in self._registry.models().items()
        ]
        return ListModelsResponse(models=models).SerializeToString()

    async def get_model(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a GetModelRequest with a GetModelResponse; see `Method`."""
        request = parse(GetModelRequest, body)
        served = self._registry.find(request.name, request.version, request.model_label)
        config = served.engine.config
        return GetModelResponse(
            name=served.name,
            version=served.version,
            manifest=served.engine.model.manifest,
            batching=BatchingSettings(
                max_batch_size=config.max_batch_size,
                max_queue_delay_us=config.max_queue_delay_us,
                max_queue_size=config.max_queue_size,
                max_concurrency=config.max_concurrency,
            ),
            looser_thresholds_allowed=config.allow_looser_thresholds,
            abstained_revealed=config.reveal_abstained,
            inputs_changed=served.inputs_changed,
            labels=self._registry.labels_of(served),
            shadow=self._registry.is_shadow(served),
        ).SerializeToString()

    async def _answer_on_stream(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:
        """Return a StreamPredictResponse, whatever becomes of the request."""
        request = parse_or_say_why(TYPED_STREAM.parse, body)
        id_ = "" if isinstance(request, InvalidRequest) else request.id
        try:
            answer = await self._requests.answer(TYPED_STREAM, body, deadline_s, metadata, request)
            return on_stream(id_, answer)
        except TamizError as error:
            failure = Failure(code=f"STATUS_CODE_{error.code}", message=str(error))
            return StreamPredictResponse(id=id_, failure=failure).SerializeToString()
