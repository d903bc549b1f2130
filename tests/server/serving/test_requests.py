"""One request: which threshold it gets, its status, and that it is counted once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.serving_parts import Serving, predict_request

from tamiz_server.errors import DeadlineExceeded, InvalidRequest, ModelNotFound


@pytest.fixture
def make_serving(make_bundle, tmp_path) -> Callable[..., Serving]:
    """Makes a server with versions 1 and 2 of the model m, and version 7 of the model text."""
    paths = {
        (name, version): make_bundle(f"{name}/{version}", graph)
        for name, version, graph in (("m", 1, "softmax"), ("m", 2, "softmax"), ("text", 7, "text"))
    }

    def make(**settings_: Any) -> Serving:
        serving = Serving(tmp_path, **settings_)
        serving.serve(paths)
        return serving

    return make


@pytest.mark.parametrize("in_threads", [False, True])
async def test_the_time_of_every_answered_request_is_that_of_its_parts(make_serving, in_threads):
    """Also for one that is computed in parts, side by side: the overhead is never negative."""

    serving = make_serving(
        inline_limit_us=0 if in_threads else 10_000_000, max_batch_size=4, max_concurrency=3
    )
    bodies = [predict_request(*np.linspace(-2, 2, n)) for n in (1, 3, 40, 64)]
    await asyncio.gather(*(serving.predict(body) for body in bodies * 5))
    with pytest.raises(InvalidRequest):
        await serving.predict(predict_request(1.0, threshold=7.0))
    (metrics,) = (served.engine.metrics for served in serving.registry.versions() if served.version == 2)
    assert metrics.requests == {"OK": 20, "INVALID_ARGUMENT": 1}
    assert min(metrics.overhead_duration._pending) >= 0
    total, queue, overhead = (
        distribution.totals()
        for distribution in (metrics.request_duration, metrics.queue_duration, metrics.overhead_duration)
    )
    assert total[0] == queue[0] == overhead[0] == 20
    assert min(overhead[1], queue[1], total[1] - queue[1] - overhead[1]) > 0


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
async def test_a_request_can_only_make_the_threshold_stricter_unless_the_operator_allows(
    make_serving, wanted, looser_allowed, applied
):
    serving = make_serving(allow_looser_thresholds=looser_allowed)
    fields = {} if wanted is None else {"threshold": wanted}
    answer = await serving.predict(predict_request(0.9, **fields))  # confidence 0.71
    assert answer.threshold == applied
    assert list(answer.accepted) == [applied <= 0.71]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (
            predict_request(1.0, model_name="nobody"),
            ModelNotFound,
            "no model 'nobody'; served: m, text",
        ),
        (
            predict_request(1.0, model_version=3),
            ModelNotFound,
            "no version 3 of model 'm'; served: 1, 2",
        ),
        (predict_request(1.0, model_version=-1), ModelNotFound, "no version -1"),
        (
            predict_request(1.0, threshold=-1.0),
            InvalidRequest,
            "threshold is -1.0: expected a confidence from 0 to 1",
        ),
        (predict_request(1.0, threshold=2.0), InvalidRequest, "threshold is 2.0"),
        (predict_request(1.0, threshold=math.nan), InvalidRequest, "threshold is nan"),
        (predict_request(), InvalidRequest, "has 0 rows"),
        (predict_request(*[1.0] * 20_000), InvalidRequest, "20000 rows; at most 16384"),
        (
            predict_request(1.0, model_name="text"),
            InvalidRequest,
            "unknown input 'features': the model reads input 'answer'",
        ),
        (b"\xff\xff\xff", InvalidRequest, "the message is not a valid tamiz.v1.PredictRequest"),
        (b"", ModelNotFound, "no model ''"),
    ],
)
async def test_a_bad_request_gets_its_status_and_the_service_goes_on(make_serving, body, error, message):
    serving = make_serving()
    with pytest.raises(error, match=message):
        await serving.predict(body)
    assert list((await serving.predict(predict_request(3.0))).accepted) == [True]
    assert serving.ended() == serving.metrics.received == 2


async def test_an_expired_request_is_counted_under_its_status(make_serving):
    serving = make_serving()
    with pytest.raises(DeadlineExceeded):
        await serving.predict(predict_request(1.0), deadline_s=time.monotonic() - 1)
    assert serving.registry.find("m", 2).engine.metrics.requests == {"DEADLINE_EXCEEDED": 1}


async def test_a_cancelled_request_is_counted_as_cancelled(make_serving):
    serving = make_serving(max_queue_delay_us=50_000)
    task = asyncio.ensure_future(serving.predict(predict_request(1.0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert serving.registry.find("m", 2).engine.metrics.requests == {"CANCELLED": 1}
