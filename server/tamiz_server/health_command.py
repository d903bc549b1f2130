"""`tamiz-server health`: asks the server on this machine whether it is serving.

Container platforms run it as a health check.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from tamiz_server.config.config import Config
from tamiz_server.config.flags import parse_pages_address
from tamiz_server.config.host import is_wildcard, shown, socket_path
from tamiz_server.errors import ConfigError
from tamiz_server.system.processes import servers_in_container

_PATIENCE_S: Final = 5.0
_PROC: Final = Path("/proc")


def whom_to_ask(argv: Sequence[str], environ: Mapping[str, str], proc: Path = _PROC) -> Config:
    """Return settings that say where the server's pages are.

    That is what flags and variables say. If they do not say it, and this is a container, it is where the
    server's own command line says: arguments of a container are not seen by its health check otherwise.

    Raises:
        ConfigError: if these settings do not say where the server is, or several servers run here.
    """
    asked, is_named = parse_pages_address(argv, environ)
    if not is_named:
        servers = (parse_pages_address(*each)[0] for each in servers_in_container(proc))
        found = {each for each in servers if _can_be_asked(each)}
        if len(found) > 1:
            ports = ", ".join(sorted(shown(each.pages_host, each.metrics_port) for each in found))
            raise ConfigError(f"several servers run here ({ports}): name one with --metrics-port")
        asked = next(iter(found), asked)
    if not _can_be_asked(asked):
        raise ConfigError("--metrics-port is 0: expected the port that the server took; its log names it")
    return asked


def _can_be_asked(config: Config) -> bool:
    """Return whether it is known where the pages are: a port of 0 is whichever was free."""
    return bool(config.metrics_port or socket_path(config.pages_host))


def trouble(config: Config) -> str:
    """Return why a server on this machine with these settings is not serving; empty if it is."""
    why: list[str] = []
    for host in _reached_at(config.pages_host):
        where = f"/healthz at {host}" + ("" if socket_path(host) else f", port {config.metrics_port}")
        try:
            status, said = _ask(host, config.metrics_port, tls=config.metrics_tls)
        except (OSError, http.client.HTTPException) as error:
            why.append(f"{where} does not answer ({error}); is the server running, with these settings?")
        else:
            return "" if status == HTTPStatus.OK else f"{where} says {said} ({status})"
    return why[0]


def _ask(host: str, port: int, *, tls: bool) -> tuple[int, str]:
    """Return the status and the first line of `/healthz`."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = _connected(host, port)
    try:
        if tls:
            context = ssl.create_default_context()
            # The certificate names the server as clients know it, not this address; and the connection stays
            # on this machine.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.read(1_000).decode(errors="replace").partition("\n")[0]
    finally:
        connection.close()


def _connected(host: str, port: int) -> socket.socket:
    path = socket_path(host)
    if path is None:
        return socket.create_connection((host, port), _PATIENCE_S)
    new = socket.socket(socket.AF_UNIX)
    new.settimeout(_PATIENCE_S)
    try:
        new.connect(os.fspath(path))
    except OSError:
        new.close()
        raise
    return new


def _reached_at(host: str) -> tuple[str, ...]:
    """Return the addresses of this machine at which a server that listens on another one is reached."""
    return ("127.0.0.1", "::1") if is_wildcard(host) else (host,)
