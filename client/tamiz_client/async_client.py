"""The client for asyncio programs: calls are awaited. Otherwise it is `Client`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, overload

from grpc import aio

from tamiz_client.calls import Calls, Steps, T
from tamiz_client.channel import (
    MAX_MESSAGE_BYTES,
    PATHS,
    STREAM_PREDICT,
    RetryPolicy,
    TlsOptions,
    bearer,
    channel_options,
)
from tamiz_client.errors import CallFailed, ServerUnavailable, call_failed
from tamiz_client.result import ModelInfo, Result
from tamiz_client.streaming import Conversation

_POLL_S = 0.1


class AsyncClient:
    """A connection to a Tamiz server, in one event loop; make one and keep it. The arguments are those of `Client`."""

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
        options = channel_options(retry, tls, max_message_bytes)
        if tls is None:
            self._channel = aio.insecure_channel(target, options=options)
        else:
            self._channel = aio.secure_channel(target, tls.credentials(), options=options)
        self._target = target
        self._timeout_s = timeout_s
        self._metadata = (*metadata, *bearer(token))
        call = self._channel.unary_unary
        self._paths = {path: call(path) for path in PATHS}  # type: ignore[call-arg]  # messages stay bytes
        self._stream = self._channel.stream_stream(STREAM_PREDICT)  # type: ignore[call-arg]  # as above
        self._calls = Calls()

    async def predict(
        self,
        model: str,
        rows: Any,
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        timeout_s: float | None = None,
    ) -> Result:
        """Ask for predictions; see `Client.predict`."""
        steps = self._calls.predict(
            model,
            rows,
            version=version,
            threshold=threshold,
            return_probabilities=return_probabilities,
        )
        return await self._run(steps, timeout_s)

    @overload
    def stream(
        self,
        model: str,
        chunks: Iterable[Any] | AsyncIterable[Any],
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        low_priority: bool = False,
        request_timeout_s: float | None = None,
        timeout_s: float | None = None,
        return_errors: Literal[False] = False,
    ) -> AsyncIterator[Result]: ...

    @overload
    def stream(
        self,
        model: str,
        chunks: Iterable[Any] | AsyncIterable[Any],
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        low_priority: bool = False,
        request_timeout_s: float | None = None,
        timeout_s: float | None = None,
        return_errors: Literal[True],
    ) -> AsyncIterator[Result | CallFailed]: ...

    async def stream(
        self,
        model: str,
        chunks: Iterable[Any] | AsyncIterable[Any],
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        low_priority: bool = False,
        request_timeout_s: float | None = None,
        timeout_s: float | None = None,
        return_errors: bool = False,
    ) -> AsyncIterator[Result | CallFailed]:
        """Ask for predictions on any number of chunks of rows, over one stream; see `Client.stream`.

        `chunks` may be iterable asynchronously. To be closed, as with contextlib.aclosing, when left early.
        """
        info = await self._run(self._calls.info(model, version), timeout_s)
        conversation = Conversation(
            self._target,
            info,
            low_priority=low_priority,
            request_timeout_s=request_timeout_s,
            version=version,
            threshold=threshold,
            return_probabilities=return_probabilities,
        )
        call = self._stream(_bodies(conversation, chunks), timeout=timeout_s, metadata=self._metadata)
        try:
            async for body in call:
                outcome = conversation.hear(body)
                if isinstance(outcome, CallFailed) and not return_errors:
                    raise outcome
                yield outcome
            if conversation.error is not None:
                raise conversation.error
        except aio.AioRpcError as error:
            raise call_failed(error, self._target) from None
        finally:
            call.cancel()

    async def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        return await self._run(self._calls.models(), timeout_s)

    async def model(
        self, name: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Return what a served version, named by number or label, says of itself; the highest one if none is named."""
        return await self._run(self._calls.model(name, version), timeout_s)

    async def health(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Return whether the server, or one of its models, is serving; False where it does not answer."""
        return await self._run(self._calls.health(model), timeout_s)

    async def wait_until_ready(self, timeout_s: float = 30.0, model: str = "") -> None:
        """Return when the server, or one of its models, is serving.

        Raises:
            ServerUnavailable: if it is not within `timeout_s`.
        """
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if await self.health(model, timeout_s=max(_POLL_S, until_s - time.monotonic())):
                return
            await asyncio.sleep(_POLL_S)
        raise ServerUnavailable(f"{self._target}: not serving within {timeout_s:g} s", "UNAVAILABLE")

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Make the calls that `steps` asks for, all within one timeout."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        try:
            path, body = next(steps)
            while True:
                try:
                    answer = await self._call(path, body, deadline_s)
                except CallFailed as error:
                    path, body = steps.throw(error)
                else:
                    path, body = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _call(self, path: str, body: bytes, deadline_s: float) -> bytes:
        remaining_s = max(0.0, deadline_s - time.monotonic())
        try:
            answer: bytes = await self._paths[path](body, timeout=remaining_s, metadata=self._metadata)
        except aio.AioRpcError as error:
            raise call_failed(error, self._target) from None
        return answer


async def _bodies(
    conversation: Conversation, chunks: Iterable[Any] | AsyncIterable[Any]
) -> AsyncIterator[bytes]:
    """Return the requests. gRPC runs this in a task of its own, where an error would be lost: it is kept."""
    try:
        if isinstance(chunks, AsyncIterable):
            async for rows in chunks:
                yield conversation.ask(rows)
        else:
            for rows in chunks:
                yield conversation.ask(rows)
    except Exception as error:  # noqa: BLE001  raised where the answers are read
        conversation.error = error
