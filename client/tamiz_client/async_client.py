"""The client for asyncio programs: calls are awaited. Otherwise it is `Client`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from grpc import aio

from tamiz_client.calls import Calls, Steps, T
from tamiz_client.channel import MAX_MESSAGE_BYTES, PATHS, RetryPolicy, TlsOptions, bearer, channel_options
from tamiz_client.errors import CallFailed, ServerUnavailable, call_failed
from tamiz_client.result import ModelInfo, Result

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
        self._calls = Calls()

    async def predict(
        self,
        model: str,
        rows: Any,
        *,
        version: int | None = None,
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

    async def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        return await self._run(self._calls.models(), timeout_s)

    async def model(
        self, name: str, version: int | None = None, *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Return what a served version says of itself; the highest one if none is named."""
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
