"""HTTP/1.1: the services in JSON behind one listening socket, all in the running event loop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from email.utils import formatdate

from tamiz_server.access.access import Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.serving.endpoints import Endpoint
from tamiz_server.transports.connections import Connections
from tamiz_server.transports.h1.connection import Shared
from tamiz_server.transports.h1.limits import Limits
from tamiz_server.transports.h1.protocol import H1Protocol
from tamiz_server.transports.h1.reception import Reception
from tamiz_server.transports.h1.routes import Routes
from tamiz_server.transports.room import Room


class H1Server:
    """Serves endpoints."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        config: Config,
        access: Access | None = None,
        certificates: Watched[Certificates] | None = None,
        refused: Counter[str] | None = None,
    ) -> None:
        """Take endpoints; the others as `transport` does."""
        self._config = config
        self._certificates = certificates
        limits = Limits.of(config)
        self._shared = Shared(
            Reception(Routes(endpoints), limits, access),
            limits,
            Room(limits.all_bytes),
            Counter() if refused is None else refused,
            _date(),
        )
        host = config.requests_host
        self._connections = Connections("--http-host", host, "--http-port", config.http_port)

    @property
    def port(self) -> int:
        """The port that it listens on, once started; 0 for a Unix domain socket."""
        return self._connections.port

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: if the port cannot be listened on.
        """
        certificates = self._certificates
        self._connections.listen(
            self._connection,
            most=self._config.max_connections,
            n_sockets=1 + self._config.has_http,
            handshake_s=self._shared.limits.header_s,
            tls=None if certificates is None else lambda: certificates.current().requests,
        )

    async def stop(self, grace_s: float) -> None:
        """Accept no new requests, wait at most `grace_s` seconds for those in flight, and stop."""
        await self._connections.stop(grace_s)

    def _connection(self) -> H1Protocol:
        return H1Protocol(self._shared, self._connections.arrived, self._connections.left)


def _date() -> Callable[[], str]:
    """Return what returns the time of day, made once a second."""
    made_s, text = 0, ""

    def date() -> str:
        nonlocal made_s, text
        now_s = int(time.time())
        if now_s != made_s:
            made_s, text = now_s, formatdate(now_s, usegmt=True)
        return text

    return date
