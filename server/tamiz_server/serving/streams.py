"""Many requests on one stream: computed side by side, answered in order, read as fast as answers are taken.

requests ──► read, while there is room ──► a task each ──► answers, in order ──► transport
                        ▲                                                           │
                        └──────────────────── frees room ◄──────────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final

from tamiz_server.access.access import paced
from tamiz_server.config.config import Config
from tamiz_server.errors import Unavailable
from tamiz_server.telemetry.metrics import Metrics

_LINGER_S: Final = 0.3
"""How long the server waits after the last stream. Without it callers saw a broken pipe, not their status."""

_Answer = Callable[[bytes], Coroutine[Any, Any, bytes]]


class OrderedStream:
    """The requests of one stream that are in flight, and their answers.

    A request is in flight from when it is read until its answer is taken. Beyond `max_requests`, or
    `max_bytes` of requests, nothing more is read: the transport then holds the sender back, and memory
    does not grow.

    Attributes:
        ended: set when the last answer was taken, or when the rest was given up.
    """

    def __init__(
        self, bodies: AsyncIterator[bytes], answer: _Answer, *, max_requests: int, max_bytes: int
    ) -> None:
        """Begin to read.

        Args:
            bodies: the requests.
            answer: answers one request; a request that failed gets an answer too.
            max_requests: how many requests may be in flight, at least 1.
            max_bytes: reading stops when this many bytes of requests are in flight; the last may exceed it.
        """
        self._answer = answer
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._n_requests = 0
        self._n_bytes = 0
        self.ended = asyncio.Event()
        self._room = asyncio.Event()
        self._read: asyncio.Queue[tuple[asyncio.Task[bytes], int] | None] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read_all(bodies))
        # Not at the end of `_read_all`: nothing of it runs if it is cancelled before its first turn.
        self._reader.add_done_callback(lambda _: self._read.put_nowait(None))

    def end(self) -> None:
        """Read nothing more. What was read is still answered."""
        self._reader.cancel()

    @property
    def was_ended(self) -> bool:
        """Whether this side ended the stream, and not the sender."""
        return self._reader.cancelled()

    async def answers(self) -> AsyncGenerator[bytes, None]:
        """Return the answers, in the order of the requests.

        Closing it, or cancelling the task that waits for it, cancels what is in flight.
        """
        try:
            while (item := await self._read.get()) is not None:
                task, size = item
                yield await task
                self._free(size)
            if not self._reader.cancelled():
                self._reader.result()
        finally:
            await self._abandon()
            self.ended.set()

    async def _read_all(self, bodies: AsyncIterator[bytes]) -> None:
        async for body in bodies:
            self._n_requests += 1
            self._n_bytes += len(body)
            self._read.put_nowait((asyncio.create_task(self._answer(body)), len(body)))
            while not self._has_room():
                self._room.clear()
                await self._room.wait()

    def _has_room(self) -> bool:
        return self._n_requests < self._max_requests and self._n_bytes < self._max_bytes

    def _free(self, size: int) -> None:
        self._n_requests -= 1
        self._n_bytes -= size
        self._room.set()

    async def _abandon(self) -> None:
        """Cancel what is still running, and wait until it has ended."""
        at_work: list[asyncio.Task[Any]] = [self._reader]
        while not self._read.empty():
            item = self._read.get_nowait()
            if item is not None:
                at_work.append(item[0])
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)


class Streams:
    """All streams that are open now."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._open: set[OrderedStream] = set()
        self._ending = False

    async def answer(self, bodies: AsyncIterator[bytes], answer: _Answer) -> AsyncGenerator[bytes, None]:
        """Answer each message of a stream, in order; see `Stream`.

        Args:
            bodies: the messages.
            answer: answers one of them, with an error if need be.

        Raises:
            Unavailable: at the end, if this side ended the stream.
        """
        stream = OrderedStream(
            paced(bodies),
            answer,
            max_requests=self._config.max_stream_requests,
            max_bytes=self._config.max_message_bytes,
        )
        self._open.add(stream)
        self._metrics.open_streams += 1
        if self._ending:
            stream.end()
        try:
            async with aclosing(stream.answers()) as answers:
                async for each in answers:
                    yield each
        finally:
            self._open.remove(stream)
            self._metrics.open_streams -= 1
        if stream.was_ended:
            raise Unavailable("the server is stopping; send what has no answer yet to another replica")

    async def end(self) -> None:
        """Let every stream, open or to come, answer what it has read, and end it.

        Returns when the open ones have ended and their callers had a moment to notice. If the connection were
        closed while a caller still sends, it would be torn down, and the last answers with it.
        """
        self._ending = True
        streams = list(self._open)
        for stream in streams:
            stream.end()
        await asyncio.gather(*(stream.ended.wait() for stream in streams))
        if streams:
            await asyncio.sleep(_LINGER_S)
