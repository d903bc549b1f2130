"""The client for asyncio programs: calls are awaited. Otherwise it is `Client`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from grpc import aio

from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    PredictResponse,
)
from tamiz_client.channel import (
    GET_MODEL,
    HEALTH,
    LIST_MODELS,
    MAX_MESSAGE_BYTES,
    PREDICT,
    RetryPolicy,
    TlsOptions,
    channel_options,
)
from tamiz_client.encoding import build_request
from tamiz_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ServerUnavailable,
    call_failed,
)
from tamiz_client.messages import health_request, is_serving
from tamiz_client.result import ModelInfo, Result, to_result

_POLL_S = 0.1


class AsyncClient:
    """A connection to a Tamiz server, in one event loop; make one and keep it.

    Args:
        target: "host:port"; calls go round all addresses that the name has.
        timeout_s: how long a call may take, unless it says otherwise.
        tls: for a server with TLS; None for plain text.
        retry: when a failed call is tried again.
        metadata: sent with every call, such as [("authorization", "Bearer …")].
        max_message_bytes: the largest request or answer.
    """

    def __init__(
        self,
        target: str = "localhost:8001",
        *,
        timeout_s: float = 10.0,
        tls: TlsOptions | None = None,
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
        self._metadata = tuple(metadata)
        paths = (PREDICT, LIST_MODELS, GET_MODEL, HEALTH)
        call = self._channel.unary_unary
        self._calls = {path: call(path) for path in paths}  # type: ignore[call-arg]  # messages stay bytes
        self._infos: dict[tuple[str, int], ModelInfo] = {}

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
        """Ask for predictions.

        Args:
            model: the model's name.
            rows: (n_rows, n_features) ndarray, a DataFrame by column name, or a dict of arrays by input name.
            version: None for the highest.
            threshold: a confidence from 0 to 1 that rows have to reach besides the model's own threshold.
            return_probabilities: whether the result holds the probability of every class.
            timeout_s: how long the call may take.

        Returns:
            One entry per row; an abstained row has the label None.

        Raises:
            InvalidRows: if the rows do not fit the model; nothing was sent.
            CallFailed: if the server did not answer; see `errors`.
        """
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        info = await self._info(model, version, deadline_s)

        async def ask(info: ModelInfo) -> Result:
            request = build_request(
                model,
                rows,
                info.manifest.inputs,
                version=version,
                threshold=threshold,
                return_probabilities=return_probabilities,
            )
            return to_result(
                PredictResponse.FromString(await self._call(PREDICT, request.SerializeToString(), deadline_s))
            )

        try:
            result = await ask(info)
        except InvalidRequest:
            # The model may have been replaced by one with other inputs since they were looked up.
            self._forget(model, version)
            fresh = await self._info(model, version, deadline_s)
            if fresh.manifest.inputs == info.manifest.inputs:
                raise
            result = await ask(fresh)
        if result.model_version != info.version:
            self._forget(model, version)
        return result

    async def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        body = await self._call(LIST_MODELS, ListModelsRequest().SerializeToString(), deadline_s)
        return {each.name: list(each.versions) for each in ListModelsResponse.FromString(body).models}

    async def model(
        self, name: str, version: int | None = None, *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Return what a served version says of itself."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        request = GetModelRequest(name=name, version=version or 0)
        body = await self._call(GET_MODEL, request.SerializeToString(), deadline_s)
        return ModelInfo.of(GetModelResponse.FromString(body))

    async def health(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Return whether the server, or one of its models, is serving; False where it does not answer."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        try:
            return is_serving(await self._call(HEALTH, health_request(model), deadline_s))
        except (DeadlineExceeded, ModelNotFound, ServerUnavailable):
            return False

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

    async def _call(self, path: str, body: bytes, deadline_s: float) -> bytes:
        try:
            answer: bytes = await self._calls[path](
                body, timeout=max(0.0, deadline_s - time.monotonic()), metadata=self._metadata
            )
        except aio.AioRpcError as error:
            raise call_failed(error, self._target) from None
        return answer

    async def _info(self, model: str, version: int | None, deadline_s: float) -> ModelInfo:
        key = (model, version or 0)
        info = self._infos.get(key)
        if info is None:
            info = self._infos[key] = await self.model(
                model, version, timeout_s=deadline_s - time.monotonic()
            )
        return info

    def _forget(self, model: str, version: int | None) -> None:
        self._infos.pop((model, version or 0), None)
