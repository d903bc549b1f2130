"""HTTP/1.1: the services in JSON behind one listening socket, all in the running event loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from tamiz_server.access.access import Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.config.host import socket_path
from tamiz_server.serving.endpoints import Endpoint
from tamiz_server.system.resources import room_for_connections
from tamiz_server.transports.h1.connection import Shared
from tamiz_server.transports.h1.limits import Limits
from tamiz_server.transports.h1.protocol import H1Protocol
from tamiz_server.transports.h1.reception import Reception
from tamiz_server.transports.h1.routes import Routes
from tamiz_server.transports.h2.listener import Listener
from tamiz_server.transports.h2.room import Room
from tamiz_server.transports.ports import bound, listening, remove_socket

_GONE_WITHIN_S: Final = 2.0
"""How long connections whose time is up may take to close."""


class H1Server:
    """Serves endpoints.

    Attributes:
        port: the port that it listens on, once started; 0 for a Unix domain socket.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        config: Config,
        access: Access | None = None,
        certificates: Watched[Certificates] | None = None,
        refused: Counter[str] | None = None,
    ) -> None:
        """Take endpoints; the others as `transport` does."""
        self.port = 0
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
        self._connections: set[H1Protocol] = set()
        self._listener: Listener | None = None
        self._all_gone = asyncio.Event()
        self._is_stopping = False

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: if the port cannot be listened on.
        """
        config, certificates = self._config, self._certificates
        host = config.requests_host
        flag = "--http-host" if socket_path(host) else "--http-port"
        with listening(flag, host, config.http_port):
            taken = bound(host, config.http_port)
            self._listener = Listener(
                taken,
                self._connection,
                most_connections=room_for_connections(config.max_connections),
                handshake_s=self._shared.limits.header_s,
                tls=None if certificates is None else lambda: certificates.current().requests,
            )
        name = taken.getsockname()
        self.port = 0 if isinstance(name, str) else int(name[1])

    async def stop(self, grace_s: float) -> None:
        """Accept no new requests, wait at most `grace_s` seconds for those in flight, and stop."""
        self._is_stopping = True
        if self._listener is not None and self._listener.is_open:
            self._listener.close()
            remove_socket(self._config.requests_host)
        for connection in list(self._connections):
            connection.drain()
        if not self._connections:
            return
        try:
            async with asyncio.timeout(grace_s):
                await self._all_gone.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), _GONE_WITHIN_S)

    def _connection(self) -> H1Protocol:
        return H1Protocol(self._shared, self._arrived, self._left)

    def _arrived(self, connection: H1Protocol) -> None:
        self._all_gone.clear()
        self._connections.add(connection)
        if self._is_stopping:  # its handshake ended too late
            connection.drain()

    def _left(self, connection: H1Protocol) -> None:
        self._connections.discard(connection)
        if self._listener is not None:
            self._listener.left()
        if not self._connections:
            self._all_gone.set()


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
