"""A host that the server listens on: an IP address, or `unix:` and the path of a socket.

0.0.0.0 and :: both mean all addresses of this machine, of both families.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Final

EXPECTED: Final = (
    "an IP address such as 127.0.0.1, 0.0.0.0 or ::, or unix: and an absolute path, such as"
    " unix:/run/tamiz/grpc.sock"
)
_LONGEST_PATH: Final = 107  # bytes; unix(7), less the zero at the end


def is_host(text: str) -> bool:
    """Return whether a server can listen on this, as far as its form goes."""
    if text.startswith("unix:"):
        path = socket_path(text)
        return path is not None and len(os.fsencode(path)) <= _LONGEST_PATH and "\0" not in text
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def socket_path(host: str) -> Path | None:
    """Return the path of a Unix domain socket; None for an IP address. As in gRPC, unix:///a is unix:/a."""
    found = re.fullmatch(r"unix:(?://)?(/[^/].*)", host)
    return Path(found[1]) if found else None


def is_wildcard(host: str) -> bool:
    """Return whether it stands for all addresses of this machine."""
    return not socket_path(host) and ipaddress.ip_address(host).is_unspecified


def is_local(host: str) -> bool:
    """Return whether only this machine can reach it."""
    return bool(socket_path(host)) or ipaddress.ip_address(host).is_loopback


def overlap(one: str, other: str) -> bool:
    """Return whether two servers on these hosts would need two ports, or two paths."""
    if socket_path(one) or socket_path(other):
        return socket_path(one) == socket_path(other)
    return one == other or is_wildcard(one) or is_wildcard(other)


def shown(host: str, port: int) -> str:
    """Return host and port as in a URL; a socket has no port."""
    if path := socket_path(host):
        return f"unix:{path}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
