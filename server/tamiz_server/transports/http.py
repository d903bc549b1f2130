"""The transport of requests over HTTP; its library is imported only if it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tamiz_server.access.access import Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.errors import ConfigError
from tamiz_server.serving.endpoints import Endpoint


class HttpServer(Protocol):
    """Carries requests to endpoints and their answers back, in the running event loop. It knows no model."""

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: if the port cannot be listened on.
        """

    async def stop(self, grace_s: float) -> None:
        """Accept no new requests, wait at most `grace_s` seconds for those in flight, and stop."""


def http_server(
    endpoints: Sequence[Endpoint],
    server_version: str,
    config: Config,
    access: Access | None = None,
    certificates: Watched[Certificates] | None = None,
    refused: Counter[str] | None = None,
) -> HttpServer:
    """Return what answers requests over HTTP.

    Args:
        endpoints: what is asked, besides the document that describes it.
        server_version: stands in that document.
        config: the settings.
        access: access control; None admits everybody.
        certificates: for TLS; None for plain text.
        refused: counts, by status, the requests refused by the transport or by endpoints that do not count
            them.

    Raises:
        ConfigError: if the library is missing.
    """
    try:
        from tamiz_server.transports.h1.openapi import openapi  # noqa: PLC0415  see above
        from tamiz_server.transports.h1.server import H1Server  # noqa: PLC0415  see above
    except ModuleNotFoundError as error:
        if error.name != "h11":
            raise
        raise ConfigError("--http-port needs the package h11: pip install 'tamiz[server]'") from error
    own = [openapi(server_version)] if config.reflection else []
    return H1Server([*endpoints, *own], config, access, certificates, refused)
