"""Which addresses a client accepts, and its errors for the others."""

from __future__ import annotations

import pytest

from tamiz_client import Client, TamizClientError
from tamiz_client.address import checked_address


@pytest.mark.parametrize(
    "target",
    [
        "localhost:8001",
        "10.0.0.1:1",
        "churn.models.svc.cluster.local:65535",
        "[::1]:8001",
        "dns:///churn:8001",
        "ipv4:10.0.0.1:8001,10.0.0.2:8001",
        "unix:/run/tamiz.sock",
    ],
)
def test_what_grpc_understands_is_taken_as_it_is(target):
    assert checked_address(target) == target


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://models:9000", r"leave out 'http://' and write host:port, such as models:9000$"),
        (
            "https://models:9000/",
            r"leave out 'https://' .*models:9000; for TLS add tls=TlsOptions\(\), or --tls$",
        ),
        ("grpc://", "leave out 'grpc://' and write host:port, such as localhost:8001"),
        ("localhost:8001/", "leave out the slash and what follows it"),
        ("localhost:8001/v1", "leave out the slash and what follows it"),
        ("localhost", "the port is missing; write host:port, such as localhost:8001"),
        ("", "the port is missing"),
        ("8001", "the host is missing; write host:port, such as localhost:8001"),
        (":9000", "the host is missing; write host:port, such as localhost:9000"),
        ("localhost:", "the port must be a number from 1 to 65535, as in localhost:8001"),
        ("localhost:0", "the port must be a number"),
        ("localhost:65536", "the port must be a number"),
        ("localhost:http", "the port must be a number"),
        ("localhost: 8001", "leave out the white space"),
        ("localhost:8001\n", "leave out the white space"),
        ("::1:8001", r"an IPv6 address needs brackets, such as \[::1\]:8001"),
        ("a:8001,b:8001", "write several as ipv4:"),
        (8001, "expected a string, such as 'localhost:8001'"),
        (None, "expected a string"),
    ],
)
def test_others_are_refused_with_what_to_write_instead(target, message):
    with pytest.raises(TamizClientError, match=message) as refused:
        Client(target)
    assert str(refused.value).startswith(f"the server's address is {target!r}: ")
