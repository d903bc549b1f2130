"""A long run of everything that callers do, while models change: nothing grows, every request is counted."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest
from tests.asking import metric, wait_for

from tamiz.oip.inference import ModelInferRequest
from tamiz.v1.prediction_pb2 import PredictResponse, StatusCode, StreamPredictResponse

from .bystanders import Footprint
from .http2 import PREDICT, STREAM_PREDICT, prediction

OIP = "/inference.GRPCInferenceService/ModelInfer"
_PATIENCE_S = 120.0


def oip(model: str = "m") -> bytes:
    request = ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, 2])
    tensor.contents.fp32_contents.extend([0.0, 3.0])
    return request.SerializeToString()


class Caller:
    """One thread that asks in every way there is.

    Attributes:
        ended: how many requests ended, by gRPC status, as this side saw it.
        unsure: how many were cancelled, or ran out of time, of which the server may have received none.
    """

    def __init__(self, target: str, seed: int) -> None:
        self.ended: Counter[str] = Counter()
        self.unsure = 0
        self._random = random.Random(seed)
        self._channel = grpc.insecure_channel(
            target, [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        )
        self._call = {path: self._channel.unary_unary(path) for path in (PREDICT, OIP)}
        self._stream = self._channel.stream_stream(STREAM_PREDICT)

    def ask(self, n_requests: int) -> None:
        kinds = [self._ask, self._ask, self._ask_oip, self._ask_wrongly, self._give_up, self._ask_on_stream]
        until = n_requests
        while until > 0:
            until -= self._random.choice(kinds)()

    def _expect(self, body: bytes, status: str, path: str = PREDICT, timeout_s: float = _PATIENCE_S) -> bytes:
        try:
            answer = self._call[path](body, timeout=timeout_s)
            got = "OK"
        except grpc.RpcError as error:
            answer, got = b"", error.code().name
        assert got == status, f"{got} instead of {status}"
        self.ended[status] += 1
        return answer

    def _ask(self) -> int:
        n_rows = self._random.randint(1, 8)
        answer = PredictResponse.FromString(self._expect(prediction("m", n_rows=n_rows), "OK"))
        assert len(answer.accepted) == n_rows
        return 1

    def _ask_oip(self) -> int:
        self._expect(oip(), "OK", OIP)
        return 1

    def _ask_wrongly(self) -> int:
        self._expect(prediction("nobody"), "NOT_FOUND")
        self._expect(prediction("m", threshold=2.0), "INVALID_ARGUMENT")
        self._expect(b"\xff\xff", "INVALID_ARGUMENT")
        return 3

    def _give_up(self) -> int:
        """A call that is cancelled at once, and one whose deadline is very near."""
        self._call[PREDICT].future(prediction("slow")).cancel()
        future = self._call[PREDICT].future(prediction("slow"), timeout=0.001)
        future.exception()
        self.unsure += 2
        return 2

    def _ask_on_stream(self) -> int:
        n_requests = self._random.randint(1, 20)
        bodies = [prediction("m" if number % 5 else "nobody") for number in range(n_requests)]
        for number, body in enumerate(self._stream(iter(bodies), timeout=_PATIENCE_S)):
            answer = StreamPredictResponse.FromString(body)
            code = StatusCode.Name(answer.failure.code).removeprefix("STATUS_CODE_")
            assert code == ("OK" if number % 5 else "NOT_FOUND"), code
            self.ended[code] += 1
        assert number + 1 == n_requests
        return n_requests

    def close(self) -> None:
        self._channel.close()


@pytest.mark.timeout(3_600)
def test_a_long_time_of_everything(make_bundle, start_server, scaled, record, tmp_path):
    make_bundle("m/1")
    make_bundle("slow/1", "slow")
    for number in range(2):
        make_bundle(f"../other/{number}", threshold={"value": 0.7 + number / 10})
    others = itertools.cycle(
        [(tmp_path / "other" / str(number) / "model.onnx").read_bytes() for number in range(2)]
    )
    server = start_server("--model-poll-interval-s", "0.05")
    n_requests, n_reloads, n_callers = scaled((3_000, 12, 4), (540_000, 1_000, 4))
    callers = [Caller(server.target, seed) for seed in range(n_callers)]
    errors: list[BaseException] = []

    def run(caller: Caller, share: int) -> None:
        try:
            caller.ask(share)
        except BaseException as error:  # noqa: BLE001  raised in the test's thread
            errors.append(error)

    def ask(n_requests: int, n_reloads: int) -> None:
        threads = [threading.Thread(target=run, args=(caller, n_requests // n_callers)) for caller in callers]
        for thread in threads:
            thread.start()
        for _ in range(n_reloads):
            reload(server, tmp_path / "models/m/1/model.onnx", next(others))
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    ask(n_requests // 4, n_reloads // 4)  # caches fill, pools grow
    ask(n_requests // 4, n_reloads // 4)
    halfway = settled(server)
    ask(n_requests // 2, n_reloads // 2)
    for caller in callers:
        caller.close()
    wait_for(lambda: metric(server, "tamiz_requests_in_flight") == 0, "all that was received has ended")
    end = settled(server)
    account_for_all(server, callers)
    grown_bytes = end.rss_bytes - halfway.rss_bytes
    assert grown_bytes <= 10e6, f"{grown_bytes / 1e6:.1f} MB were taken in the second half and not given back"
    assert end.n_threads <= halfway.n_threads + 1, (halfway, end)
    assert end.n_fds <= halfway.n_fds, (halfway, end)
    record(
        "Soak",
        "calls, streams, Open Inference Protocol, errors, cancellations and deadlines by four callers, with"
        f" {n_reloads:,} reloads",
        int(metric(server, "tamiz_requests_received_total")),
        lost=0,
        seen=f"memory grew by {max(0.0, grown_bytes / 1e6):.1f} MB in the second half"
        f" ({end.rss_bytes / 1e6:.0f} MB in the"
        f" end); no thread or file more; the server counted what the callers counted",
    )


def reload(server, path: Path, content: bytes) -> None:
    """Put another bundle in a version's place, and wait until it is served."""
    loads = metric(server, "tamiz_model_loads_total", model="m", result="loaded")
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
    wait_for(
        lambda: metric(server, "tamiz_model_loads_total", model="m", result="loaded") == loads + 1,
        "it is loaded",
        60,
    )


def settled(server) -> Footprint:
    """The footprint once it does not fall any more: threads of a pool leave it after a while."""
    seen = [Footprint.of(server)]
    for _ in itertools.repeat(None, 30):
        time.sleep(0.2)
        seen.append(Footprint.of(server))
        if len(seen) > 5 and seen[-1][1:] == seen[-5][1:]:
            break
    return seen[-1]


def account_for_all(server, callers: list[Caller]) -> None:
    """What each side counted is the same, but for calls that were given up, of which some never arrived."""
    ended = sum((caller.ended for caller in callers), Counter())
    unsure = sum(caller.unsure for caller in callers)
    received = metric(server, "tamiz_requests_received_total")
    counted = metric(server, "tamiz_requests_total") + metric(server, "tamiz_requests_unloaded_total")
    assert received == counted
    given_up = metric(server, "tamiz_requests_total", model="slow")
    assert received - given_up == ended.total()
    assert given_up <= unsure
    for code, count in ended.items():
        other = metric(server, "tamiz_requests_total", model="slow", code=code)
        assert metric(server, "tamiz_requests_total", code=code) - other == count, code
    assert metric(server, "tamiz_queue_rows") == metric(server, "tamiz_streams_open") == 0
