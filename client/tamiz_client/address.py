"""A server's address, checked before anything is sent, because gRPC's messages are cryptic."""

from __future__ import annotations

import re
from typing import Any, Final

from tamiz_client.errors import TamizClientError

_RESOLVED_BY_GRPC: Final = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")
"""An address that starts like this is gRPC's to judge (grpc/doc/naming.md)."""

_DEFAULT_PORT: Final = 8001
_MAX_PORT: Final = 65_535


def checked_address(target: Any) -> str:
    """Return an address such as "localhost:8001" unchanged.

    Raises:
        TamizClientError: if it cannot be one; the message says what to write instead.
    """
    trouble = _trouble(target)
    if trouble:
        raise TamizClientError(f"the server's address is {target!r}: {trouble}")
    return str(target)


def _trouble(target: Any) -> str:
    """Return what is wrong with an address; empty if nothing is."""
    if not isinstance(target, str):
        return f"expected a string, such as 'localhost:{_DEFAULT_PORT}'"
    if target.startswith(_RESOLVED_BY_GRPC):
        return ""
    scheme = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]*://)", target)
    if scheme:
        rest = target[scheme.end() :].split("/")[0].strip() or f"localhost:{_DEFAULT_PORT}"
        tls = "; for TLS add tls=TlsOptions(), or --tls" if scheme[1] == "https://" else ""
        return f"leave out {scheme[1]!r} and write host:port, such as {rest}{tls}"
    host, colon, port = target.rpartition(":")
    for is_so, advice in (
        (re.search(r"\s", target), "leave out the white space"),
        ("/" in target, "leave out the slash and what follows it"),
        (
            "," in target,
            "write several as ipv4:10.0.0.1:8001,10.0.0.2:8001, or give a name that has them all",
        ),
        (target.isdecimal(), f"the host is missing; write host:port, such as localhost:{target}"),
        (not colon, f"the port is missing; write host:port, such as {target or 'localhost'}:{_DEFAULT_PORT}"),
        (not host, f"the host is missing; write host:port, such as localhost:{port or _DEFAULT_PORT}"),
        (
            ":" in host and not re.fullmatch(r"\[[^\[\]]+\]", host),
            f"an IPv6 address needs brackets, such as [::1]:{_DEFAULT_PORT}",
        ),
        (
            not (port.isdecimal() and 1 <= int(port) <= _MAX_PORT),
            f"the port must be a number from 1 to {_MAX_PORT}, as in {host}:{_DEFAULT_PORT}",
        ),
    ):
        if is_so:
            return advice
    return ""
