"""The asyncio protocol of one connection: sockets, the clock and tasks. `Connection` says what to do."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final, cast

from tamiz_server.access.access import CALLER
from tamiz_server.errors import ModelFailed, TamizError
from tamiz_server.serving.methods import Method
from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.connection import Connection, Shared
from tamiz_server.transports.h2.outgoing import AT_ONCE_BYTES
from tamiz_server.transports.h2.routes import Route

_log = logging.getLogger(__name__)

_AGES_BETWEEN: Final = (0.9, 1.1)  # so that connections that began together do not end together
_BUG: Final = ModelFailed("the server failed on this call; its log says how")
_TAKEN_WITHIN_S: Final = 5.0
"""How long the peer may take to read the last bytes of a connection that is over."""
_LATE_S: Final = 1e-3  # the loop's clock counts milliseconds: a timer may come that much too early


class H2Protocol(asyncio.Protocol):
    """A connection in the event loop; also its `Runner`."""

    def __init__(
        self,
        shared: Shared,
        arrived: Callable[[H2Protocol], None],
        left: Callable[[H2Protocol], None],
    ) -> None:
        """Take what connections share; `arrived` is called when this one is made, `left` when it is gone."""
        self._arrived = arrived
        self._left = left
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._stall_s = shared.limits.stall_s
        self._paused_until_s = math.inf
        self._flushes_soon = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        age_s = shared.limits.age_s * random.uniform(*_AGES_BETWEEN)  # noqa: S311  nothing is secret here
        self._connection = Connection(shared, self, time.monotonic(), age_s)

    # What asyncio says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not say so
        self._arrived(self)
        tls = self._transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._transport.abort()
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and send what they bring about."""
        self._connection.receive(data, time.monotonic())
        self._flush()

    def eof_received(self) -> bool:
        """Close: a peer that sends nothing more cannot take answers either, in HTTP/2."""
        return False

    def pause_writing(self) -> None:
        """Send nothing until the peer has read some."""
        self._is_paused = True
        self._paused_until_s = time.monotonic() + self._stall_s
        if self._paused_until_s < self._timer_s:
            self._set_timer(self._paused_until_s)

    def resume_writing(self) -> None:
        """Send on."""
        self._is_paused, self._paused_until_s = False, math.inf
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  all ends are alike
        """End what was answered here."""
        if self._timer is not None:
            self._timer.cancel()
        self._connection.lost()
        self._transport = None
        self._left(self)

    # What the connection says

    def start(self, call: Call, route: Route) -> None:
        """Answer a call in a task of its own."""
        if call.caller is not None:
            CALLER.set(call.caller)
        if route.method is not None:
            call.task = self._loop.create_task(self._answer(call, route.method))
        elif route.stream is not None:
            answers = route.stream(self._messages(call), call.deadline_s, call.metadata)
            call.task = self._loop.create_task(self._answer_with_stream(call, answers))
        elif route.feed is not None:
            answers = route.feed(call.body or b"", call.deadline_s, call.metadata)
            call.task = self._loop.create_task(self._answer_with_stream(call, answers))
        if call.caller is not None:
            CALLER.set(None)

    def readable(self, call: Call) -> None:
        """Wake the reader of a stream."""
        if call.reader is not None and not call.reader.done():
            call.reader.set_result(None)

    def writable(self, call: Call) -> None:
        """Wake the writer of a stream."""
        if call.writer is not None and not call.writer.done():
            call.writer.set_result(None)

    def cancel(self, call: Call) -> None:
        """Cancel what answers a call."""
        if call.task is not None:
            call.task.cancel()

    def flush(self) -> None:
        """Send once this turn of the loop has run."""
        if not self._flushes_soon:
            self._flushes_soon = True
            self._loop.call_soon(self._flush)

    def abort(self) -> None:
        """Close without sending anything more."""
        if self._transport is not None:
            self._transport.abort()

    # What the server says

    def drain(self, grace_s: float) -> None:
        """End the connection when its calls have ended, or after so many seconds."""
        self._connection.drain(time.monotonic(), grace_s)
        if self._transport is not None and not self._transport.is_closing():
            self._look()

    # Answering

    async def _answer(self, call: Call, method: Method) -> None:
        connection = self._connection
        try:
            answer = await method(call.body or b"", call.deadline_s, call.metadata)
        except TamizError as error:
            connection.fail(call, error)
        except asyncio.CancelledError:  # if the call goes on, something of ours was cancelled
            connection.fail(call, _BUG)
        except Exception:  # noqa: BLE001  whatever it is, the caller is told
            _log.exception("a call failed: this is a bug")
            connection.fail(call, _BUG)
        else:
            connection.answer(call, answer)
        self.flush()

    async def _answer_with_stream(self, call: Call, answers: AsyncGenerator[bytes, None]) -> None:
        connection = self._connection
        try:
            # If the caller goes away while an answer waits for room, this closes what makes the answers.
            async with aclosing(answers):
                async for answer in answers:
                    has_room = connection.send(call, answer)
                    self.flush()
                    if not has_room:
                        call.writer = self._loop.create_future()
                        await call.writer
            connection.end(call)
        except TamizError as error:
            connection.fail(call, error)
        except asyncio.CancelledError:  # if the call goes on, something of ours was cancelled
            connection.fail(call, _BUG)
        except Exception:  # noqa: BLE001  whatever it is, the caller is told
            _log.exception("a call failed: this is a bug")
            connection.fail(call, _BUG)
        self.flush()

    async def _messages(self, call: Call) -> AsyncIterator[bytes]:
        connection = self._connection
        while not call.is_done:
            message = connection.take(call)
            self.flush()  # the peer may send on
            if message is not None:
                yield message
            elif call.has_ended_sending:
                return
            else:
                call.reader = self._loop.create_future()
                await call.reader

    # Sending, and time

    def _flush(self) -> None:
        self._flushes_soon = False
        transport, connection = self._transport, self._connection
        if transport is None:
            return
        if self._is_paused:
            connection.hold_unsent()
        while not self._is_paused:
            data = connection.to_send()
            if data:
                transport.write(data)
            if len(data) < AT_ONCE_BYTES:
                break
        if connection.is_over:
            self._close(transport)
        elif connection.due_s < self._timer_s:
            self._set_timer(connection.due_s)

    def _close(self, transport: asyncio.Transport) -> None:
        """Close once the peer has taken what was written; a peer that reads nothing is not waited for."""
        if not transport.is_closing():
            transport.close()
            self._set_timer(time.monotonic() + _TAKEN_WITHIN_S)

    def _look(self) -> None:
        self._timer_s = math.inf
        if self._transport is None:
            return
        if self._transport.is_closing():
            self._transport.abort()
            return
        now_s = time.monotonic()
        if now_s >= self._paused_until_s:  # it goes on sending, perhaps, but what it is sent piles up
            self._transport.abort()
            return
        self._connection.look(now_s)
        self._flush()
        if not self._connection.is_over:
            self._set_timer(min(self._connection.due_s, self._paused_until_s))

    def _set_timer(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_s = None, due_s
        if self._transport is not None and self._timer_s < math.inf:
            wait_s = max(0.0, self._timer_s - time.monotonic())
            self._timer = self._loop.call_later(wait_s + _LATE_S, self._look)
