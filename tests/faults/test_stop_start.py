"""Servers that are stopped, killed and restarted under load: no accepted request is lost, all restart."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tests.asking import metric, page, wait_for
from tests.server_process import free_port

from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, StreamPredictResponse, Tensor
from tamiz_client import AsyncClient, CallFailed, Client, Result

from .http2 import END_HEADERS, HEADERS, Connection, call_headers, frame, message, prediction

PREDICT = "/tamiz.v1.PredictionService/Predict"
STREAM = "/tamiz.v1.PredictionService/StreamPredict"
ROW = np.array([[0, 3]], dtype="<f4")
RAW = ROW.tobytes()


def body(id_: str = "") -> bytes:
    tensor = Tensor(name="features", dtype=11, shape=[1, 2], raw=RAW)
    return PredictRequest(model_name="m", inputs=[tensor], id=id_).SerializeToString()


def ask_until_refused(target: str, told: Counter[str]) -> None:
    with grpc.insecure_channel(target, [("grpc.enable_retries", 0)]) as channel:
        call = channel.unary_unary(PREDICT)
        while True:
            try:
                assert list(PredictResponse.FromString(call(body(), timeout=30)).accepted) == [True]
            except grpc.RpcError as error:
                told[error.code().name] += 1
                return
            told["OK"] += 1


def stream_until_ended(target: str, told: Counter[str]) -> None:
    """Send on one stream until the server ends it; the answers are those to the first requests, without a
    gap.
    """
    ended = threading.Event()

    def bodies() -> Iterator[bytes]:
        n_sent = 0
        while not ended.is_set():
            yield body(str(n_sent))
            n_sent += 1

    with grpc.insecure_channel(target, [("grpc.enable_retries", 0)]) as channel:
        n_answers = 0
        try:
            for each in channel.stream_stream(STREAM)(bodies()):
                answer = StreamPredictResponse.FromString(each)
                assert answer.id == str(n_answers), "an answer was lost"
                assert list(answer.response.accepted) == [True], answer
                n_answers += 1
        except grpc.RpcError as error:
            told[error.code().name] += 1
        finally:
            ended.set()
            told["OK"] += n_answers


def test_sigterm_at_full_load_leaves_no_accepted_request_unanswered(
    make_bundle, start_server, scaled, record
):
    make_bundle("m/1", "slow")
    times, n_answered = scaled(2, 20), 0
    for turn in range(times):
        server = start_server("--drain-delay-s", str(0.2 * (turn % 2)))
        tallies = [Counter() for _ in range(12)]
        asks = [ask_until_refused] * 8 + [stream_until_ended] * 4
        threads = [
            threading.Thread(target=ask, args=(server.target, tally))
            for ask, tally in zip(asks, tallies, strict=True)
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda tallies=tallies: sum(tally["OK"] for tally in tallies) > 50)
        assert server.stop() == 0
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a caller was left waiting"
        told = sum(tallies, Counter())
        said = re.search(r"stopped: (\d+) requests received, (\d+) answered", server.log[-1])
        assert said, server.log[-1]
        assert int(said[1]) == int(said[2]) == told["OK"]
        assert set(told) <= {"OK", "UNAVAILABLE", "CANCELLED"}, told
        n_answered += told["OK"]
    record(
        "Stop and start",
        "SIGTERM at full load, single requests and streams",
        times,
        lost=0,
        seen=f"all {n_answered:,} requests that were received were answered, and their callers got the"
        f" answers",
    )


def test_a_stream_that_nobody_reads_costs_no_other_caller_its_answer_at_the_stop(
    make_bundle, start_server, record
):
    make_bundle("m/1", "slow")
    make_bundle("a/1")
    server = start_server("--drain-delay-s", "0", "--drain-timeout-s", "12")
    requests = message(prediction("a", n_rows=1_000, return_probabilities=True))  # the queue holds 16 of them
    tallies = [Counter() for _ in range(8)]
    threads = [threading.Thread(target=ask_until_refused, args=(server.target, tally)) for tally in tallies]
    with Connection(server.port, initial_window_size=1) as unread:
        unread.send(frame(HEADERS, END_HEADERS, 1, call_headers(STREAM)))
        while unread.data(1, requests, within_s=0.3):
            pass
        for thread in threads:
            thread.start()
        wait_for(lambda: sum(tally["OK"] for tally in tallies) > 50)
        assert server.stop() == 0
        for thread in threads:
            thread.join(30)
    told = sum(tallies, Counter())
    said = re.search(r"stopped: (\d+) requests received, (\d+) answered", server.log[-1])
    assert int(said[1]) == int(said[2]), "a request that was in flight was cut off"
    assert set(told) <= {"OK", "UNAVAILABLE", "CANCELLED"}, told
    record(
        "Stop and start",
        "SIGTERM under load, beside a stream whose caller takes no answers",
        1,
        lost=0,
        seen=f"the stream was ended, and all {told['OK']:,} single requests that were received were answered",
    )


def roll(servers: list, ports: list[int], start_server: Callable[..., object]) -> None:
    """Replace one server after the other on its port, as an orchestrator does: the next goes when the new one
    is ready.
    """
    for place, port in enumerate(ports):
        assert servers[place].stop() == 0
        servers[place] = start_server("--grpc-port", str(port), "--drain-delay-s", "0.5")
        time.sleep(1.5)  # what a readiness probe and the removal of the next one take at least


class Asking:
    """Callers that ask on and on, through one client, until `stop`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.stop = threading.Event()
        self.failures: list[CallFailed] = []
        self.n_answers = 0

    def threads(self) -> None:
        def caller(client: Client) -> None:
            while not self.stop.is_set():
                try:
                    self.take(client.predict("m", ROW))
                except CallFailed as error:
                    self.failures.append(error)

        with Client(self.target) as client:
            callers = [threading.Thread(target=caller, args=(client,)) for _ in range(4)]
            for each in callers:
                each.start()
            for each in callers:
                each.join()

    def asyncio(self) -> None:
        async def caller(client: AsyncClient) -> None:
            while not self.stop.is_set():
                try:
                    self.take(await client.predict("m", ROW))
                except CallFailed as error:
                    self.failures.append(error)

        async def ask() -> None:
            async with AsyncClient(self.target) as client:
                await asyncio.gather(*(caller(client) for _ in range(8)))

        asyncio.run(ask())

    def take(self, result: Result) -> None:
        assert result.accepted.tolist() == [True]
        self.n_answers += 1


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_clients_of_two_servers_see_no_error_while_both_are_replaced(
    make_bundle, start_server, scaled, record, kind
):
    make_bundle("m/1")
    ports = [free_port(), free_port()]
    servers = [start_server("--grpc-port", str(port), "--drain-delay-s", "0.5") for port in ports]
    asking, times = Asking("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)), scaled(1, 10)
    thread = threading.Thread(target=getattr(asking, kind))
    thread.start()
    try:
        wait_for(lambda: asking.n_answers > 100)
        for _ in range(times):
            roll(servers, ports, start_server)
        for server in servers:  # calls go round both again
            wait_for(lambda server=server: metric(server, "tamiz_requests_received_total") > 0)
    finally:
        asking.stop.set()
        thread.join()
    assert not asking.failures, asking.failures[:3]
    for server in servers:
        assert server.stop() == 0
    record(
        "Stop and start",
        f"two servers replaced one after the other under a client ({kind})",
        2 * times,
        lost=0,
        seen=f"{asking.n_answers:,} calls, not one error",
    )


@pytest.mark.parametrize("how", ["a second signal", "the end of the grace period"])
def test_a_model_that_never_ends_does_not_hold_up_the_stop(make_bundle, start_server, how):
    make_bundle("m/1", "stuck")
    grace_s = "1" if how == "the end of the grace period" else "60"
    server = start_server("--inline-limit-us", "0", "--drain-timeout-s", grace_s)
    codes = []

    def ask() -> None:
        request = PredictRequest(model_name="m")
        raw = np.array([[0, 1e12]], dtype="<f4").tobytes()
        request.inputs.add(name="features", dtype=11, shape=[1, 2], raw=raw)
        with grpc.insecure_channel(server.target, [("grpc.enable_retries", 0)]) as channel:
            try:
                channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=60)
            except grpc.RpcError as error:
                codes.append(error.code().name)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: metric(server, "tamiz_requests_in_flight") == 1)
    server.process.send_signal(signal.SIGTERM)
    if how == "a second signal":
        wait_for(lambda: any("stopping:" in line for line in server.log))
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(50) == 0
    thread.join(30)
    assert codes
    assert codes[0] in {"UNAVAILABLE", "CANCELLED"}, "the caller has to learn that there will be no answer"


def test_after_sigkill_a_server_starts_on_the_same_ports_and_answers(
    make_bundle, start_server, scaled, record
):
    make_bundle("m/1")
    port, metrics_port, times = free_port(), free_port(), scaled(2, 20)
    with Client(f"127.0.0.1:{port}") as client:
        for _ in range(times):
            server = start_server("--grpc-port", str(port), "--metrics-port", str(metrics_port))
            client.wait_until_ready()
            callers = [
                threading.Thread(target=ask_until_refused, args=(server.target, Counter())) for _ in range(4)
            ]
            for each in callers:
                each.start()
            assert client.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
            server.process.kill()
            server.process.wait()
            for each in callers:
                each.join(30)
                assert not each.is_alive()
    record(
        "Stop and start",
        "SIGKILL under load, and a start on the same ports",
        times,
        lost=0,
        seen="the next server took the ports at once and answered, and clients found it again",
    )


def spoil(bundle: Path) -> None:
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 0xFF
    bundle.write_bytes(content)


def test_one_bad_model_of_three_leaves_two_served_and_is_named_everywhere(make_bundle, start_server, record):
    for name in ("a", "bad", "m"):
        bundle = make_bundle(f"{name}/1")
        if name == "bad":
            spoil(bundle)
    server = start_server()
    log = "".join(server.log)
    assert "model bad version 1 is not served" in log
    assert "ready: serving a/1, m/1" in log
    assert "not loaded: bad/1" in page(server, "/healthz")
    metrics = page(server)
    assert 'tamiz_model_loads_total{model="bad",result="failed"} 1.0' in metrics
    assert 'tamiz_reload_failed{model="bad",what="1"} 1.0' in metrics
    assert 'tamiz_model_served{model="bad"' not in metrics
    with Client(server.target) as client:
        assert (client.health("a"), client.health("m"), client.health("bad")) == (True, True, False)
        for name in ("a", "m"):
            assert client.predict(name, np.array([[0.0, 3.0]])).accepted.tolist() == [True]
        with pytest.raises(CallFailed):
            client.predict("bad", np.array([[0.0, 3.0]]))
    assert server.stop() == 0
    record(
        "Stop and start",
        "a start with one spoilt model of three",
        1,
        lost=0,
        seen="two were served; the third was named in log, metrics and /healthz, and its health was not"
        " SERVING",
    )


def test_a_start_with_nothing_but_bad_models_stays_up_and_serves_what_is_mended(
    make_bundle, start_server, tmp_path
):
    for name in ("a", "m"):
        spoil(make_bundle(f"{name}/1"))
    server = start_server("--model-poll-interval-s", "0.1")
    assert "no model is served" in "".join(server.log)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/healthz")
    said = refused.value.read().decode().splitlines()
    assert said == ["NOT_SERVING", *(f"not loaded: {each}/1; the log says why" for each in "am")]
    with Client(server.target) as client:
        assert not client.health()
        make_bundle("m/2")
        wait_for(client.health)
        assert client.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
    assert server.stop() == 0


def test_sigterm_while_models_are_loaded_ends_the_server_soon(make_bundle, tmp_path, scaled, record):
    make_bundle("m/1")
    make_bundle("z/1", "never warm")
    times = scaled(2, 20)
    for turn in range(times):
        metrics_port = free_port()
        command = [sys.executable, "-m", "tamiz_server", "--grpc-port", "0", "--drain-delay-s", "60"]
        command += ["--metrics-port", str(metrics_port), "--model-repository", str(tmp_path / "models")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(lambda port=metrics_port: says_not_serving(port))
            time.sleep(0.3 * (turn % 4))
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, log
        assert "stopped before the models were loaded" in log
        assert "ready" not in log
    record(
        "Stop and start",
        "SIGTERM while models are loaded",
        times,
        lost=0,
        seen="the server ended within seconds, though a model's warm-up would have taken for ever",
    )


def says_not_serving(metrics_port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/healthz", timeout=5)
    except urllib.error.HTTPError as error:
        return error.code == 503
    except OSError:
        return False
    raise AssertionError("it says that it is serving, and has not loaded all models")


def test_sigterm_while_a_version_is_loaded_beside_the_others_answers_what_was_accepted(
    make_bundle, start_server
):
    make_bundle("m/1", "slow")
    server = start_server("--model-poll-interval-s", "0.1", "--drain-delay-s", "0.3")
    make_bundle("m/2", "never warm")
    told: Counter[str] = Counter()
    callers = [threading.Thread(target=ask_until_refused, args=(server.target, told)) for _ in range(4)]
    for each in callers:
        each.start()
    time.sleep(1.5)  # by now the second version is being loaded: a look takes a tenth of a second
    assert server.stop() == 0
    for each in callers:
        each.join(30)
    assert set(told) <= {"OK", "UNAVAILABLE", "CANCELLED"}
    said = next(line for line in server.log if "stopped:" in line)
    received, answered = map(int, re.search(r"(\d+) requests received, (\d+) answered", said).groups())
    assert received == answered == told["OK"]
