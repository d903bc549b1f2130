"""A port that cannot be listened on: which flag, why, and what to do."""

from __future__ import annotations

import socket

import pytest

from tamiz_server.errors import ConfigError
from tamiz_server.transports.pages import PageServer
from tamiz_server.transports.ports import try_port


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
