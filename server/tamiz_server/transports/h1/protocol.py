"""The asyncio protocol of one connection: sockets, the clock and tasks. `Connection` says what to do."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from typing import Final, cast

from tamiz_server.access.access import CALLER
from tamiz_server.errors import ModelFailed, TamizError
from tamiz_server.serving.endpoints import Asked, Reply
from tamiz_server.transports.compression import unpacked
from tamiz_server.transports.h1.call import Call
from tamiz_server.transports.h1.connection import Connection, Shared
from tamiz_server.transports.h1.refusals import Refused

_log = logging.getLogger(__name__)

_AGES_BETWEEN: Final = (0.9, 1.1)  # so that connections that began together do not end together
_BUG: Final = ModelFailed("the server failed on this request; its log says how")
_LATE_S: Final = 1e-3  # the loop's clock counts milliseconds: a timer may come that much too early


class H1Protocol(asyncio.Protocol):
    """A connection in the event loop; also its `Runner`."""

    def __init__(
        self,
        shared: Shared,
        arrived: Callable[[H1Protocol], None],
        left: Callable[[H1Protocol], None],
    ) -> None:
        """Take what connections share; `arrived` is called when this one is made, `left` when it is gone."""
        self._arrived = arrived
        self._left = left
        self._limits = shared.limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reads = True
        self._is_paused = False
        self._n_taken = -math.inf
        self._stalled_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        age_s = shared.limits.age_s * random.uniform(*_AGES_BETWEEN)  # noqa: S311  nothing is secret here
        self._connection = Connection(shared, self, time.monotonic(), age_s)

    # What asyncio says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not say so
        self._arrived(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and send what they bring about."""
        self._connection.receive(data, time.monotonic())
        self.flush()

    def eof_received(self) -> bool:
        """Close: nobody can tell a peer that has sent everything from one that is gone."""
        return False

    def pause_writing(self) -> None:
        """Send nothing more until the peer has read some."""
        self._is_paused = True
        self._look_at_unsent()

    def resume_writing(self) -> None:
        """Send on."""
        self._is_paused = False
        self._n_taken, self._stalled_s = -math.inf, math.inf
        self._connection.holds(0)
        self._connection.goes_on(time.monotonic())
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  all ends are alike
        """End what was answered here."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._connection.lost()
        self._left(self)

    # What the connection says

    def start(self, call: Call) -> None:
        """Answer a request in a task of its own."""
        CALLER.set(call.caller)
        call.task = self._loop.create_task(self._answer(call))
        CALLER.set(None)

    def cancel(self, call: Call) -> None:
        """Cancel what answers a request."""
        if call.task is not None:
            call.task.cancel()

    def flush(self) -> None:
        """Send what there is, and see to the timer."""
        transport, connection = self._transport, self._connection
        if transport is None:
            return
        while not self._is_paused and (data := connection.to_send()):
            transport.write(data)
        if self._is_paused:
            connection.holds(transport.get_write_buffer_size() + connection.n_unsent)
        if connection.is_over:
            transport.close()
            if self._stalled_s == math.inf and transport.get_write_buffer_size():
                self._look_at_unsent()
        elif connection.takes_more != self._reads:
            self._reads = connection.takes_more
            (transport.resume_reading if self._reads else transport.pause_reading)()
        if self._due_s < self._timer_s:
            self._set_timer()

    def abort(self) -> None:
        """Close without sending anything more."""
        if self._transport is not None:
            self._transport.abort()

    # What the server says

    def drain(self, grace_s: float) -> None:  # noqa: ARG002  who ends it then aborts it
        """End the connection when its request, if there is one, is answered."""
        self._connection.drain()
        self.flush()

    # Answering

    async def _answer(self, call: Call) -> None:
        connection = self._connection
        try:
            body = unpacked(call.body, call.packed, call.most_bytes) if call.packed else call.body
        except TamizError as error:
            connection.refuse(call, error, time.monotonic(), counts=True)
            self.flush()
            return
        call.let_go()
        try:
            reply = await self._reply(call, body)
        except (TamizError, Refused) as error:
            connection.refuse(call, error, time.monotonic())
        except asyncio.CancelledError:  # if the request goes on, something of ours was cancelled
            connection.refuse(call, _BUG, time.monotonic())
        except Exception:  # noqa: BLE001  whatever it is, the caller is told
            _log.exception("a request failed: this is a bug")
            connection.refuse(call, _BUG, time.monotonic())
        else:
            connection.answer(call, reply, time.monotonic())
        self.flush()

    async def _reply(self, call: Call, body: bytes) -> Reply:
        headers = call.headers

        def metadata() -> Iterable[tuple[str, str | bytes]]:
            return headers.items()

        return await call.endpoint.answer(Asked(call.named, headers, body, math.inf, metadata))

    # Time

    @property
    def _due_s(self) -> float:
        return min(self._connection.due_s, self._stalled_s)

    def _look(self) -> None:
        self._timer_s = math.inf
        if self._transport is None:
            return
        now_s = time.monotonic()
        if now_s >= self._stalled_s:
            self._look_at_unsent()
        self._connection.look(now_s)
        self.flush()
        self._set_timer()

    def _look_at_unsent(self) -> None:
        """End the connection if the peer took nothing of the answer since the last look."""
        if self._transport is None:
            return
        n_unsent = self._transport.get_write_buffer_size() + self._connection.n_unsent
        n_taken = self._connection.n_queued - n_unsent
        if n_taken <= self._n_taken:
            self.abort()
            return
        self._n_taken = n_taken
        self._stalled_s = time.monotonic() + self._limits.stall_s
        self._connection.holds(n_unsent)
        if self._due_s < self._timer_s:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = None, self._due_s
        if self._transport is not None and self._timer_s < math.inf:
            wait_s = max(0.0, self._timer_s - time.monotonic())
            self._timer = self._loop.call_later(wait_s + _LATE_S, self._look)
