"""The connections of one listening socket: made, counted, and ended together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from tamiz_server.config.host import socket_path
from tamiz_server.system.resources import room_for_connections
from tamiz_server.transports.listener import Listener
from tamiz_server.transports.ports import bound, listening, remove_socket

GONE_WITHIN_S: Final = 2.0
"""How long connections whose time is up may take to close."""


class Open(Protocol):
    """A connection that is open."""

    def drain(self, grace_s: float) -> None:
        """End it when its calls have ended, or after so many seconds."""

    def abort(self) -> None:
        """Close it without sending anything more."""


class Connections:
    """The connections of a socket, in the running loop.

    Attributes:
        port: the port that is listened on, once it is; 0 for a Unix domain socket.
    """

    def __init__(self, host_flag: str, host: str, port_flag: str, port: int) -> None:
        """Take an address, and the names of its settings."""
        self.port = 0
        self._flag = host_flag if socket_path(host) else port_flag
        self._host = host
        self._wanted_port = port
        self._open: set[Open] = set()
        self._listener: Listener | None = None
        self._all_gone = asyncio.Event()
        self._is_stopping = False

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def listen(
        self,
        make: Callable[[], asyncio.Protocol],
        *,
        most: int,
        n_sockets: int,
        handshake_s: float,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        """Listen.

        Args:
            make: makes the protocol of a connection, which calls `arrived` and `left`.
            most: how many connections the settings allow; see `room_for_connections`.
            n_sockets: how many sockets this process takes connections on.
            handshake_s: how long a TLS handshake may take.
            tls: returns the context of the next connection; None: plain text.

        Raises:
            ConfigError: if the address cannot be listened on.
        """
        with listening(self._flag, self._host, self._wanted_port):
            taken = bound(self._host, self._wanted_port)
            room = room_for_connections(most, n_sockets)
            self._listener = Listener(taken, make, most_connections=room, handshake_s=handshake_s, tls=tls)
        name = taken.getsockname()
        self.port = 0 if isinstance(name, str) else int(name[1])

    def arrived(self, connection: Open) -> None:
        """Take that a connection is made."""
        self._all_gone.clear()
        self._open.add(connection)
        if self._is_stopping:  # its handshake ended too late
            connection.drain(0)

    def left(self, connection: Open) -> None:
        """Take that a connection is gone."""
        self._open.discard(connection)
        if self._listener is not None:
            self._listener.left()
        if not self._open:
            self._all_gone.set()

    async def stop(self, grace_s: float, *, late_s: float = 0.0) -> None:
        """Accept nothing new, wait for what is under way, and close.

        Args:
            grace_s: how long calls that were begun may take, in seconds.
            late_s: how much later connections are aborted that did not end by then.
        """
        self._is_stopping = True
        if self._listener is not None and self._listener.is_open:
            self._listener.close()
            remove_socket(self._host)
        for connection in list(self._open):
            connection.drain(grace_s)
        if not self._open:
            return
        try:
            async with asyncio.timeout(grace_s + late_s):
                await self._all_gone.wait()
        except TimeoutError:
            for connection in list(self._open):
                connection.abort()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), GONE_WITHIN_S)
