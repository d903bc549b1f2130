"""A log that nobody reads, or that cannot be written, costs log lines and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys

import grpc
import pytest
from tests.asking import answers_right, metric
from tests.server_process import ServerProcess, free_port

from tamiz.v1.prediction_pb2 import PredictRequest
from tamiz_client import Client

from .http2 import END_HEADERS, END_STREAM, HEADERS, Connection, field, frame


def start_unread(repository, *flags) -> ServerProcess:
    """A server whose log is read until it is ready, and never again."""
    server = ServerProcess.start(repository, *flags)
    assert server.process.stderr is not None
    for line in server.process.stderr:
        if ports := re.search(r"gRPC on \S+:(\d+), metrics on \S+:(\d+)/", line):
            server.port, server.metrics_port = map(int, ports.groups())
            return server
    raise AssertionError("the server did not say that it is ready")


@pytest.mark.parametrize("way", ["failed requests", "every request"])
def test_a_log_that_nobody_reads_stops_neither_answers_nor_the_stop(tmp_path, make_bundle, record, way):
    make_bundle("m/1")
    flags = ("--access-log-share", "1", "--log-format", "json") if way == "every request" else ()
    server = start_unread(tmp_path / "models", *flags)
    try:
        right = PredictRequest(model_name="m").inputs
        right.add(name="features", dtype=11, shape=[1, 2], raw=bytes(8))
        request = PredictRequest(model_name="m" if flags else "nobody", inputs=right)
        n_sent = 0
        with grpc.insecure_channel(server.target) as channel:
            predict = channel.unary_unary("/tamiz.v1.PredictionService/Predict")
            while metric(server, "tamiz_log_lines_dropped_total") == 0:
                calls = [predict.future(request.SerializeToString(), timeout=30) for _ in range(500)]
                codes = {call.code().name for call in calls}
                assert codes == ({"OK"} if flags else {"NOT_FOUND"})
                n_sent += len(calls)
                assert n_sent < 100_000, "the log lost nothing"
                if not flags and n_sent >= 2_000:  # lines of one kind are limited to 50 per second
                    break
        answers_right(server.target)
        assert server.stop() == 0
    finally:
        server.end()
    record(
        "Clients and connections",
        f"standard error that nobody reads, under {way}",
        n_sent,
        lost=0,
        seen="all callers were answered, lines were dropped and counted, and SIGTERM ended the server",
    )


def test_a_closed_standard_error_is_no_reason_not_to_serve(tmp_path, make_bundle):
    make_bundle("m/1")
    port = free_port()
    command = [sys.executable, "-m", "tamiz_server", "--grpc-port", str(port), "--metrics-port", "0"]
    command += ["--model-repository", str(tmp_path / "models"), "--drain-delay-s", "0"]
    closing = f"import os; os.close(2); os.execv({sys.executable!r}, {command!r})"
    process = subprocess.Popen([sys.executable, "-c", closing])
    try:
        with Client(f"127.0.0.1:{port}") as client:
            client.wait_until_ready(60)
        answers_right(f"127.0.0.1:{port}")
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_what_grpc_prints_about_a_callers_oddities_is_limited_and_framed(make_bundle, start_server, record):
    make_bundle("m/1")
    server = start_server("--log-format", "json")
    n_before = len(server.log)
    odd = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "l"), ("te", "nonsense")]
    headers = b"".join(field(*each) for each in [*odd, *[("grpc-encoding", f"bad{n}") for n in range(40)]])
    n_calls = 3_000
    with Connection(server.port) as caller:
        for number in range(n_calls):
            caller.send(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, headers))
        answers_right(server.target)
    assert server.stop() == 0
    said = server.log[n_before:]
    assert all(line.startswith("{") for line in said)
    assert any("tamiz_server.libraries" in line for line in said)
    assert len(said) < 300
    record(
        "Clients and connections",
        "calls that make gRPC's C++ core print a stack of lines each",
        n_calls,
        lost=0,
        seen=f"{len(said)} log lines, each a JSON object",
    )
