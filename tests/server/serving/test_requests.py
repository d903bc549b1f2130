"""The service: bytes in, bytes out, errors with their status; no transport."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamiz.gate import NO_CLASS
from tamiz.v1.manifest_pb2 import DataType
from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    PredictRequest,
    PredictResponse,
    Reason,
    Tensor,
)
from tamiz_server.config.config import Config
from tamiz_server.engine.engine import Engine
from tamiz_server.errors import DeadlineExceeded, InvalidRequest, ModelNotFound, Unavailable
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.model import Model
from tamiz_server.serving.requests import Service
from tamiz_server.telemetry.metrics import Metrics


@pytest.fixture
def make_service(make_bundle, tmp_path) -> Callable[..., Service]:
    """Makes a service in the running loop with versions 1 and 2 of the model m, and version 7 of the model text."""
    paths = {
        (name, version): make_bundle(f"{name}/{version}", graph)
        for name, version, graph in (("m", 1, "softmax"), ("m", 2, "softmax"), ("text", 7, "text"))
    }

    def make(**settings_: Any) -> Service:
        config = Config(model_repository=tmp_path, **settings_)
        service = Service(config, Metrics("0"))
        for (name, version), path in paths.items():
            model = Model(read_bundle(path), max_batch_size=64, n_threads=1, cpus=1, slow_above_s=9.0)
            metrics = service._metrics.model(name, version, model.manifest)
            service.add(name, version, Engine(model, metrics, config))
        service.ready = True
        return service

    return make


def request(*margins: float, model_name: str = "m", **fields: Any) -> bytes:
    rows = np.array([[0.0, margin] for margin in margins], dtype="<f4")
    features = Tensor(
        name="features", dtype=DataType.DATA_TYPE_FLOAT32, shape=[len(margins), 2], raw=rows.tobytes()
    )
    return PredictRequest(model_name=model_name, inputs=[features], **fields).SerializeToString()


async def predict(service: Service, body: bytes, deadline_s: float = math.inf) -> PredictResponse:
    return PredictResponse.FromString(await service.predict(body, deadline_s, lambda: ()))


def test_an_answer_holds_one_entry_per_row_in_every_column(make_service):
    async def scenario() -> None:
        answer = await predict(make_service(), request(3.0, 0.1))
        assert (answer.model_name, answer.model_version) == ("m", 2)
        assert list(answer.accepted) == [True, False]
        assert list(answer.reasons) == [Reason.REASON_NONE, Reason.REASON_LOW_CONFIDENCE]
        assert list(answer.class_index) == [1, NO_CLASS]
        assert list(answer.confidence) == pytest.approx([0.952574, 0.524979], abs=1e-6)
        assert list(answer.classes.strings) == ["no", "yes"]
        assert answer.threshold == 0.8
        assert answer.probabilities == b""
        assert answer.compute_duration_us > 0

    asyncio.run(scenario())


@pytest.mark.parametrize("in_threads", [False, True])
def test_the_time_of_every_answered_request_is_that_of_its_parts(make_service, in_threads):
    """Also of one that is computed in parts, side by side: what is left besides them is never less than nothing."""

    async def scenario() -> None:
        service = make_service(
            inline_limit_us=0 if in_threads else 10_000_000, max_batch_size=4, max_concurrency=3
        )
        bodies = [request(*np.linspace(-2, 2, n)) for n in (1, 3, 40, 64)]
        await asyncio.gather(*(predict(service, body) for body in bodies * 5))
        with pytest.raises(InvalidRequest):
            await predict(service, request(1.0, threshold=7.0))
        (metrics,) = (served.engine.metrics for served in service.versions() if served.version == 2)
        assert metrics.requests == {"OK": 20, "INVALID_ARGUMENT": 1}
        assert min(metrics.overhead_duration._pending) >= 0
        total, queue, overhead = (
            distribution.totals()
            for distribution in (metrics.request_duration, metrics.queue_duration, metrics.overhead_duration)
        )
        assert total[0] == queue[0] == overhead[0] == 20
        assert min(overhead[1], queue[1], total[1] - queue[1] - overhead[1]) > 0

    asyncio.run(scenario())


def test_probabilities_come_when_asked_for_and_hide_abstained_rows(make_service):
    async def scenario() -> None:
        answer = await predict(make_service(), request(3.0, 0.1, return_probabilities=True))
        probabilities = np.frombuffer(answer.probabilities).reshape(2, 2)
        assert probabilities[0] == pytest.approx([0.047426, 0.952574], abs=1e-6)
        assert np.isnan(probabilities[1]).all()

    asyncio.run(scenario())


def test_the_highest_version_answers_unless_one_is_named(make_service):
    async def scenario() -> None:
        service = make_service()
        assert (await predict(service, request(1.0))).model_version == 2
        assert (await predict(service, request(1.0, model_version=1))).model_version == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wanted", "looser_allowed", "applied"),
    [
        (None, False, 0.8),
        (0.9, False, 0.9),
        (0.5, False, 0.8),
        (0.5, True, 0.5),
        (None, True, 0.8),
        (1.0, False, 1.0),
    ],
)
def test_a_request_can_only_make_the_threshold_stricter_unless_the_operator_allows(
    make_service, wanted, looser_allowed, applied
):
    async def scenario() -> None:
        service = make_service(allow_looser_thresholds=looser_allowed)
        fields = {} if wanted is None else {"threshold": wanted}
        answer = await predict(service, request(0.9, **fields))  # confidence 0.71
        assert answer.threshold == applied
        assert list(answer.accepted) == [applied <= 0.71]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (request(1.0, model_name="nobody"), ModelNotFound, "no model 'nobody' here; served are: m, text"),
        (request(1.0, model_version=3), ModelNotFound, "no version 3 of model 'm' here; served are: 1, 2"),
        (request(1.0, model_version=-1), ModelNotFound, "no version -1"),
        (
            request(1.0, threshold=-1.0),
            InvalidRequest,
            "threshold is -1.0: expected a confidence from 0 to 1",
        ),
        (request(1.0, threshold=2.0), InvalidRequest, "threshold is 2.0"),
        (request(1.0, threshold=math.nan), InvalidRequest, "threshold is nan"),
        (request(), InvalidRequest, "has 0 rows"),
        (request(*[1.0] * 20_000), InvalidRequest, "20000 rows; at most 16384"),
        (
            request(1.0, model_name="text"),
            InvalidRequest,
            "unknown input 'features': the model reads input 'answer'",
        ),
        (b"\xff\xff\xff", InvalidRequest, "the message is no tamiz.v1.PredictRequest"),
        (b"", ModelNotFound, "no model ''"),
    ],
)
def test_a_bad_request_gets_its_status_and_the_service_goes_on(make_service, body, error, message):
    async def scenario() -> None:
        service = make_service()
        with pytest.raises(error, match=message):
            await predict(service, body)
        assert list((await predict(service, request(3.0))).accepted) == [True]
        ended = sum(service._metrics.unattributed.values()) + sum(
            sum(model.requests.values()) for model in service._metrics._models.values()
        )
        assert ended == service._metrics.received == 2

    asyncio.run(scenario())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_messages_are_answered_or_refused_but_never_break_the_service(make_service, data):
    body = bytearray(request(3.0, 1.0))
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=5)
    ):
        body[position] = value
    cut = data.draw(st.integers(0, len(body)))

    async def scenario() -> None:
        service = make_service()
        outcome = (await asyncio.gather(predict(service, bytes(body[:cut])), return_exceptions=True))[0]
        assert isinstance(outcome, (PredictResponse, InvalidRequest, ModelNotFound)), outcome
        assert list((await predict(service, request(3.0))).accepted) == [True]

    asyncio.run(scenario())


def test_an_expired_request_is_counted_under_its_status(make_service):
    async def scenario() -> None:
        service = make_service()
        with pytest.raises(DeadlineExceeded):
            await predict(service, request(1.0), deadline_s=time.monotonic() - 1)
        assert service._served["m"][2].engine.metrics.requests == {"DEADLINE_EXCEEDED": 1}

    asyncio.run(scenario())


def test_a_cancelled_request_is_counted_as_cancelled(make_service):
    async def scenario() -> None:
        service = make_service(max_queue_delay_us=50_000)
        task = asyncio.ensure_future(predict(service, request(1.0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert service._served["m"][2].engine.metrics.requests == {"CANCELLED": 1}

    asyncio.run(scenario())


def test_until_it_is_ready_every_method_says_unavailable(make_service):
    async def scenario() -> None:
        service = make_service()
        service.ready = False
        for name, body in (("Predict", request(1.0)), ("ListModels", b""), ("GetModel", b"\n\x01m")):
            with pytest.raises(Unavailable):
                await service.methods[name](body, math.inf, lambda: ())

    asyncio.run(scenario())


def test_models_are_listed_and_described(make_service):
    async def scenario() -> None:
        service = make_service(max_batch_size=32)
        body = await service.list_models(ListModelsRequest().SerializeToString(), math.inf, lambda: ())
        listed = ListModelsResponse.FromString(body)
        assert [(m.name, list(m.versions)) for m in listed.models] == [("m", [1, 2]), ("text", [7])]
        body = await service.get_model(GetModelRequest(name="m").SerializeToString(), math.inf, lambda: ())
        described = GetModelResponse.FromString(body)
        assert (described.name, described.version) == ("m", 2)
        assert described.manifest.inputs[0].name == "features"
        assert described.manifest.threshold.certificate.max_error == 0.05
        assert described.batching.max_batch_size == 32
        with pytest.raises(ModelNotFound):
            await service.get_model(GetModelRequest(name="x").SerializeToString(), math.inf, lambda: ())

    asyncio.run(scenario())
