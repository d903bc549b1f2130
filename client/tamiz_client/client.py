"""The client for ordinary programs: calls block."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import grpc

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


class Client:
    """A connection to a Tamiz server. Thread-safe; make one and keep it.

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
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, tls.credentials(), options)
        self._target = target
        self._timeout_s = timeout_s
        self._metadata = tuple(metadata)
        paths = (PREDICT, LIST_MODELS, GET_MODEL, HEALTH)
        call = self._channel.unary_unary
        self._calls = {path: call(path) for path in paths}  # type: ignore[call-arg]  # messages stay bytes
        self._infos: dict[tuple[str, int], ModelInfo] = {}

    def predict(
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
        info = self._info(model, version, deadline_s)

        def ask(info: ModelInfo) -> Result:
            request = build_request(
                model,
                rows,
                info.manifest.inputs,
                version=version,
                threshold=threshold,
                return_probabilities=return_probabilities,
            )
            return to_result(
                PredictResponse.FromString(self._call(PREDICT, request.SerializeToString(), deadline_s))
            )

        try:
            result = ask(info)
        except InvalidRequest:
            # The model may have been replaced by one with other inputs since they were looked up.
            self._forget(model, version)
            fresh = self._info(model, version, deadline_s)
            if fresh.manifest.inputs == info.manifest.inputs:
                raise
            result = ask(fresh)
        if result.model_version != info.version:
            self._forget(model, version)
        return result

    def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        body = self._call(LIST_MODELS, ListModelsRequest().SerializeToString(), deadline_s)
        return {each.name: list(each.versions) for each in ListModelsResponse.FromString(body).models}

    def model(self, name: str, version: int | None = None, *, timeout_s: float | None = None) -> ModelInfo:
        """Return what a served version says of itself."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        request = GetModelRequest(name=name, version=version or 0)
        body = self._call(GET_MODEL, request.SerializeToString(), deadline_s)
        return ModelInfo.of(GetModelResponse.FromString(body))

    def health(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Return whether the server, or one of its models, is serving; False where it does not answer."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        try:
            return is_serving(self._call(HEALTH, health_request(model), deadline_s))
        except (DeadlineExceeded, ModelNotFound, ServerUnavailable):
            return False

    def wait_until_ready(self, timeout_s: float = 30.0, model: str = "") -> None:
        """Return when the server, or one of its models, is serving.

        Raises:
            ServerUnavailable: if it is not within `timeout_s`.
        """
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if self.health(model, timeout_s=max(_POLL_S, until_s - time.monotonic())):
                return
            time.sleep(_POLL_S)
        raise ServerUnavailable(f"{self._target}: not serving within {timeout_s:g} s", "UNAVAILABLE")

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, path: str, body: bytes, deadline_s: float) -> bytes:
        try:
            answer: bytes = self._calls[path](
                body, timeout=max(0.0, deadline_s - time.monotonic()), metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise call_failed(error, self._target) from None
        return answer

    def _info(self, model: str, version: int | None, deadline_s: float) -> ModelInfo:
        key = (model, version or 0)
        info = self._infos.get(key)
        if info is None:
            info = self._infos[key] = self.model(model, version, timeout_s=deadline_s - time.monotonic())
        return info

    def _forget(self, model: str, version: int | None) -> None:
        self._infos.pop((model, version or 0), None)
