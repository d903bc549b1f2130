"""The client for asyncio programs: like `Client`, but calls are awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

import grpc
from grpc import aio

from tamiz_client.calls import NOT_READY, Steps, T
from tamiz_client.connection import POLL_S, Connection
from tamiz_client.durations import seconds
from tamiz_client.errors import CallFailed, DeadlineExceeded, InvalidAnswer, TamizClientError
from tamiz_client.result import ModelInfo, Result
from tamiz_client.retry import Attempts
from tamiz_client.streaming import Conversation, StreamOptions, check_chunks


class AsyncClient(Connection):
    """A connection to a Tamiz server, for one event loop. Make one inside a coroutine, and keep it.

    The arguments are those of `Client`.
    """

    def _open(
        self, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
    ) -> aio.Channel:
        try:
            asyncio.get_running_loop()  # gRPC would take a loop of its own, and each call would then fail
            if credentials is None:
                return aio.insecure_channel(self._target, options=options)
            return aio.secure_channel(self._target, credentials, options=options)
        except RuntimeError as error:  # asyncio's, where no event loop runs
            raise TamizClientError(
                f"make an AsyncClient inside a coroutine, or use Client: {error}"
            ) from error

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
        return_errors: Literal[False] = False,
        **options: Unpack[StreamOptions],
    ) -> AsyncIterator[Result]: ...

    @overload
    def stream(
        self,
        model: str,
        chunks: Iterable[Any] | AsyncIterable[Any],
        *,
        return_errors: Literal[True],
        **options: Unpack[StreamOptions],
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

        `chunks` may be an asynchronous iterable. If you leave the stream early, close it, as
        contextlib.aclosing does.
        """
        check_chunks(chunks)
        info = await self._run(self._calls.info(model, version), timeout_s)
        conversation = Conversation(
            self._target,
            self._calls,
            info,
            low_priority=low_priority,
            request_timeout_s=request_timeout_s,
            timeout_s=timeout_s,
            return_errors=return_errors,
            version=version,
            threshold=threshold,
            return_probabilities=return_probabilities,
        )
        left = aiter(chunks) if isinstance(chunks, AsyncIterable) else iter(chunks)
        while True:
            with self._errors(timeout_s):
                call = self._stream(
                    _bodies(conversation, left), timeout=conversation.remaining_s(), metadata=self._metadata
                )
                try:
                    async for body in call:
                        yield await self._run(conversation.hear(body), conversation.remaining_s())
                finally:
                    call.cancel()
            answer = await self._run(conversation.end(), conversation.remaining_s())
            if answer is None:
                return
            yield answer

    async def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        return await self._run(self._calls.models(), timeout_s)

    async def model(
        self, name: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Return the description of a served version; of the highest one if `version` is None."""
        return await self._run(self._calls.model(name, version), timeout_s)

    async def health(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Return whether the server, or one of its models, is serving.

        False also where no server answers, and for a model that is not served: `model` says which one it is.
        """
        try:
            return await self._run(self._calls.health(model), timeout_s)
        except NOT_READY:
            return False

    async def wait_until_ready(self, timeout_s: float = 30.0, model: str = "") -> None:
        """Wait until the server, or one of its models, is serving.

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
            await asyncio.sleep(POLL_S)
        raise self._not_ready(model, timeout_s, trouble)

    async def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Make the calls that `steps` asks for, all within one time-out."""
        limit_s = self._limit_s(timeout_s)
        deadline_s = time.monotonic() + limit_s
        try:
            path, body = next(steps)
            while True:
                try:
                    answer = await self._call(path, body, limit_s, deadline_s)
                except CallFailed as error:
                    path, body = steps.throw(error)
                else:
                    path, body = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        except InvalidAnswer as error:
            raise error.by(self._target) from error.__cause__

    async def _call(self, path: str, body: bytes, limit_s: float, deadline_s: float) -> bytes:
        """Make one call, and again after a failure that allows it; `limit_s` is for the message."""
        attempts = Attempts(self._retry)
        while True:
            try:
                with self._errors(limit_s):
                    remaining_s = max(0.0, deadline_s - time.monotonic())
                    answer: bytes = await self._paths[path](
                        body, timeout=remaining_s, metadata=self._metadata
                    )
                    return answer
            except CallFailed as error:
                pause_s = attempts.pause_s(error, deadline_s - time.monotonic())
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)


async def _bodies(
    conversation: Conversation, chunks: Iterator[Any] | AsyncIterator[Any]
) -> AsyncIterator[bytes]:
    """Return the requests. gRPC runs this in a task of its own, where an error would be lost: it is kept."""
    try:
        if isinstance(chunks, AsyncIterator):
            async for rows in chunks:
                yield conversation.ask(rows)
        else:
            for rows in chunks:
                yield conversation.ask(rows)
        conversation.sent_all = True
    except Exception as error:  # noqa: BLE001  raised where the answers are read
        conversation.error = error
