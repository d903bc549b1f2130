"""A server that stops answers all requests that it has accepted."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from grpc import aio
from tests.asking import wait_for

from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, Tensor
from tamiz_client import Client

PREDICT = "/tamiz.v1.PredictionService/Predict"
BODY = PredictRequest(
    model_name="m",
    inputs=[Tensor(name="features", dtype=11, shape=[1, 2], raw=np.array([[0, 3]], dtype="<f4").tobytes())],
).SerializeToString()


async def load_until_refused(target: str, *, callers: int = 24) -> tuple[int, list[str]]:
    """Ask from many callers without retries until the server is gone; return answers and the
    failures' codes.
    """
    answered, failures = 0, []
    channel = aio.insecure_channel(target, options=[("grpc.enable_retries", 0)])
    call = channel.unary_unary(PREDICT)

    async def caller() -> None:
        nonlocal answered
        while True:
            try:
                answer = PredictResponse.FromString(await call(BODY, timeout=60))
            except grpc.RpcError as error:
                failures.append(f"{error.code().name}: {error.details()}")
                return
            assert list(answer.accepted) == [True]
            answered += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    await channel.close()
    return answered, failures


@pytest.mark.parametrize("graph", ["softmax", "slow"])
async def test_sigterm_under_load_loses_no_accepted_request(make_bundle, start_server, graph):
    make_bundle("m/1", graph)
    server = start_server("--drain-delay-s", "0.5")
    load = asyncio.ensure_future(load_until_refused(server.target))
    await asyncio.sleep(1.0)
    server.process.send_signal(signal.SIGTERM)
    answered, failures = await load
    assert server.stop() == 0
    assert answered > 50
    received, sent = map(
        int, re.search(r"stopped: (\d+) requests received, (\d+) answered", server.log[-1]).groups()
    )
    assert received == sent == answered
    # The others were refused by the transport before they reached the service, when it took no new calls any
    # more.
    assert {failure.partition(":")[0] for failure in failures} <= {"UNAVAILABLE", "CANCELLED"}, failures


def test_while_draining_health_says_so_and_requests_are_still_answered(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server("--drain-delay-s", "60")
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(PREDICT)
        call(BODY, timeout=60)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"", timeout=60) == b"\x08\x02"
        assert PredictResponse.FromString(call(BODY, timeout=60)).accepted == [True]
    assert server.stop() == 0  # the second signal


def test_a_second_signal_stops_at_once(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server("--drain-delay-s", "60")
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    started_s = time.monotonic()
    assert server.stop(40) == 0
    assert time.monotonic() - started_s < 30


def test_signals_of_those_who_rotate_logs_end_nothing(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
        server.process.send_signal(number)
    wait_for(
        lambda: sum("means nothing to this server" in line for line in server.log) >= 2, "a line for each", 60
    )
    with grpc.insecure_channel(server.target) as channel:
        assert PredictResponse.FromString(channel.unary_unary(PREDICT)(BODY, timeout=60)).accepted == [True]
    assert server.stop() == 0


def test_sigint_does_not_wait_for_load_balancers(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server("--drain-delay-s", "60")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(40) == 0


def metrics(server) -> str:
    return urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics").read().decode()


def test_sigint_leaves_requests_in_flight_their_time(make_bundle, start_server):
    make_bundle("m/1", "slower")
    server = start_server("--drain-delay-s", "60", "--intra-op-threads", "1")
    with Client(server.target, timeout_s=60) as client, ThreadPoolExecutor() as pool:
        rows = np.tile([[0.0, 3.0]], (300, 1))
        answer = pool.submit(client.predict, "m", rows)
        while "tamiz_requests_in_flight 1.0" not in metrics(server):
            time.sleep(0.01)
        server.process.send_signal(signal.SIGINT)
        assert len(answer.result(60)) == len(rows)
    assert server.process.wait(60) == 0


SIGNALED = """
import os, sys
from tamiz_server.__main__ import main
assert not {"argparse", "asyncio", "grpc"} & sys.modules.keys()
class Finder:
    def find_spec(name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))
sys.meta_path.insert(0, Finder)
sys.exit(main(sys.argv[3:]))
"""
"""Starts a server that gets a signal when it imports a module."""


@pytest.mark.parametrize(
    ("moment", "number", "flags", "status"),
    [
        ("tamiz_server.command_line", signal.SIGTERM, [], 0),
        ("asyncio", signal.SIGINT, [], 0),
        ("tamiz_server.app", signal.SIGTERM, [], 0),
        ("onnxruntime", signal.SIGINT, [], 0),
        ("asyncio", signal.SIGHUP, ["--grpc-port", "x"], 1),  # it starts as if there had been no signal
        ("asyncio", signal.SIGUSR1, ["--grpc-port", "x"], 1),
        ("asyncio", signal.SIGTERM, ["health"], -signal.SIGTERM),  # 0 would mean that a server is serving
    ],
)
def test_a_server_that_still_imports_its_libraries_heeds_signals(tmp_path, moment, number, flags, status):
    repository = [] if flags == ["health"] else ["--model-repository", str(tmp_path)]
    command = [sys.executable, "-c", SIGNALED, moment, str(int(number)), *flags, *repository]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == (status == 1)


def run_server(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tamiz_server", *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_wrong_settings_are_one_line_and_status_1(tmp_path):
    for flags, words in (
        (["--model-repository", str(tmp_path / "nowhere")], "nowhere': expected a folder of bundles"),
        (
            ["--model-repository", str(tmp_path), "--grpc-port", "x"],
            "--grpc-port is 'x': expected a whole number",
        ),
        ([], "--model-repository is missing"),
    ):
        done = run_server(*flags)
        assert done.returncode == 1
        assert done.stderr.startswith("tamiz-server: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr


@pytest.mark.parametrize("flag", ["--grpc-port", "--metrics-port"])
def test_a_port_that_is_taken_is_named(make_bundle, start_server, tmp_path, flag):
    make_bundle("m/1")
    server = start_server()
    taken = {"--grpc-port": server.port, "--metrics-port": server.metrics_port}[flag]
    other = {"--grpc-port": "--metrics-port", "--metrics-port": "--grpc-port"}[flag]
    done = run_server("--model-repository", str(tmp_path / "models"), flag, str(taken), other, "0")
    assert done.returncode == 1
    assert f"tamiz-server: {flag}: 127.0.0.1:{taken} cannot be listened on" in done.stderr
    assert server.stop() == 0


def test_a_repository_without_a_model_is_served_as_not_serving(start_server, tmp_path):
    (tmp_path / "models").mkdir()
    server = start_server()
    path = tmp_path / "models"
    assert f"no model is served: {path} is empty; watching it every 2 s; gRPC on" in "".join(server.log)
    with grpc.insecure_channel(server.target) as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60) == b"\x08\x02"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(PREDICT)(BODY, timeout=60)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert server.stop() == 0
