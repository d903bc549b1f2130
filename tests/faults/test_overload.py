"""Overload: accepted requests are answered soon, the rest is refused at once, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import grpc
import numpy as np
import pytest
from benchmarks.open_loop import PATH
from benchmarks.overload import in_process, memory_mb, offer, open_loop, poisson, reached, saturation
from grpc import aio
from tests.asking import metric, samples, wait_for

from tamiz.v1.prediction_pb2 import PredictRequest, Tensor
from tamiz_client import AsyncClient, Client

from .http2 import DATA, END_HEADERS, END_STREAM, HEADERS, Connection, call, call_headers, frame, prediction
from .http2 import message as with_prefix

ROWS = 16
IN_FLIGHT = 12
# Requests a second of which five times are an overload, also where a busy machine shows less.
LEAST = 12.0
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def message(n_rows: int = ROWS, **fields: object) -> bytes:
    raw = np.tile(np.array([[0, 3]], dtype="<f4"), (n_rows, 1)).tobytes()
    tensor = Tensor(name="features", dtype=11, shape=[n_rows, 2], raw=raw)
    return PredictRequest(model_name="m", inputs=[tensor], **fields).SerializeToString()


def metrics(server) -> Counter[tuple[str, str]]:
    """The samples of the server's metrics: (name, code) → value, over all models."""
    found: Counter[tuple[str, str]] = Counter()
    for sample in samples(server):
        found[sample.name, sample.labels.get("code", "")] += sample.value
    return found


def settled(server) -> Counter[tuple[str, str]]:
    """The metrics once nothing is in flight any more."""
    until_s = time.monotonic() + 30
    while (found := metrics(server))["tamiz_requests_in_flight", ""] or found["tamiz_queue_rows", ""]:
        assert time.monotonic() < until_s, found
        time.sleep(0.05)
    return found


def by_code(after: Counter, before: Counter) -> dict[str, int]:
    return {
        code: int(value - before[name, code])
        for (name, code), value in after.items()
        if name == "tamiz_requests_total" and value != before[name, code]
    }


def test_at_five_times_saturation_accepted_requests_are_soon_answered_and_the_others_refused(
    make_bundle, start_server, scaled, record
):
    # Slow enough that refusing is cheap beside computing, on one processor: the generator needs another.
    make_bundle("m/1", "slower")
    server = start_server("--intra-op-threads", "1")
    body, pid = message(), server.process.pid
    saturation(server.port, body, 1.0, IN_FLIGHT)
    most = max(LEAST, saturation(server.port, body, scaled(2.0, 5.0), IN_FLIGHT))
    usual, _ = offer(server.port, pid, body, 0.8 * most, scaled(1.5, 15.0))
    before = settled(server)
    figures, outcome = offer(server.port, pid, body, 5 * most, scaled(3.0, 30.0))
    after = settled(server)
    assert not np.count_nonzero(outcome.status < 0), "requests without an answer"
    told = Counter(CODES[status] for status in outcome.status.tolist())
    assert by_code(after, before) == told
    assert set(told) == {"OK", "RESOURCE_EXHAUSTED"}
    if scaled(False, True):  # the goals; otherwise the machine may be busy with other tests
        assert reached(usual, figures, most), (usual, figures, most)
        assert figures.accepted > 0.25 * most, (figures, most)
        # These are far from what a quiet machine shows (`python -m benchmarks.overload`), and farther from a
        # full queue.
        assert figures.settled_p99_s < 16_384 / (most * ROWS) / 3, (figures, most)
        assert figures.refused_p50_s < figures.p50_s, figures
    assert figures.growth_mb < 150, figures
    computed = after["tamiz_batch_rows_sum", ""] - before["tamiz_batch_rows_sum", ""]
    assert computed == told["OK"] * ROWS
    with Client(server.target) as client:
        assert client.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
    assert server.stop() == 0
    record(
        "Overload",
        "five times the load that saturates a model of milliseconds per batch, open loop",
        len(outcome.status),
        lost=int(np.count_nonzero(outcome.status < 0)),
        seen=f"answered {figures.accepted / most:.0%} of what saturates it, with a p99"
        f" {figures.p99_s / usual.p99_s:.1f} times"
        f" that at 80 %; refused the rest, each in {figures.refused_p50_s * 1e3:.1f} ms (median); memory"
        f" +{figures.growth_mb:.0f} MB; callers and metrics counted the same",
    )


async def test_a_burst_of_2000_rows_is_answered_whether_in_one_request_or_in_many(make_bundle, start_server):
    make_bundle("m/1", "slow")
    server = start_server()
    async with AsyncClient(server.target, timeout_s=60) as client:
        await client.predict("m", np.zeros((1, 2)))
        results = await asyncio.gather(
            client.predict("m", np.zeros((2_000, 2))),
            *(client.predict("m", np.zeros((1_000, 2))) for _ in range(4)),
        )
    assert [len(result) for result in results] == [2_000, 1_000, 1_000, 1_000, 1_000]
    with Client(server.target, timeout_s=60) as client:
        chunks = (np.zeros((1_000, 2)) for _ in range(32))
        assert sum(len(each) for each in client.stream("m", chunks)) == 32_000
    assert settled(server)["tamiz_requests_total", "RESOURCE_EXHAUSTED"] == 0
    assert server.stop() == 0


def test_the_setting_of_one_model_bounds_its_wait(make_bundle, start_server, tmp_path, scaled):
    make_bundle("m/1", "slower")
    (tmp_path / "models/m/settings.toml").write_text("[batching]\nmax_queue_wait_ms = 1000\n")
    server = start_server("--intra-op-threads", "1")
    body = message()
    most = max(LEAST, saturation(server.port, body, 1.0, IN_FLIGHT))
    usual, _ = offer(server.port, server.process.pid, body, 5 * most, scaled(4.0, 20.0))
    assert usual.refused > 0
    assert usual.p50_s > 0.3, "a second of waiting was allowed, and the server was overloaded all the time"
    assert server.stop() == 0


@pytest.mark.parametrize("timeout_ms", [1, 3, 5])
def test_expired_requests_are_never_computed(make_bundle, start_server, scaled, record, timeout_ms):
    make_bundle("m/1", "slow")
    server = start_server()
    body = message(timeout_us=timeout_ms * 1_000)
    most = saturation(server.port, message(), 1.0, IN_FLIGHT)
    before = settled(server)
    outcome = in_process(
        open_loop, server.port, body, poisson(max(100.0, 2 * most), scaled(2.0, 20.0), timeout_ms)
    )
    after = settled(server)
    assert not np.count_nonzero(outcome.status < 0), "requests without an answer"
    told = Counter(CODES[status] for status in outcome.status.tolist())
    assert by_code(after, before) == told
    assert set(told) <= {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
    assert told["DEADLINE_EXCEEDED"] > 0
    computed = after["tamiz_batch_rows_sum", ""] - before["tamiz_batch_rows_sum", ""]
    assert computed == told["OK"] * ROWS
    assert server.stop() == 0
    record(
        "Overload",
        f"requests that wait at most {timeout_ms} ms, at twice saturation",
        len(outcome.status),
        lost=0,
        seen="rows computed = rows answered: not one that had expired was computed",
    )


def test_the_deadline_of_a_call_reaches_the_queue_though_nobody_cancels(make_bundle, start_server):
    """The call is sent by hand: a client's library would give up by itself, and say so."""
    make_bundle("m/1", "stuck")
    server = start_server("--inline-limit-us", "0", "--max-run-s", "6")
    with Connection(server.port) as connection:
        connection.send(call(1, prediction(margin=1e12)))
        wait_for(lambda: metric(server, "tamiz_requests_in_flight") == 1)
        headers = call_headers(more=[("grpc-timeout", "200m")])
        connection.send(
            frame(HEADERS, END_HEADERS, 3, headers),
            frame(DATA, END_STREAM, 3, with_prefix(prediction(margin=0.0))),
        )
        wait_for(lambda: metric(server, "tamiz_requests_total", code="DEADLINE_EXCEEDED") == 1)
        assert metric(server, "tamiz_requests_in_flight") == 1, "the one before it was still computed"
        wait_for(lambda: metric(server, "tamiz_requests_in_flight") == 0)
    assert metric(server, "tamiz_requests_total") == 2
    assert metric(server, "tamiz_batch_rows_sum") <= 1, "it was computed all the same"
    assert server.stop() == 0


async def test_callers_that_give_up_after_milliseconds_leave_nothing_behind(
    make_bundle, start_server, scaled, record
):
    make_bundle("m/1", "slow")
    server = start_server()
    body = message(1)
    told: Counter[str] = Counter()
    random = np.random.default_rng(3)
    async with aio.insecure_channel(server.target, options=[("grpc.enable_retries", 0)]) as channel:
        call = channel.unary_unary(PATH)
        until_s = time.monotonic() + scaled(2.0, 60.0)

        async def caller() -> None:
            while time.monotonic() < until_s:
                try:
                    await call(body, timeout=float(random.uniform(0.001, 0.005)))
                    told["OK"] += 1
                except grpc.RpcError as error:
                    told[error.code().name] += 1

        await asyncio.gather(*(caller() for _ in range(32)))

    assert set(told) <= {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"}, told
    after = settled(server)
    ended = by_code(after, Counter())
    assert after["tamiz_requests_received_total", ""] == sum(ended.values())
    assert sum(ended.values()) <= sum(told.values())
    assert ended.get("OK", 0) >= told["OK"]
    # In few seconds on a busy machine few calls arrive, and all their callers may be first to say so.
    if scaled(False, True):
        assert ended.get("DEADLINE_EXCEEDED", 0) > 0
    # Computed without an answer: only what was at work when its caller gave up, and that was counted as given
    # up.
    given_up = sum(ended.values()) - ended.get("OK", 0)
    assert ended.get("OK", 0) <= after["tamiz_batch_rows_sum", ""] <= ended.get("OK", 0) + given_up
    with Client(server.target) as client:
        assert client.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
    assert memory_mb(server.process.pid, "VmRSS") < 400
    assert server.stop() == 0
    record(
        "Overload",
        "callers whose deadline is 1 to 5 ms",
        sum(told.values()),
        lost=0,
        seen="every request that arrived ended and was counted once; the queue was empty afterwards",
    )


async def test_a_burst_of_2000_calls_on_one_connection_is_answered(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server()
    async with AsyncClient(server.target, timeout_s=60) as client:
        row = np.array([[0.0, 3.0]])
        results = await asyncio.gather(*(client.predict("m", row) for _ in range(2_000)))
    assert sum(result.accepted.tolist() == [True] for result in results) == 2_000
    assert settled(server)["tamiz_requests_total", "RESOURCE_EXHAUSTED"] == 0
    assert server.stop() == 0
