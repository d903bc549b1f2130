"""`tamiz-server health` against real servers: what a container platform asks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing

import grpc
import pytest

from tamiz_server.health_command import _reached_at

ALIVE = b"\x0a\x15grpc.health.v1.Health"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def ask(tmp_path, *flags, **variables):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TAMIZ_")}
    return subprocess.run(
        [sys.executable, "-m", "tamiz_server", "health", *flags],
        env=environment | {"TAMIZ_MODEL_REPOSITORY": str(tmp_path / "models"), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_it_says_nothing_of_a_server_that_serves_and_why_of_one_that_does_not(
    make_bundle, start_server, tmp_path
):
    make_bundle("m/1")
    server = start_server("--drain-delay-s", "60")
    port = str(server.metrics_port)
    by_flag, by_variable = ask(tmp_path, "--metrics-port", port), ask(tmp_path, TAMIZ_METRICS_PORT=port)
    assert by_flag.returncode == by_variable.returncode == 0, by_flag.stderr
    assert by_flag.stdout == by_flag.stderr == ""

    server.process.send_signal(signal.SIGTERM)
    while ask(tmp_path, "--metrics-port", port).returncode == 0:
        pass
    stopping = ask(tmp_path, "--metrics-port", port)
    assert stopping.returncode == 1
    assert stopping.stderr == f"tamiz-server: /healthz at 127.0.0.1, port {port} says NOT_SERVING (503)\n"
    assert server.stop() == 0

    gone = ask(tmp_path, "--metrics-port", port)
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"tamiz-server: /healthz at 127.0.0.1, port {port} does not answer (")


def test_another_server_on_the_port_is_not_taken_for_one_that_serves(tmp_path):
    (tmp_path / "models").mkdir()
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        port = mute.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "tamiz_server", "health", "--metrics-port", str(port)],
            env=os.environ | {"TAMIZ_MODEL_REPOSITORY": str(tmp_path / "models")},
            stderr=subprocess.PIPE,
            text=True,
        )
        with closing(mute.accept()[0]) as connection:
            connection.sendall(b"SSH-2.0\r\n")
        assert "does not answer" in process.communicate(timeout=30)[1]
        assert process.returncode == 1


def test_it_needs_no_repository_and_says_whom_to_ask_about_one_model(make_bundle, start_server, tmp_path):
    make_bundle("m/1")
    server = start_server()
    port = str(server.metrics_port)
    assert ask(tmp_path, TAMIZ_MODEL_REPOSITORY="", TAMIZ_METRICS_PORT=port).returncode == 0
    assert ask(tmp_path, TAMIZ_MODEL_REPOSITORY="/nowhere", TAMIZ_METRICS_PORT=port).returncode == 0
    named = ask(tmp_path, "m", TAMIZ_METRICS_PORT=port)
    assert named.returncode == 2
    assert "unrecognized arguments: m" in named.stderr
    assert "tamiz-client health NAME" in named.stderr


def test_settings_that_do_not_say_where_the_server_is_are_an_error(tmp_path):
    (tmp_path / "models").mkdir()
    done = ask(tmp_path, "--metrics-port", "0")
    assert done.returncode == 1
    assert (
        done.stderr
        == "tamiz-server: --metrics-port is 0: expected the port that the server took; its log names it\n"
    )


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")],
)
def test_a_server_on_all_addresses_is_reached_on_this_machine(host, reached_at):
    assert _reached_at(host) == reached_at


def test_a_server_without_a_model_lives_but_does_not_serve(start_server, tmp_path):
    (tmp_path / "models").mkdir()
    server = start_server()
    with grpc.insecure_channel(server.target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(ALIVE, timeout=5) == SERVING
        assert check(b"", timeout=5) == NOT_SERVING
    assert ask(tmp_path, "--metrics-port", str(server.metrics_port)).returncode == 1
    assert server.stop() == 0
