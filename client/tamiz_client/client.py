"""The client for ordinary programs: calls block."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, overload

import grpc

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


class Client:
    """A connection to a Tamiz server. Thread-safe; make one and keep it.

    Args:
        target: "host:port"; calls go round all addresses that the name has, as a headless service of Kubernetes gives them, or
            those of a list such as "ipv4:10.0.0.1:8001,10.0.0.2:8001". A call that meets a replica which stops goes to another
            one; see `RetryPolicy`.
        timeout_s: how long a call may take, unless it says otherwise.
        tls: for a server with TLS; None for plain text.
        token: a bearer token, sent with every call, also in plain text; None where the server asks for none.
        retry: when a failed call is tried again.
        metadata: sent with every call, such as [("x-request-id", "…")].
        max_message_bytes: the largest request or answer.
    """

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
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, tls.credentials(), options)
        self._target = target
        self._timeout_s = timeout_s
        self._metadata = (*metadata, *bearer(token))
        call = self._channel.unary_unary
        self._paths = {path: call(path) for path in PATHS}  # type: ignore[call-arg]  # messages stay bytes
        self._stream = self._channel.stream_stream(STREAM_PREDICT)  # type: ignore[call-arg]  # as above
        self._calls = Calls()

    def predict(
        self,
        model: str,
        rows: Any,
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        timeout_s: float | None = None,
    ) -> Result:
        """Ask for predictions.

        Args:
            model: the model's name.
            rows: (n_rows, n_features) ndarray, a DataFrame by column name, or a dict of arrays by input name.
            version: a version, or the label of one, such as "stable"; None for the highest.
            threshold: a confidence from 0 to 1 that rows have to reach besides the model's own threshold.
            return_probabilities: whether the result holds the probability of every class.
            timeout_s: how long the call may take.

        Returns:
            One entry per row; an abstained row has the label None.

        Raises:
            InvalidRows: if the rows do not fit the model; nothing was sent.
            CallFailed: if the server did not answer; see `errors`.
        """
        steps = self._calls.predict(
            model,
            rows,
            version=version,
            threshold=threshold,
            return_probabilities=return_probabilities,
        )
        return self._run(steps, timeout_s)

    @overload
    def stream(
        self,
        model: str,
        chunks: Iterable[Any],
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        low_priority: bool = False,
        request_timeout_s: float | None = None,
        timeout_s: float | None = None,
        return_errors: Literal[False] = False,
    ) -> Iterator[Result]: ...

    @overload
    def stream(
        self,
        model: str,
        chunks: Iterable[Any],
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        low_priority: bool = False,
        request_timeout_s: float | None = None,
        timeout_s: float | None = None,
        return_errors: Literal[True],
    ) -> Iterator[Result | CallFailed]: ...

    def stream(
        self,
        model: str,
        chunks: Iterable[Any],
        *,
        version: int | str | None = None,
        threshold: float | None = None,
        return_probabilities: bool = False,
        low_priority: bool = False,
        request_timeout_s: float | None = None,
        timeout_s: float | None = None,
        return_errors: bool = False,
    ) -> Iterator[Result | CallFailed]:
        """Ask for predictions on any number of chunks of rows, over one stream.

        Chunks are asked side by side and answered in order: as many as the server takes at a time, so that neither side holds
        more than these, however many there are.

        Args:
            model: the model's name.
            chunks: each as `rows` in `predict`.
            version: as in `predict`.
            threshold: as in `predict`.
            return_probabilities: as in `predict`.
            low_priority: whether others go first while these wait.
            request_timeout_s: how long each chunk may wait to be computed.
            timeout_s: how long the whole stream may take; None for any time.
            return_errors: whether a chunk that the server did not answer is returned as its CallFailed, in its place;
                otherwise it is raised, and ends the stream.

        Raises:
            InvalidRows: if a chunk does not fit the model, after the answers to those before it.
            CallFailed: if the server did not answer a chunk, or ended the stream; what was answered before has been returned.
        """
        info = self._run(self._calls.info(model, version), timeout_s)
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
            for body in call:
                outcome = conversation.hear(body)
                if isinstance(outcome, CallFailed) and not return_errors:
                    raise outcome
                yield outcome
            if conversation.error is not None:
                raise conversation.error
        except grpc.RpcError as error:
            raise call_failed(error, self._target) from None
        finally:
            call.cancel()  # type: ignore[no-untyped-call]  # grpc's stubs leave it out

    def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        return self._run(self._calls.models(), timeout_s)

    def model(
        self, name: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Return what a served version, named by number or label, says of itself; the highest one if none is named."""
        return self._run(self._calls.model(name, version), timeout_s)

    def health(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Return whether the server, or one of its models, is serving; False where it does not answer."""
        return self._run(self._calls.health(model), timeout_s)

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

    def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Make the calls that `steps` asks for, all within one timeout."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        try:
            path, body = next(steps)
            while True:
                try:
                    answer = self._call(path, body, deadline_s)
                except CallFailed as error:
                    path, body = steps.throw(error)
                else:
                    path, body = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _call(self, path: str, body: bytes, deadline_s: float) -> bytes:
        remaining_s = max(0.0, deadline_s - time.monotonic())
        try:
            answer: bytes = self._paths[path](body, timeout=remaining_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise call_failed(error, self._target) from None
        return answer


def _bodies(conversation: Conversation, chunks: Iterable[Any]) -> Iterator[bytes]:
    """Return the requests. gRPC runs this in a thread of its own, where an error would be lost: it is kept."""
    try:
        for rows in chunks:
            yield conversation.ask(rows)
    except Exception as error:  # noqa: BLE001  raised where the answers are read
        conversation.error = error
