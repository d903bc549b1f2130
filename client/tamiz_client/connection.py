"""What both clients are made of: checked settings, gRPC's channel, and gRPC's errors as ours."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import grpc
from grpc import aio

from tamiz_client.address import checked_address
from tamiz_client.calls import Calls
from tamiz_client.channel import (
    MAX_MESSAGE_BYTES,
    PATHS,
    STREAM_PREDICT,
    TlsOptions,
    call_metadata,
    channel_options,
)
from tamiz_client.durations import seconds
from tamiz_client.errors import ServerUnavailable, TamizClientError, call_failed
from tamiz_client.retry import RetryPolicy

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
        self._retry = retry
        options = channel_options(self._target, retry, tls, max_message_bytes)
        self._channel = self._open(None if tls is None else tls.credentials(), options)
        self._paths = {path: self._channel.unary_unary(path) for path in PATHS}  # messages stay bytes
        self._stream = self._channel.stream_stream(STREAM_PREDICT)
        self._calls = Calls(max_message_bytes)
        self._is_closed = False

    @abstractmethod
    def _open(self, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]) -> Any:
        """Return gRPC's channel to the target."""

    def _limit_s(self, timeout_s: float | None) -> float:
        """Return how long a call may take: what it says itself, or what the client says."""
        return self._timeout_s if timeout_s is None else seconds("timeout_s", timeout_s)

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

    def _not_ready(self, model: str, timeout_s: float, trouble: str) -> ServerUnavailable:
        """Return the error for a wait that was in vain; `trouble` is what was wrong last."""
        what = f"model {model!r} was" if model else "it was"
        return ServerUnavailable(
            f"{self._target}: {what} not serving within {timeout_s:g} s; the last answer: {trouble}",
            "UNAVAILABLE",
        )

    def _closed(self) -> TamizClientError:
        return TamizClientError(
            f"{self._target}: this client is closed; make a new one, and use it inside its `with` block"
        )
