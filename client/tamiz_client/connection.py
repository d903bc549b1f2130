"""What both clients are made of: checked settings, gRPC's channel, gRPC's errors as ours, and whole calls.

Whole calls are coroutines. `AsyncClient` awaits them. In a `Client` nothing in them waits for an event loop,
so they run from start to end in one step; see `Client._finished`.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import grpc
from grpc import aio

from tamiz_client.address import checked_address
from tamiz_client.calls import NOT_READY, Calls, Steps, T
from tamiz_client.channel import (
    MAX_MESSAGE_BYTES,
    PATHS,
    STREAM_PREDICT,
    RetryPolicy,
    TlsOptions,
    call_metadata,
    channel_options,
)
from tamiz_client.durations import seconds
from tamiz_client.errors import (
    CallFailed,
    DeadlineExceeded,
    ServerUnavailable,
    TamizClientError,
    call_failed,
)

POLL_S: Final = 0.1
"""The pause between health checks of a server that is awaited."""


class Connection(ABC):
    """What a `Client` and an `AsyncClient` share. `Client` documents the arguments."""

    def __init__(
        self,
        target: str = "localhost:8001",
        *,
        timeout_s: float = 10.0,
        tls: TlsOptions | None = None,
        token: str | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        metadata: Sequence[tuple[str, str]] = (),
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._target = checked_address(target)
        self._timeout_s = seconds("timeout_s", timeout_s)
        self._metadata = call_metadata(metadata, token)
        options = channel_options(retry, tls, max_message_bytes)
        self._channel = self._open(None if tls is None else tls.credentials(), options)
        self._paths = {path: self._channel.unary_unary(path) for path in PATHS}  # messages stay bytes
        self._stream = self._channel.stream_stream(STREAM_PREDICT)
        self._calls = Calls()
        self._is_closed = False

    @abstractmethod
    def _open(self, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]) -> Any:
        """Return gRPC's channel to the target."""

    @abstractmethod
    async def _answer(self, path: str, body: bytes, timeout_s: float) -> bytes:
        """Make one call."""

    @abstractmethod
    async def _pause(self) -> None:
        """Wait for `POLL_S`."""

    async def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Make the calls that `steps` asks for, all within one time-out; None for the client's own."""
        limit_s = self._timeout_s if timeout_s is None else seconds("timeout_s", timeout_s)
        deadline_s = time.monotonic() + limit_s
        try:
            path, body = next(steps)
            while True:
                try:
                    with self._errors(limit_s):
                        answer = await self._answer(path, body, max(0.0, deadline_s - time.monotonic()))
                except CallFailed as error:
                    path, body = steps.throw(error)
                else:
                    path, body = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _is_healthy(self, model: str, timeout_s: float | None) -> bool:
        try:
            return await self._run(self._calls.health(model), timeout_s)
        except NOT_READY:
            return False

    async def _become_ready(self, timeout_s: float, model: str) -> None:
        """Return when the server or a model is serving.

        Raises:
            ServerUnavailable: if that takes longer than `timeout_s`; the message says what was wrong last.
        """
        until_s = time.monotonic() + seconds("timeout_s", timeout_s)
        trouble = "none"
        while (remaining_s := until_s - time.monotonic()) > 0:
            try:
                if await self._run(self._calls.health(model), max(POLL_S, remaining_s)):
                    return
                trouble = "NOT_SERVING"
            except DeadlineExceeded:  # says less than what came before it
                pass
            except NOT_READY as error:
                trouble = str(error)
            await self._pause()
        what = f"model {model!r} was" if model else "it was"
        raise ServerUnavailable(
            f"{self._target}: {what} not serving within {timeout_s:g} s; the last answer: {trouble}",
            "UNAVAILABLE",
        )

    @contextmanager
    def _errors(self, timeout_s: float | None) -> Iterator[None]:
        """Raise gRPC's errors as ours. `timeout_s` is what the call was given, for the message."""
        if self._is_closed:
            raise self._closed()
        try:
            yield
        except grpc.RpcError as error:
            if self._is_closed and error.code() is grpc.StatusCode.CANCELLED:
                raise self._closed() from None
            raise call_failed(error, self._target, timeout_s) from None
        except (ValueError, aio.UsageError):  # what gRPC says of a channel that was closed meanwhile
            if not self._is_closed:
                raise
            raise self._closed() from None
        except asyncio.CancelledError:
            # Closing the channel cancels its calls. That looks like the end of the task, unless somebody
            # asked for it.
            task = asyncio.current_task()
            if not self._is_closed or task is None or task.cancelling():
                raise
            raise self._closed() from None

    def _closed(self) -> TamizClientError:
        return TamizClientError(
            f"{self._target}: this client is closed; make a new one, and use it inside its `with` block"
        )
