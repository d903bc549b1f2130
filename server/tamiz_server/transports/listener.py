"""Accepts connections: as many as are allowed, each with the certificate of the moment."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

_BACKLOG: Final = 1_024
_AT_ONCE: Final = 64
"""How many connections are accepted in one turn of the loop."""

_MOMENT_S: Final = 0.02
"""How long a connection too many waits for another one to end."""

_GOODBYE_S: Final = 2.0
"""How long a peer may take to answer the end of TLS."""

_WAIT_S: Final = 1.0
"""How long nothing is accepted after the system had no descriptor or memory for it."""


class Listener:
    """A socket that listens, in the running loop."""

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        *,
        most_connections: int,
        handshake_s: float,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        """Listen.

        Args:
            listening: the socket, bound to its address.
            make: makes the protocol of a connection; `left` is to be called when it is gone.
            most_connections: how many may be open; further ones are closed.
            handshake_s: how long a TLS handshake may take.
            tls: returns the context of the next connection; None: plain text.
        """
        self._loop = asyncio.get_running_loop()
        self._socket = listening
        self._make = make
        self._room = most_connections
        self._handshake_s = handshake_s
        self._tls = tls
        self._welcomes: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        listening.listen(_BACKLOG)
        self._loop.add_reader(listening.fileno(), self._accept)

    def left(self) -> None:
        """Take that a connection is gone."""
        self._room += 1

    def close(self) -> None:
        """Accept nothing more; handshakes that are under way are given up."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for welcome in self._welcomes:
            welcome.cancel()

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._socket.fileno() >= 0

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._socket.fileno())
                self._retry = self._loop.call_later(_WAIT_S, self._go_on)
                return
            accepted.setblocking(False)
            if self._room > 0:
                self._begin(accepted)
            else:
                # Perhaps another one goes at this very moment.
                self._loop.call_later(_MOMENT_S, self._begin, accepted)

    def _begin(self, accepted: socket.socket) -> None:
        if self._room <= 0 or not self.is_open:
            accepted.close()
            return
        self._room -= 1
        welcome = self._loop.create_task(self._welcome(accepted))
        self._welcomes.add(welcome)
        welcome.add_done_callback(self._welcomes.discard)

    def _go_on(self) -> None:
        self._retry = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    async def _welcome(self, accepted: socket.socket) -> None:
        """Make a connection of a socket, after its TLS handshake."""
        tls = None if self._tls is None else self._tls()
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else self._handshake_s,
                ssl_shutdown_timeout=None if tls is None else _GOODBYE_S,
            )
        except OSError:  # who goes away, or fails the handshake, is not worth a line
            accepted.close()
            self._room += 1
