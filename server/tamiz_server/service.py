"""The typed service on top of the engines: bytes in, bytes out. It knows no transport."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from tamiz.thresholds import Thresholds
from tamiz.v1.prediction_pb2 import (
    BatchingSettings,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    ModelVersions,
    PredictRequest,
    PredictResponse,
)
from tamiz_server.access import charge_rows
from tamiz_server.config import Config
from tamiz_server.engine import Answer, Engine, Work
from tamiz_server.errors import InvalidRequest, ModelFailed, ModelNotFound, TamizError, Unavailable
from tamiz_server.metrics import Metrics
from tamiz_server.tensors import read_inputs

_log = logging.getLogger(__name__)

SERVICE_NAME: Final = "tamiz.v1.PredictionService"

_Message = TypeVar("_Message", PredictRequest, ListModelsRequest, GetModelRequest)

Metadata = Callable[[], Iterable[tuple[str, str | bytes]] | None]
"""Gives a call's metadata; a function, because reading them costs and most calls need none."""

Method = Callable[[bytes, float, Metadata], Awaitable[bytes]]
"""Message bytes, deadline in seconds on time.monotonic's clock (infinite: none) and metadata → answer bytes, or TamizError."""


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
        ready: whether requests are answered; until it is set they get Unavailable.
    """

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self.ready = False
        self.methods: dict[str, Method] = {
            "Predict": self.predict,
            "ListModels": self.list_models,
            "GetModel": self.get_model,
        }
        self._config = config
        self._metrics = metrics
        self._served: dict[str, dict[int, Served]] = {}
        self._highest: dict[str, int] = {}

    def add(self, name: str, version: int, engine: Engine) -> None:
        """Serve a version."""
        self._served.setdefault(name, {})[version] = Served(name, version, engine)
        self._highest[name] = max(self._served[name])

    def serves(self, name: str) -> bool:
        """Return whether any version of a model is served."""
        return name in self._served

    async def predict(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:
        """Answer a PredictRequest with a PredictResponse; see `Method`."""
        started_s = time.monotonic()
        self._metrics.received += 1
        served: Served | None = None
        code = "OK"
        try:
            request = _parse(PredictRequest, body)
            _, served = self._find(request.model_name, request.model_version)
            threshold = self._threshold(request, served)
            inputs, n_rows = read_inputs(request.inputs, served.engine.model.specs)
            charge_rows(n_rows)
            work = Work(inputs, n_rows, threshold, deadline_s, request.return_probabilities)
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

    async def list_models(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a ListModelsRequest with a ListModelsResponse; see `Method`."""
        _parse(ListModelsRequest, body)
        self._require_ready()
        models = [
            ModelVersions(name=name, versions=sorted(self._served[name])) for name in sorted(self._served)
        ]
        return ListModelsResponse(models=models).SerializeToString()

    async def get_model(self, body: bytes, deadline_s: float, metadata: Metadata) -> bytes:  # noqa: ARG002  a Method
        """Answer a GetModelRequest with a GetModelResponse; see `Method`."""
        request = _parse(GetModelRequest, body)
        version, served = self._find(request.name, request.version)
        config = self._config
        return GetModelResponse(
            name=request.name,
            version=version,
            manifest=served.engine.model.manifest,
            batching=BatchingSettings(
                max_batch_size=config.max_batch_size,
                max_queue_delay_us=config.max_queue_delay_us,
                max_queue_size=config.max_queue_size,
            ),
            looser_thresholds_allowed=config.allow_looser_thresholds,
            abstained_revealed=config.reveal_abstained,
        ).SerializeToString()

    def _require_ready(self) -> None:
        if not self.ready:
            raise Unavailable("the server is loading its models, or stopping; try again, or another replica")

    def _find(self, name: str, version: int) -> tuple[int, Served]:
        self._require_ready()
        versions = self._served.get(name)
        if versions is None:
            known = ", ".join(sorted(self._served)) or "none"
            raise ModelNotFound(f"no model {name!r} here; served are: {known}")
        version = version or self._highest[name]
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise ModelNotFound(f"no version {version} of model {name!r} here; served are: {known}")
        return version, versions[version]

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


def _request_id(metadata: Metadata) -> str:
    """Return the caller's `x-request-id`, to find its call in the log."""
    return next(
        (str(value) for key, value in metadata() or () if key == "x-request-id"), "without x-request-id"
    )
