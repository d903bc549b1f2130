"""A port that cannot be listened on: which flag, why, and what to do."""

from __future__ import annotations

import socket

import pytest

from tamiz_server.errors import ConfigError
from tamiz_server.transports.pages import PageServer
from tamiz_server.transports.ports import bound, listening, try_port


def test_a_free_port_stays_free():
    try_port("--grpc-port", "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    try_port("--grpc-port", "127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_taken_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError,
            match=rf"^--grpc-port: 127.0.0.1:{port} cannot be .*; is another server running there\?",
        ):
            try_port("--grpc-port", "127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_are_those_of_both_families(host):
    with bound(host, 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), 5).close()
        for other in ("0.0.0.0", "::", "127.0.0.1"):
            with pytest.raises(ConfigError, match="is another server running there"):
                try_port("--grpc-port", other, port)


def test_without_ipv6_all_addresses_are_those_of_ipv4(monkeypatch):
    monkeypatch.setattr(socket, "IPV6_V6ONLY", 10_000)  # the kernel knows no such option
    with bound("::", 0) as taken:
        assert taken.family == socket.AF_INET


def test_a_socket_that_nobody_listens_on_is_replaced_and_others_are_not(tmp_path):
    path = tmp_path / "grpc.sock"
    host = f"unix:{path}"
    bound(host, 0).close()  # as a killed server leaves it
    assert path.is_socket()
    with listening("--host", host, 0), bound(host, 0) as taken:
        assert path.stat().st_mode & 0o777 == 0o660
        taken.listen()
        with pytest.raises(ConfigError, match=rf"^--host: {host} cannot .*is another server running there\?"):
            try_port("--host", host, 0)
        assert path.is_socket()
    path.unlink()
    path.write_text("mine")
    with pytest.raises(ConfigError, match="there is a file of that name; choose another path"):
        try_port("--host", host, 0)
    assert path.read_text() == "mine"
    with pytest.raises(ConfigError, match=r"No such file or directory\); make the folder first"):
        try_port("--host", f"unix:{tmp_path}/nowhere/grpc.sock", 0)


def test_a_socket_whose_folder_is_not_there_is_the_fault_of_the_flag_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"^--metrics-host: .*; make the folder first"):
        PageServer(f"unix:{tmp_path}/nowhere/metrics.sock", 8002, {})


@pytest.mark.parametrize(
    "listen",
    [lambda host: try_port("--metrics-port", host, 0), lambda host: PageServer(host, 0, {})],
    ids=["gRPC", "pages"],
)
def test_an_address_of_another_machine_is_not_called_a_taken_port(listen):
    with pytest.raises(
        ConfigError, match=r"^--metrics-port: 192.0.2.1:0 .*; this machine does not have that"
    ):
        listen("192.0.2.1")
