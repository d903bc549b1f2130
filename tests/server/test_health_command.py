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

from tamiz_client import Client
from tamiz_server.errors import ConfigError
from tamiz_server.health_command import whom_to_ask

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


def test_it_is_not_kept_from_asking_by_other_settings_of_the_server():
    config = whom_to_ask(
        ["--metrics-tls", "--max-batch-size", "none", "--metrics-port", "8001"],
        {"TAMIZ_GRPC_PORT": "x", "TAMIZ_TLS_KEY": "/nowhere", "TAMIZ_GRPC_PROT": "1", "TAMIZ_HOST": "::"},
    )
    assert (config.pages_host, config.metrics_port, config.metrics_tls) == ("::", 8001, True)
    with pytest.raises(ConfigError, match="TAMIZ_METRICS_PORT is 'x'"):
        whom_to_ask([], {"TAMIZ_METRICS_PORT": "x"})


@pytest.fixture
def proc(tmp_path):
    """`proc(init, *processes)` writes a folder like /proc: a command line and variables for each process."""

    def write(init, *processes):
        for number, (command, variables) in enumerate([(init, IMAGE), *processes], 1):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "comm").write_text(command.split(" ")[0] + "\n")
            (folder / "cmdline").write_bytes(b"".join(each.encode() + b"\0" for each in command.split(" ")))
            pairs = (f"{name}={value}\0" for name, value in variables.items())
            (folder / "environ").write_text("".join(pairs))
        return tmp_path

    return write


SERVER = "/opt/tamiz/bin/python3 /opt/tamiz/bin/tamiz-server --metrics-port 9002"
IMAGE = {"TAMIZ_HOST": "0.0.0.0", "TAMIZ_MODEL_REPOSITORY": "/models"}


@pytest.mark.parametrize(
    ("init", "processes"),
    [
        (SERVER, []),
        ("tini -- tamiz-server --metrics-port 9002", [(SERVER, IMAGE)]),
        ("sh", [(SERVER, IMAGE), (SERVER.replace("tamiz-server", "tamiz-server health"), {})]),
        ("sh", [(SERVER, IMAGE), ("tamiz-server --metrics-port 0", {})]),
        ("sleep", [("python -m tamiz_server", {"TAMIZ_METRICS_PORT": "9002", "TAMIZ_MAX_RUN_S": "x"})]),
        ("python -X dev -m tamiz_server --metrics-port=9002 --no-reflection", []),
    ],
)
def test_in_a_container_it_finds_the_server_whose_port_it_was_not_told(proc, init, processes):
    assert whom_to_ask([], IMAGE, proc(init, *processes)).metrics_port == 9002


@pytest.mark.parametrize(
    ("init", "processes", "argv", "variables"),
    [
        ("systemd", [(SERVER, {})], [], {}),  # not a container: the server may be another one
        ("sh", [("tamiz-client models", {}), ("python -m tamiz_server.model.trial", {})], [], {}),
        (SERVER, [], ["--metrics-port", "8002"], {}),
        (SERVER, [], [], {"TAMIZ_METRICS_PORT": "8002"}),
    ],
)
def test_otherwise_it_asks_where_flags_and_variables_say(proc, init, processes, argv, variables):
    assert whom_to_ask(argv, IMAGE | variables, proc(init, *processes)).metrics_port == 8002


def test_it_does_not_guess_among_several_servers(proc):
    found = proc("sh", (SERVER, IMAGE), ("tamiz-server", {}))
    with pytest.raises(ConfigError, match=r"\(0.0.0.0:9002, 127.0.0.1:8002\): name one with --metrics-port"):
        whom_to_ask([], {}, found)


def test_server_client_and_health_check_meet_at_sockets(make_bundle, start_server, tmp_path):
    make_bundle("m/1")
    folder = tmp_path / "run"
    folder.mkdir()
    grpc_socket, pages_socket = folder / "grpc.sock", folder / "pages.sock"
    for path in (grpc_socket, pages_socket):  # as a killed server leaves them
        with closing(socket.socket(socket.AF_UNIX)) as left:
            left.bind(str(path))
    flags = ("--host", f"unix:{grpc_socket}", "--metrics-host", f"unix:{pages_socket}")
    server = start_server(*flags)
    assert f"gRPC on unix:{grpc_socket}, metrics on unix:{pages_socket}" in server.log[-1]
    assert not [line for line in server.log if "plain text" in line]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o660}
    with Client(f"unix:{grpc_socket}") as client:
        assert client.models() == {"m": [1]}
    assert ask(tmp_path, *flags).returncode == 0
    again = subprocess.run(
        [sys.executable, "-m", "tamiz_server", "--model-repository", tmp_path / "models", *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert again.stderr.count("\n") == 1
    assert "is another server running there? Stop it, or choose another path" in again.stderr
    assert ask(tmp_path, "--metrics-host", f"unix:{pages_socket}").returncode == 0
    assert server.stop() == 0
    assert not list(folder.iterdir())
    gone = ask(tmp_path, *flags)
    assert gone.stderr.startswith(f"tamiz-server: /healthz at unix:{pages_socket} does not answer (")


def test_a_server_on_all_addresses_is_reached_by_both_families(make_bundle, start_server, tmp_path):
    make_bundle("m/1")
    server = start_server("--host", "0.0.0.0")
    assert ask(tmp_path, "--host", "::", "--metrics-port", str(server.metrics_port)).returncode == 0
    for address in ("127.0.0.1", "::1"):
        for port in (server.port, server.metrics_port):
            socket.create_connection((address, port), 5).close()


def test_a_server_without_a_model_lives_but_does_not_serve(start_server, tmp_path):
    (tmp_path / "models").mkdir()
    server = start_server()
    with grpc.insecure_channel(server.target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(ALIVE, timeout=60) == SERVING
        assert check(b"", timeout=60) == NOT_SERVING
    assert ask(tmp_path, "--metrics-port", str(server.metrics_port)).returncode == 1
    assert server.stop() == 0
