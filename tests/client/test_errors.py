"""What an error says to do."""

from __future__ import annotations

import pytest

from tamiz_client import ServerUnavailable
from tamiz_client.errors import failed_with

HANDSHAKE = (
    "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:CERTIFICATE_VERIFY_FAILED: "
)


@pytest.mark.parametrize(
    "begin", ["failed to connect to all addresses", "connections to all backends failing"]
)
@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (HANDSHAKE + "self signed certificate", "or --tls-ca"),
        (HANDSHAKE + "unable to get local issuer certificate", "or --tls-ca"),
        (HANDSHAKE + "certificate has expired", "has expired, and has to be replaced on the server"),
        (HANDSHAKE + "certificate is not yet valid", "check the clocks"),
        ("Custom verification check failed: Hostname Verification Check failed.", "is for other names than"),
        ("Socket closed", "both sides use TLS or neither does"),
    ],
)
def test_a_certificate_that_is_refused_is_told_from_a_server_that_is_not_there(begin, reason, advice):
    error = failed_with("UNAVAILABLE", f"{begin}; last error: {reason}", "h:1", timeout=("timeout_s", 1.0))
    assert isinstance(error, ServerUnavailable)
    assert "no server was reached" in str(error)
    assert advice in str(error)
    assert ("runs there" in str(error)) == (reason == "Socket closed")
