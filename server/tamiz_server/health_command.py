"""`tamiz-server health`: asks the server that runs with the same settings whether it is serving.

Container platforms run it as a health check.
"""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from http import HTTPStatus
from typing import Final

from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError

_PATIENCE_S: Final = 5.0


def trouble(config: Config) -> str:
    """Return why a server on this machine with these settings is not serving; empty if it is.

    Raises:
        ConfigError: if these settings do not say where the server is.
    """
    if not config.metrics_port:
        raise ConfigError("--metrics-port is 0: expected the port that the server took; its log names it")
    host = _reached_at(config.metrics_host or config.host)
    connection = _connection(host, config.metrics_port, tls=config.metrics_tls)
    where = f"{host}, port {config.metrics_port}"
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = answer.read(1_000).decode(errors="replace").partition("\n")[0]
    except (OSError, http.client.HTTPException) as error:
        return f"/healthz at {where} does not answer ({error}); is the server running, with these settings?"
    finally:
        connection.close()
    return "" if answer.status == HTTPStatus.OK else f"/healthz at {where} says {said} ({answer.status})"


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
    context = ssl.create_default_context()
    # The certificate names the server as clients know it, not this address; and the connection stays on this
    # machine.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=context)


def _reached_at(host: str) -> str:
    """Return an address of this machine at which a server that listens on another one is reached."""
    address = ipaddress.ip_address(host)
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004  the version is its name
