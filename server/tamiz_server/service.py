"""The typed service on top of the engines: bytes in, bytes out. It knows no transport."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from tamiz.thresholds import Thresholds
from tamiz.v1.prediction_pb2 import (
    BatchingSettings,
    Failure,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    ModelVersions,
    PredictRequest,
    PredictResponse,
    Priority,
    StreamPredictResponse,
)
from tamiz_server.config import Config
from tamiz_server.engine import Answer, Engine, Work
from tamiz_server.errors import InvalidRequest, ModelFailed, ModelNotFound, TamizError, Unavailable
from tamiz_server.metrics import Metrics
from tamiz_server.streams import OrderedStream
from tamiz_server.tensors import read_inputs

_log = logging.getLogger(__name__)

SERVICE_NAME: Final = "tamiz.v1.PredictionService"

_LINGER_S: Final = 0.3
_RESPONSE_TAG: Final = bytes([StreamPredictResponse.RESPONSE_FIELD_NUMBER << 3 | 2])
"""Field `response` of StreamPredictResponse, of protobuf's wire type 2: a length and as many bytes."""

_Message = TypeVar("_Message", PredictRequest, ListModelsRequest, GetModelRequest)

Metadata = Callable[[], Iterable[tuple[str, str | bytes]] | None]
"""Gives a call's metadata; a function, because reading them costs and most calls need none."""

Method = Callable[[bytes, float, Metadata], Awaitable[bytes]]
"""Message bytes, deadline in seconds on time.monotonic's clock (infinite: none) and metadata → answer bytes, or TamizError."""

Stream = Callable[[AsyncIterator[bytes], float, Metadata], AsyncGenerator[bytes, None]]
"""As `Method`, for many messages: the answers end as the messages do, or with a TamizError. To be closed when left early."""


class Served:
    """One served version: its engine, and the part of every answer that never changes.

    Attributes:
        engine: answers its requests.
        threshold: what every row has to reach at least: the bundle's, or 0 where its thresholds differ by class or slice.
        differ: whether they do; then the engine knows each row's own.
        prefix: `model_name`, `model_version` and `classes` of a PredictResponse, serialized. Protobuf messages are
            merged by putting their bytes one after the other.
    """

    def __init__(self, name: str, version: int, engine: Engine) -> None:
        self.engine = engine
        manifest = engine.model.manifest
        thresholds = Thresholds(manifest.threshold)
        self.differ = thresholds.differ
        self.threshold = 0.0 if thresholds.differ else thresholds.strictest
        self.prefix = PredictResponse(
            model_name=name, model_version=version, classes=manifest.classes
        ).SerializeToString()


class Service:
    """`tamiz.v1.PredictionService`.

    Attributes:
        methods: method name, as in the contract → its implementation.
        streams: the same for methods that take and give a stream of messages.
        ready: whether requests are answered; until it is set they get Unavailable.
    """

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self.ready = False
        self.methods: dict[str, Method] = {
            "Predict": self.predict,
            "ListModels": self.list_models,
            "GetModel": self.get_model,
        }
        self.streams: dict[str, Stream] = {"StreamPredict": self.stream_predict}
        self._config = config
        self._metrics = metrics
        self._served: dict[str, dict[int, Served]] = {}
        self._highest: dict[str, int] = {}
        self._open: set[OrderedStream] = set()
        self._ending = False
        self._labels: dict[str, Mapping[str, int]] = {}

    def add(self, name: str, version: int, engine: Engine) -> None:
        """Serve a version, from the next request on; in place of the one that has been served under its number."""
        self._served.setdefault(name, {})[version] = Served(name, version, engine)
        self._highest[name] = max(self._served[name])

    def remove(self, name: str, version: int) -> None:
        """Serve a version no more, from the next request on; what its engine has accepted is answered."""
        versions = self._served[name]
        del versions[version]
        if versions:
            self._highest[name] = max(versions)
        else:
            for each in (self._served, self._highest, self._labels):
                each.pop(name, None)

    def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Let requests name versions of a model by these labels, and no others; each version is served."""
        self._labels[name] = labels

    async def predict(
        self, body: bytes, deadline_s: float, metadata: Metadata, parsed: PredictRequest | None = None
    ) -> bytes:
        """Answer a PredictRequest with a PredictResponse; see `Method`. `parsed`: the message, where it is known already."""
        started_s = time.monotonic()
        self._metrics.received += 1
        served: Served | None = None
        code = "OK"
        try:
            request = _parse(PredictRequest, body) if parsed is None else parsed
            _, served = self._find(request.model_name, request.model_version, request.model_label)
            threshold = self._threshold(request, served)
            inputs, n_rows = read_inputs(request.inputs, served.engine.model.specs)
            if request.timeout_us:
                deadline_s = min(deadline_s, started_s + request.timeout_us * 1e-6)
            work = Work(inputs, n_rows, threshold, deadline_s, request.return_probabilities)
            if request.priority == Priority.PRIORITY_LOW:
                work = work._replace(gives_way=True)
            if served.differ and self._config.allow_looser_thresholds and request.HasField("threshold"):
                work = work._replace(overrides=True)
            return _serialize(served, await served.engine.predict(work), threshold)
        except TamizError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED" if time.monotonic() < deadline_s else "DEADLINE_EXCEEDED"
            raise
        except Exception as error:
            code = ModelFailed.code
            _log.exception("request %s failed: this is a bug", _request_id(metadata))
            raise ModelFailed("the server failed on this request; its log says how") from error
        finally:
            if served is None:
                self._metrics.unattributed[code] += 1
            else:
                served.engine.metrics.requests[code] += 1
                served.engine.metrics.request_duration.observe(time.monotonic() - started_s)

    async def stream_predict(
        self, bodies: AsyncIterator[bytes], deadline_s: float, metadata: Metadata
    ) -> AsyncGenerator[bytes, None]:
        """Answer each PredictRequest with a StreamPredictResponse, in order; see `Stream`."""

        async def answer(body: bytes) -> bytes:
            return await self._answer_on_stream(body, deadline_s, metadata)

        stream = OrderedStream(
            bodies,
            answer,
            max_requests=self._config.max_stream_requests,
            max_bytes=self._config.max_message_bytes,
        )
        self._open.add(stream)
        self._metrics.open_streams = len(self._open)
        if self._ending:
            stream.end()
        try:
            async with aclosing(stream.answers()) as answers:
                async for each in answers:
                    yield each
        finally:
            self._open.remove(stream)
            self._metrics.open_streams = len(self._open)
        if stream.was_ended:
            raise Unavailable("the server is stopping; send what has no answer yet to another replica")

    async def end_streams(self) -> None:
        """Have every stream answer what it has read, and end: those that are open, and those to come.

        Returns when those that were open have ended, and their callers had a moment to learn it: a connection that is
        closed while the caller still sends is torn down, and the last answers with it.
        """
        self._ending = True
        streams = list(self._open)
        for stream in streams:
            stream.end()
        await asyncio.gather(*(stream.ended.wait() for stream in streams))
        if streams:
            await asyncio.sleep(_LINGER_S)

    async def _answer_on_stream(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:
        """Return a StreamPredictResponse, whatever becomes of the request."""
        id_ = ""
        try:
            request = _parse_if_whole(body)
            id_ = request.id if request else ""
            return _on_stream(id_, await self.predict(body, deadline_s, metadata, request))
        except TamizError as error:
            failure = Failure(code=f"STATUS_CODE_{error.code}", message=str(error))
            return StreamPredictResponse(id=id_, failure=failure).SerializeToString()

    async def list_models(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a ListModelsRequest with a ListModelsResponse; see `Method`."""
        _parse(ListModelsRequest, body)
        self._require_ready()
        models = [
            ModelVersions(name=name, versions=sorted(self._served[name]), labels=self._labels.get(name))
            for name in sorted(self._served)
        ]
        return ListModelsResponse(models=models).SerializeToString()

    async def get_model(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a GetModelRequest with a GetModelResponse; see `Method`."""
        request = _parse(GetModelRequest, body)
        version, served = self._find(request.name, request.version, request.model_label)
        config = served.engine.config
        return GetModelResponse(
            name=request.name,
            version=version,
            manifest=served.engine.model.manifest,
            batching=BatchingSettings(
                max_batch_size=config.max_batch_size,
                max_queue_delay_us=config.max_queue_delay_us,
                max_queue_size=config.max_queue_size,
                max_concurrency=config.max_concurrency,
            ),
            looser_thresholds_allowed=config.allow_looser_thresholds,
            abstained_revealed=config.reveal_abstained,
        ).SerializeToString()

    def _require_ready(self) -> None:
        if not self.ready:
            raise Unavailable("the server is loading its models, or stopping; try again, or another replica")

    def _find(self, name: str, version: int, label: str = "") -> tuple[int, Served]:
        """Return the version that a request names, by number, by label, or not at all: then the highest."""
        self._require_ready()
        versions = self._served.get(name)
        if versions is None:
            known = ", ".join(sorted(self._served)) or "none"
            raise ModelNotFound(f"no model {name!r} here; served are: {known}")
        if label:
            version = self._labelled(name, version, label)
        version = version or self._highest[name]
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise ModelNotFound(f"no version {version} of model {name!r} here; served are: {known}")
        return version, versions[version]

    def _labelled(self, name: str, version: int, label: str) -> int:
        if version:
            raise InvalidRequest(
                f"the request names version {version} and label {label!r}: expected one of them"
            )
        labels = self._labels.get(name, {})
        if label not in labels:
            known = ", ".join(sorted(labels)) or "none"
            raise ModelNotFound(f"no label {label!r} of model {name!r} here; its labels are: {known}")
        return labels[label]

    def _threshold(self, request: PredictRequest, served: Served) -> float:
        """Return the threshold to apply: a request may be stricter than the bundle, looser only by permission.

        Where the bundle's thresholds differ, the engine compares this with each row's own.
        """
        if not request.HasField("threshold"):
            return served.threshold
        wanted = request.threshold
        if not 0.0 <= wanted <= 1.0:  # false for NaN
            raise InvalidRequest(f"threshold is {wanted}: expected a confidence from 0 to 1")
        return wanted if self._config.allow_looser_thresholds else max(wanted, served.threshold)


def _parse_if_whole(body: bytes) -> PredictRequest | None:
    try:
        return PredictRequest.FromString(body)
    except DecodeError:
        return None  # `predict` says and counts what is wrong


def _parse(type_: type[_Message], body: bytes) -> _Message:
    try:
        return type_.FromString(body)
    except DecodeError as error:
        raise InvalidRequest(f"the message is no {type_.DESCRIPTOR.full_name}: {error}") from error


def _serialize(served: Served, answer: Answer, threshold: float) -> bytes:
    probabilities = np.concatenate(answer.probabilities).tobytes() if answer.probabilities else b""
    columns = PredictResponse(
        accepted=answer.accepted,
        reasons=answer.reasons,
        class_index=answer.class_index,
        confidence=answer.confidence,
        threshold=threshold,
        probabilities=probabilities,
        queue_duration_us=math.ceil(answer.queue_s * 1e6),
        compute_duration_us=math.ceil(answer.compute_s * 1e6),
    )
    if answer.thresholds:
        columns.thresholds.extend(answer.thresholds)
        columns.threshold = max(answer.thresholds)
    return served.prefix + columns.SerializeToString()


def _on_stream(id_: str, response: bytes) -> bytes:
    """Return a StreamPredictResponse around a serialized PredictResponse, which is not built and parsed again for it."""
    head = StreamPredictResponse(id=id_).SerializeToString()
    return b"".join((head, _RESPONSE_TAG, _varint(len(response)), response))


def _varint(number: int) -> bytes:
    """Return a length as protobuf writes it: seven bits per byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004  seven bits
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _request_id(metadata: Metadata) -> str:
    """Return the caller's `x-request-id`, to find its call in the log."""
    return next(
        (str(value) for key, value in metadata() or () if key == "x-request-id"), "without x-request-id"
    )
