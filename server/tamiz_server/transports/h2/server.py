"""gRPC on libnghttp2: the services behind one listening socket, all in the running event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tamiz_server.access.access import Access
from tamiz_server.access.tls import Certificates
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.config.host import socket_path
from tamiz_server.serving.methods import Methods
from tamiz_server.system.resources import room_for_connections
from tamiz_server.transports.h2.connection import Shared
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.listener import Listener
from tamiz_server.transports.h2.protocol import H2Protocol
from tamiz_server.transports.h2.reception import Reception
from tamiz_server.transports.h2.room import Room
from tamiz_server.transports.h2.routes import routes
from tamiz_server.transports.health import Health
from tamiz_server.transports.own_services import with_own_services
from tamiz_server.transports.ports import bound, listening, remove_socket

_GONE_WITHIN_S: Final = 2.0
"""How long connections whose time is up may take to close."""


class H2Server:
    """See `Transport`.

    Attributes:
        port: the port that it listens on, once started; 0 for a Unix domain socket.
    """

    def __init__(
        self,
        services: Sequence[Methods],
        config: Config,
        access: Access | None = None,
        certificates: Watched[Certificates] | None = None,
        refused: Counter[str] | None = None,
    ) -> None:
        """Take services; see `Transport`."""
        self.port = 0
        self._config = config
        self._certificates = certificates
        self._health = Health()
        limits = Limits.of(config)
        offered = with_own_services(services, self._health, config)
        self._shared = Shared(
            Reception(routes(offered, limits), limits, access),
            limits,
            Room(limits.all_bytes),
            Room(limits.all_bytes),
            Counter() if refused is None else refused,
        )
        self._connections: set[H2Protocol] = set()
        self._listener: Listener | None = None
        self._all_gone = asyncio.Event()
        self._is_stopping = False

    async def start(self) -> None:
        """Listen; see `Transport`."""
        config, certificates = self._config, self._certificates
        flag = "--host" if socket_path(config.host) else "--grpc-port"
        with listening(flag, config.host, config.grpc_port):
            taken = bound(config.host, config.grpc_port)
            self._listener = Listener(
                taken,
                self._connection,
                most_connections=room_for_connections(config.max_connections),
                handshake_s=self._shared.limits.handshake_s,
                tls=None if certificates is None else lambda: certificates.current().calls,
            )
        name = taken.getsockname()
        self.port = 0 if isinstance(name, str) else int(name[1])

    async def set_health(self, name: str, serving: bool | None) -> None:  # noqa: FBT001  as in a table
        """Set whether a service, a model or a version is served; see `Transport`."""
        self._health.set(name, serving)

    async def enter_graceful_shutdown(self) -> None:
        """Report NOT_SERVING for everything from now on; requests are still answered."""
        self._health.say_not_serving()

    async def stop(self, grace_s: float) -> None:
        """Accept no new calls, wait at most `grace_s` seconds for those in flight, and stop."""
        self._health.end()
        self._is_stopping = True
        if self._listener is not None and self._listener.is_open:
            self._listener.close()
            remove_socket(self._config.host)
        for connection in list(self._connections):
            connection.drain(grace_s)
        if self._connections:
            try:
                async with asyncio.timeout(grace_s + _GONE_WITHIN_S):
                    await self._all_gone.wait()
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort()

    def _connection(self) -> H2Protocol:
        return H2Protocol(self._shared, self._arrived, self._left)

    def _arrived(self, connection: H2Protocol) -> None:
        self._all_gone.clear()
        self._connections.add(connection)
        if self._is_stopping:  # its handshake ended too late
            connection.drain(0)

    def _left(self, connection: H2Protocol) -> None:
        self._connections.discard(connection)
        if self._listener is not None:
            self._listener.left()
        if not self._connections:
            self._all_gone.set()
