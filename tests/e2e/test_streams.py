"""StreamPredict against a real server process: order, errors within a stream, back-pressure, cancellation,
stopping.
"""

from __future__ import annotations

import itertools
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tests.asking import metric, wait_for

from tamiz.v1.manifest_pb2 import DataType
from tamiz.v1.prediction_pb2 import PredictRequest, StatusCode, StreamPredictResponse, Tensor
from tamiz_client import AsyncClient, Client, InvalidRows, ModelNotFound, RetryPolicy, ServerUnavailable

STREAM = "/tamiz.v1.PredictionService/StreamPredict"


def request(margin: float = 3.0, n_rows: int = 1, **fields: object) -> bytes:
    raw = np.tile(np.array([[0.0, margin]], "<f4"), (n_rows, 1)).tobytes()
    tensor = Tensor(name="features", dtype=DataType.DATA_TYPE_FLOAT32, shape=[n_rows, 2], raw=raw)
    return PredictRequest(**{"model_name": "m", "inputs": [tensor], **fields}).SerializeToString()


@pytest.fixture
def server(make_bundle, start_server, request):
    graph, flags = getattr(request, "param", ("softmax", ()))
    make_bundle("m/1", graph)
    return start_server(*flags)


in_a_thread = pytest.mark.parametrize(
    "server",
    [("softmax", ()), ("softmax", ("--inline-limit-us", "0", "--max-batch-size", "4"))],
    indirect=True,
)


@in_a_thread
def test_answers_come_in_the_order_of_the_requests_each_with_its_own_status(server):
    bodies = []
    for number in range(500):
        match number % 5:
            case 0:
                bodies.append(request(model_name="nobody", id=str(number)))
            case 1:
                bodies.append(request(threshold=2.0, id=str(number)))
            case _:
                bodies.append(request(number / 100, n_rows=1 + number % 7, id=str(number)))
    with grpc.insecure_channel(server.target) as channel:
        answers = [*map(StreamPredictResponse.FromString, channel.stream_stream(STREAM)(iter(bodies)))]
    assert [answer.id for answer in answers] == [str(number) for number in range(500)]
    for number, answer in enumerate(answers):
        if number % 5 == 0:
            assert answer.failure.code == StatusCode.STATUS_CODE_NOT_FOUND
            assert "no model 'nobody'" in answer.failure.message
        elif number % 5 == 1:
            assert answer.failure.code == StatusCode.STATUS_CODE_INVALID_ARGUMENT
        else:
            expected = [1 / (1 + np.exp(-number / 100))] * (1 + number % 7)
            np.testing.assert_allclose(answer.response.confidence, expected, atol=1e-6)
            assert list(answer.response.classes.strings) == ["no", "yes"]
    assert metric(server, "tamiz_requests_received_total") == metric(server, "tamiz_requests_total") == 500
    assert metric(server, "tamiz_streams_open") == 0


def test_what_is_no_message_is_an_answer_and_the_stream_goes_on(server):
    bodies = [b"\xff\xff\xff", request(id="whole"), b"\x0a\xff"]
    with grpc.insecure_channel(server.target) as channel:
        answers = [*map(StreamPredictResponse.FromString, channel.stream_stream(STREAM)(iter(bodies)))]
    codes = [answer.failure.code for answer in answers]
    assert codes == [StatusCode.STATUS_CODE_INVALID_ARGUMENT, StatusCode.STATUS_CODE_OK] * 1 + codes[2:]
    assert codes[2] == StatusCode.STATUS_CODE_INVALID_ARGUMENT
    assert answers[1].id == "whole"
    assert answers[1].response.accepted == [True]


@pytest.mark.parametrize("server", [("softmax", ("--max-stream-requests", "8"))], indirect=True)
def test_a_reader_that_does_not_read_stops_the_stream_and_not_the_server(server):
    sent = itertools.count()
    n_rows = 2_000

    def bodies() -> Iterator[bytes]:
        body = request(n_rows=n_rows, return_probabilities=True)
        for _ in range(3_000):
            next(sent)
            yield body

    with grpc.insecure_channel(server.target) as channel, Client(server.target) as other:
        call = channel.stream_stream(STREAM)(bodies())
        next(call)  # and none after it
        counts = [-1.0]

        def stands_still() -> bool:
            time.sleep(1.0)
            counts.append(metric(server, "tamiz_requests_received_total"))
            return counts[-1] == counts[-2]

        wait_for(stands_still)
        assert counts[-1] < 1_500, "the server reads on, though nobody takes its answers"
        assert metric(server, "tamiz_requests_in_flight") == 0
        memory = metric(server, "process_resident_memory_bytes")
        assert other.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
        time.sleep(1)
        assert metric(server, "process_resident_memory_bytes") < memory + 10e6
        assert 1 + sum(1 for _ in call) == 3_000, "once they are read, all answers come"


@pytest.mark.parametrize(
    "server", [("slower", ("--max-stream-requests", "40", "--max-batch-size", "1"))], indirect=True
)
def test_cancelling_a_stream_frees_what_waits(server):
    with grpc.insecure_channel(server.target) as channel:
        call = channel.stream_stream(STREAM)(iter([request()] * 100))
        next(call)
        assert metric(server, "tamiz_queue_rows") > 20
        assert metric(server, "tamiz_streams_open") == 1
        call.cancel()
        wait_for(lambda: metric(server, "tamiz_queue_rows") == 0)
        wait_for(lambda: metric(server, "tamiz_streams_open") == 0)
    received = metric(server, "tamiz_requests_received_total")
    assert received == metric(server, "tamiz_requests_total") < 100
    assert metric(server, "tamiz_requests_total", code="CANCELLED", model="m", version="1") > 20


@pytest.mark.parametrize("server", [("slower", ("--max-batch-size", "1"))], indirect=True)
def test_a_request_expires_by_its_own_timeout_and_the_stream_goes_on(server):
    bodies = [request(), request(timeout_us=1_000), request(timeout_us=30_000_000)]
    with grpc.insecure_channel(server.target) as channel:
        answers = [*map(StreamPredictResponse.FromString, channel.stream_stream(STREAM)(iter(bodies)))]
    assert [StatusCode.Name(answer.failure.code)[12:] for answer in answers] == [
        "OK",
        "DEADLINE_EXCEEDED",
        "OK",
    ]


@pytest.mark.parametrize("server", [("slow", ()), ("softmax", ())], indirect=True)
def test_a_stopping_server_answers_what_it_has_read_then_ends_the_stream(server):
    def one(channel: grpc.Channel) -> tuple[int, str]:
        n_answers = 0
        try:
            for body in channel.stream_stream(STREAM)(itertools.repeat(request())):
                assert StreamPredictResponse.FromString(body).response.accepted == [True]
                n_answers += 1
                if n_answers == 1:
                    begun.release()
        except grpc.RpcError as error:
            return n_answers, f"{error.code().name}: {error.details()}"
        raise AssertionError("the stream ended as if all had been answered")

    begun = threading.Semaphore(0)

    # In threads: grpcio's asyncio client may report its own failed write instead of the status that came.
    options = [("grpc.enable_retries", 0)]
    with grpc.insecure_channel(server.target, options) as channel, ThreadPoolExecutor(3) as pool:
        streams = [pool.submit(one, channel) for _ in range(3)]
        for _ in streams:
            assert begun.acquire(timeout=60)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        ends = [stream.result() for stream in streams]
    assert server.stop() == 0
    for n_answers, end in ends:
        assert n_answers > 0
        assert end.startswith("UNAVAILABLE: the server is stopping")
    received, answered = map(
        int, re.search(r"(\d+) requests received, (\d+) answered", server.log[-1]).groups()
    )
    assert received == answered == sum(n_answers for n_answers, _ in ends)


CHUNKS = [np.array([[0.0, margin]] * 3) for margin in range(20)]


def test_the_client_streams_chunks_and_raises_what_failed(server):
    with Client(server.target) as client:
        results = list(client.stream("m", CHUNKS, return_probabilities=True))
        assert [len(result) for result in results] == [3] * 20
        np.testing.assert_allclose(
            [result.confidence[0] for result in results], [1 / (1 + np.exp(-m)) for m in range(20)], atol=1e-6
        )
        with pytest.raises(InvalidRows):
            for n_answers, _ in enumerate(client.stream("m", [*CHUNKS[:4], np.zeros((1, 5))]), 1):  # noqa: B007
                pass
        assert n_answers == 4
        with pytest.raises(ModelNotFound):
            list(client.stream("nobody", CHUNKS))
        stream = client.stream("m", itertools.repeat(CHUNKS[0]), low_priority=True)
        next(stream)
        stream.close()
        wait_for(lambda: metric(server, "tamiz_streams_open") == 0)


async def test_both_clients_stream_to_a_version_that_a_label_names(make_bundle, start_server, tmp_path):
    for version in (1, 2):
        make_bundle(f"m/{version}")
    (tmp_path / "models/m/settings.toml").write_text("[labels]\nstable = 1\n")
    server = start_server()
    async with AsyncClient(server.target) as client:
        stream = client.stream("m", CHUNKS[:2], version="stable")
        assert [result.model_version async for result in stream] == [1, 1]
    with Client(server.target) as client:
        for version, answers in (("stable", 1), (1, 1), (None, 2)):
            results = client.stream("m", CHUNKS[:2], version=version)
            assert [result.model_version for result in results] == [answers, answers]
        with pytest.raises(ModelNotFound, match="its labels: stable"):
            list(client.stream("m", CHUNKS[:2], version="canary"))


@pytest.mark.parametrize(
    "server", [("softmax", ("--max-queue-size", "5", "--max-batch-size", "5"))], indirect=True
)
async def test_a_failed_chunk_takes_its_place_when_asked_for(server):
    async def chunks():
        yield CHUNKS[0]
        yield np.zeros((6, 2))
        yield CHUNKS[1]

    async with AsyncClient(server.target) as client:
        first, second, third = [each async for each in client.stream("m", chunks(), return_errors=True)]
    assert (len(first), len(third)) == (3, 3)
    assert second.code == "INVALID_ARGUMENT"
    assert "at most 5 can be asked at once" in str(second)


def test_a_stream_to_a_server_that_is_gone_is_an_error(server):
    with Client(server.target, retry=RetryPolicy(max_attempts=1)) as client:
        client.model("m")
        stream = client.stream("m", itertools.repeat(CHUNKS[0]))
        next(stream)
        server.process.kill()
        with pytest.raises(ServerUnavailable):
            list(stream)
