"""The typed service on top of the engines: bytes in, bytes out. It knows no transport."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

from tamiz.v1.prediction_pb2 import (
    BatchingSettings,
    Failure,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    ModelVersions,
    PredictRequest,
    StreamPredictResponse,
)
from tamiz_server.access.access import charge_request, charge_rows
from tamiz_server.config.config import Config
from tamiz_server.engine.engine import Engine
from tamiz_server.engine.work import Answer, Work
from tamiz_server.errors import InvalidRequest, ModelFailed, ModelNotFound, TamizError, Unavailable
from tamiz_server.model.inputs import Inputs
from tamiz_server.protocols.v1 import SERVICE_NAME, TYPED, TYPED_STREAM, on_stream
from tamiz_server.serving.dialect import Dialect, Served, Wish, parse
from tamiz_server.serving.shadow import Shadow
from tamiz_server.serving.streams import OrderedStream
from tamiz_server.telemetry.access_log import AccessLog, Ended, Metadata
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_LINGER_S: Final = 0.3

_Request = TypeVar("_Request")

Method = Callable[[bytes, float, Metadata], Awaitable[bytes]]
"""Message bytes, deadline in seconds on time.monotonic's clock (infinite: none) and metadata → answer bytes, or TamizError."""

Stream = Callable[[AsyncIterator[bytes], float, Metadata], AsyncGenerator[bytes, None]]
"""As `Method`, for many messages: the answers end as the messages do, or with a TamizError. To be closed when left early."""


class Methods(Protocol):
    """A service, as a transport sees it.

    Attributes:
        name: the service's name on the wire.
        methods: method name, as in the contract → its implementation.
        streams: the same for methods that take and give a stream of messages.
        predicts: the methods whose calls it counts itself, as requests for predictions.
    """

    name: str
    methods: dict[str, Method]
    streams: dict[str, Stream]
    predicts: frozenset[str]


class Service:
    """`tamiz.v1.PredictionService`, and what every protocol shares: which versions are served, how a request is answered.

    Attributes:
        name: the service's name on the wire.
        methods: method name, as in the contract → its implementation.
        streams: the same for methods that take and give a stream of messages.
        predicts: the methods whose calls are counted here, as requests for predictions.
        ready: whether requests are answered; until it is set they get Unavailable.
        stopping: whether health says NOT_SERVING because the server is about to stop; requests are still answered.
        failed: name and version of what could not be loaded.
    """

    name = SERVICE_NAME
    predicts = frozenset({"Predict"})

    def __init__(self, config: Config, metrics: Metrics, journal: AccessLog | None = None) -> None:
        """Serve nothing yet; what becomes of requests is counted, and written in a journal."""
        self.ready = False
        self.stopping = False
        self.failed: set[tuple[str, int]] = set()
        self.methods: dict[str, Method] = {
            "Predict": self.predict,
            "ListModels": self.list_models,
            "GetModel": self.get_model,
        }
        self.streams: dict[str, Stream] = {"StreamPredict": self.stream_predict}
        self._config = config
        self._metrics = metrics
        self._journal = journal or AccessLog(share=0.0)
        self._served: dict[str, dict[int, Served]] = {}
        self._highest: dict[str, int] = {}
        self._open: set[OrderedStream] = set()
        self._ending = False
        self._labels: dict[str, Mapping[str, int]] = {}
        self._passed_over: dict[str, int | None] = {}

    def add(self, name: str, version: int, engine: Engine) -> None:
        """Serve a version, from the next request on; in place of the one that has been served under its number."""
        self._served.setdefault(name, {})[version] = Served(name, version, engine)
        self._highest[name] = self._default(name)

    def remove(self, name: str, version: int) -> None:
        """Serve a version no more, from the next request on; what its engine has accepted is answered."""
        versions = self._served[name]
        del versions[version]
        if versions:
            self._highest[name] = self._default(name)
        else:
            for each in (self._served, self._highest, self._labels, self._passed_over):
                each.pop(name, None)

    def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Let requests name versions of a model by these labels, and no others; each version is served."""
        self._labels[name] = labels

    def set_shadow(self, name: str, version: int | None, shadow: Shadow | None) -> None:
        """Show a model's answers to a shadow, from now on; None: to nobody.

        Args:
            name: the model's name.
            version: answers only requests that name it; None: none is so.
            shadow: sees what is answered by the versions that are served now.
        """
        self._passed_over[name] = version
        for served in self._served.get(name, {}).values():
            served.shadow = shadow.beside(served.version, served.engine) if shadow else None
        if name in self._served:
            self._highest[name] = self._default(name)

    def _default(self, name: str) -> int:
        """Return which version answers requests that name none; 0 if none does."""
        passed_over = self._passed_over.get(name)
        return max((version for version in self._served[name] if version != passed_over), default=0)

    def versions(self) -> list[Served]:
        """Return every served version, sorted by name and version."""
        return [
            self._served[name][version]
            for name in sorted(self._served)
            for version in sorted(self._served[name])
        ]

    def predict(self, body: bytes, deadline_s: float, metadata: Metadata) -> Coroutine[Any, Any, bytes]:
        """Answer a PredictRequest with a PredictResponse; see `Method`."""
        return self.answer(TYPED, body, deadline_s, metadata)

    async def answer(
        self,
        dialect: Dialect[_Request],
        body: bytes,
        deadline_s: float,
        metadata: Metadata,
        parsed: _Request | None = None,
    ) -> bytes:
        """Answer a request for predictions in any protocol; see `Method`. Every one is counted, once, by its outcome.

        `parsed`: the message, where it is known already.
        """
        started_s = time.monotonic()
        self._metrics.received += 1
        served: Served | None = None
        answer: Answer | None = None
        code, n_rows, asked_s, failure = "OK", 0, 0.0, None
        try:
            request = dialect.parse(body) if parsed is None else parsed
            served = self.find(*dialect.model(request))
            inputs, n_rows, wish = dialect.read(request, served, deadline_s)
            charge_rows(n_rows)
            work = self._work(served, inputs, n_rows, wish, len(body), held_back=dialect.held_back)
            asked_s = time.monotonic()
            answer = await served.engine.predict(work)
            response = dialect.write(request, served, answer, work.threshold)
            if served.shadow is not None:
                served.shadow.see(work, wish.threshold, answer)
            return response  # noqa: TRY300  what is seen here belongs to this request
        except TamizError as error:
            code, failure = error.code, error
            raise
        except asyncio.CancelledError:
            code = "CANCELLED" if time.monotonic() < deadline_s else "DEADLINE_EXCEEDED"
            raise
        except Exception as error:
            code = ModelFailed.code
            _log.exception("request %s failed: this is a bug", _request_id(metadata))
            raise ModelFailed("the server failed on this request; its log says how") from error
        finally:
            ended_s = time.monotonic()
            if served is None:
                self._metrics.unattributed[code] += 1
            elif answer is not None and code == "OK":
                metrics = served.engine.metrics
                metrics.request_answered(started_s, ended_s, answer.queue_s, answer.compute_s)
            else:
                served.engine.metrics.request_failed(code, started_s, ended_s)
            if self._journal.wants(code):
                times = (started_s, ended_s, asked_s)
                ended = _ended(dialect.method, served, code, times, n_rows, answer, failure)
                self._journal.request_ended(ended, metadata)

    async def stream(
        self, bodies: AsyncIterator[bytes], answer: Callable[[bytes], Coroutine[Any, Any, bytes]]
    ) -> AsyncGenerator[bytes, None]:
        """Answer each message of a stream, in order; see `Stream`. `answer` answers one, its errors included."""
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

    def stream_predict(
        self, bodies: AsyncIterator[bytes], deadline_s: float, metadata: Metadata
    ) -> AsyncGenerator[bytes, None]:
        """Answer each PredictRequest with a StreamPredictResponse, in order; see `Stream`."""

        async def answer(body: bytes) -> bytes:
            return await self._answer_on_stream(body, deadline_s, metadata)

        return self.stream(bodies, answer)

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
            charge_request()
            return on_stream(id_, await self.answer(TYPED_STREAM, body, deadline_s, metadata, request))
        except TamizError as error:
            failure = Failure(code=f"STATUS_CODE_{error.code}", message=str(error))
            return StreamPredictResponse(id=id_, failure=failure).SerializeToString()

    async def list_models(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a ListModelsRequest with a ListModelsResponse; see `Method`."""
        parse(ListModelsRequest, body)
        self.require_ready()
        models = [
            ModelVersions(name=name, versions=sorted(self._served[name]), labels=self._labels.get(name))
            for name in sorted(self._served)
        ]
        return ListModelsResponse(models=models).SerializeToString()

    async def get_model(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a GetModelRequest with a GetModelResponse; see `Method`."""
        request = parse(GetModelRequest, body)
        served = self.find(request.name, request.version, request.model_label)
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
        ).SerializeToString()

    def require_ready(self) -> None:
        """Raise Unavailable as long as no request is answered."""
        if not self.ready:
            raise Unavailable("the server is loading its models, or stopping; try again, or another replica")

    def find(self, name: str, version: int, label: str = "") -> Served:
        """Return the version that a request names, by number, by label, or not at all (0 and empty): then the highest.

        A shadow is passed over by requests that name no version.

        Raises:
            Unavailable: as long as no request is answered.
            InvalidRequest: if both are given.
            ModelNotFound: if it is not served.
        """
        self.require_ready()
        versions = self._served.get(name)
        if versions is None:
            known = ", ".join(sorted(self._served)) or "none"
            raise ModelNotFound(f"no model {name!r} here; served are: {known}")
        if label:
            version = self._labelled(name, version, label)
        version = version or self._highest[name]
        if not version:
            raise ModelNotFound(
                f"no version of model {name!r} answers requests that name none: {self._passed_over[name]} is its shadow, and"
                " no other is served"
            )
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise ModelNotFound(f"no version {version} of model {name!r} here; served are: {known}")
        return versions[version]

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

    def _work(
        self, served: Served, inputs: Inputs, n_rows: int, wish: Wish, n_bytes: int, *, held_back: bool
    ) -> Work:
        """Return what the engine has to do."""
        if wish.threshold is not None and not 0.0 <= wish.threshold <= 1.0:  # true for NaN
            raise InvalidRequest(f"threshold is {wish.threshold}: expected a confidence from 0 to 1")
        threshold, overrides = served.thresholds.of_request(
            wish.threshold, looser_allowed=self._config.allow_looser_thresholds
        )
        return Work(
            inputs,
            n_rows,
            threshold,
            wish.deadline_s,
            wish.probabilities,
            overrides=overrides,
            gives_way=wish.gives_way,
            held_back=held_back,
            n_bytes=n_bytes,
        )


def _ended(
    method: str,
    served: Served | None,
    code: str,
    times: tuple[float, float, float],
    n_rows: int,
    answer: Answer | None,
    error: TamizError | None,
) -> Ended:
    model, version = (served.name, str(served.version)) if served else ("", "")
    queue_s, compute_s, n_accepted = (
        (answer.queue_s, answer.compute_s, sum(answer.accepted)) if answer else (0.0, 0.0, 0)
    )
    return Ended(method, model, version, code, *times, queue_s, compute_s, n_rows, n_accepted, error)


def _parse_if_whole(body: bytes) -> PredictRequest | None:
    try:
        return parse(PredictRequest, body)
    except InvalidRequest:
        return None  # `predict` says and counts what is wrong


def _request_id(metadata: Metadata) -> str:
    """Return the caller's `x-request-id`, to find its call in the log."""
    return next(
        (str(value) for key, value in metadata() or () if key == "x-request-id"), "without x-request-id"
    )
