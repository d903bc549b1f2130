"""gRPC's proxy: which variable of the environment puts one in the way of a connection.

gRPC takes a proxy from the environment even for this machine, where none can be meant.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

WITHOUT: Final[tuple[str, Any]] = ("grpc.enable_http_proxy", 0)
"""The option of a channel that goes past all proxies."""

_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
"""The environment variables that gRPC takes a proxy from, in its order."""


def is_on_this_machine(target: str) -> bool:
    """Return whether a target of gRPC ("localhost:8001", "ipv4:127.0.0.1:8001", "unix:/run/a") is local."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = _host(target)
    if re.fullmatch(r"(.*\.)?localhost\.?|ip6-(localhost|loopback)", host, re.IGNORECASE):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def proxy_in_the_way(target: str, environ: Mapping[str, str]) -> str:
    """Return the name of the variable that gives gRPC a proxy for this target; empty if none does."""
    name = next((each for each in _PROXIES if environ.get(each)), "")
    spared = (environ.get("no_grpc_proxy") or environ.get("no_proxy") or "").split(",")
    is_spared = any(each.strip() and _host(target).endswith(each.strip()) for each in spared)
    return "" if is_spared or is_on_this_machine(target) else name


def _host(target: str) -> str:
    """Return the first host of a target, without port and brackets."""
    address = re.sub(r"^(dns|ipv4|ipv6):", "", target.rpartition("/")[2]).partition(",")[0]
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address
