"""The client for ordinary programs: calls block."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

import grpc

from tamiz_client.calls import NOT_READY, Steps, T
from tamiz_client.connection import POLL_S, Connection
from tamiz_client.durations import seconds
from tamiz_client.errors import CallFailed, DeadlineExceeded, InvalidAnswer
from tamiz_client.result import ModelInfo, Result
from tamiz_client.retry import Attempts
from tamiz_client.streaming import Conversation, StreamOptions, check_chunks


class Client(Connection):
    """A connection to a Tamiz server. Make one and keep it: it may be used by several threads.

    Args:
        target: "host:port". Calls go round all addresses that the name has, as a headless service of
            Kubernetes gives them, or those of a list such as "ipv4:10.0.0.1:8001,10.0.0.2:8001". When the
            replica that got a call stops, the call goes to another one; see `RetryPolicy`.
        timeout_s: how long a call may take, unless it says otherwise.
        tls: for a server with TLS; None for plain text.
        token: a bearer token, sent with every call, also in plain text; None where the server asks for none.
        retry: when a failed call is tried again.
        metadata: pairs that are sent with every call, such as [("x-request-id", "…")].
        max_message_bytes: the largest request or answer.

    Raises:
        TamizClientError: if an argument cannot be right; nothing is sent.
    """

    def _open(
        self, credentials: grpc.ChannelCredentials | None, options: list[tuple[str, Any]]
    ) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(self._target, options)
        return grpc.secure_channel(self._target, credentials, options)

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
        """Ask for predictions on any number of rows. What is too large for one request is sent in several.

        Args:
            model: the model's name.
            rows: (n_rows, n_features) ndarray, a DataFrame by column name, or a dict of arrays by input name.
            version: a version, or the label of one, such as "stable"; None for the highest.
            threshold: a confidence from 0 to 1 that rows must reach in addition to the model's own threshold.
                It is raised to the next threshold that the certificate proves. Above the strictest of them it
                is applied as it is, and the result is not `certified`.
            return_probabilities: whether the result holds the probability of every class.
            timeout_s: how long the call may take, with all its requests; None for the client's own time-out.

        Returns:
            One entry per row, all by one version; an abstained row has the label None.

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
        return_errors: Literal[False] = False,
        **options: Unpack[StreamOptions],
    ) -> Iterator[Result]: ...

    @overload
    def stream(
        self,
        model: str,
        chunks: Iterable[Any],
        *,
        return_errors: Literal[True],
        **options: Unpack[StreamOptions],
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

        Chunks are sent without waiting for the answers to earlier ones, as many as the server takes at a
        time, and are answered in order. Neither side ever holds more than these, however many chunks there
        are.

        Args:
            model: the model's name.
            chunks: any number of them, each as `rows` in `predict`.
            version: as in `predict`.
            threshold: as in `predict`.
            return_probabilities: as in `predict`.
            low_priority: whether requests of other callers go first while these wait.
            request_timeout_s: how long each chunk may wait to be computed.
            timeout_s: how long the whole stream may take; None for any time.
            return_errors: whether a chunk that the server did not answer yields its CallFailed, in its place.
                Otherwise the CallFailed is raised, which ends the stream.

        Raises:
            InvalidRows: if a chunk does not fit the model; the answers to the chunks before it come first.
            CallFailed: if the server did not answer a chunk, or ended the stream; earlier answers have been
                returned.
        """
        check_chunks(chunks)
        info = self._run(self._calls.info(model, version), timeout_s)
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
        left = iter(chunks)
        while True:
            with self._errors(timeout_s):
                call = self._stream(
                    _bodies(conversation, left), timeout=conversation.remaining_s(), metadata=self._metadata
                )
                try:
                    for body in call:
                        yield self._run(conversation.hear(body), conversation.remaining_s())
                finally:
                    call.cancel()
            answer = self._run(conversation.end(), conversation.remaining_s())
            if answer is None:
                return
            yield answer

    def models(self, *, timeout_s: float | None = None) -> dict[str, list[int]]:
        """Return the served models: name → versions, ascending."""
        return self._run(self._calls.models(), timeout_s)

    def model(
        self, name: str, version: int | str | None = None, *, timeout_s: float | None = None
    ) -> ModelInfo:
        """Return the description of a served version; of the highest one if `version` is None."""
        return self._run(self._calls.model(name, version), timeout_s)

    def health(self, model: str = "", *, timeout_s: float | None = None) -> bool:
        """Return whether the server, or one of its models, is serving.

        False also where no server answers, and for a model that is not served: `model` says which one it is.
        """
        try:
            return self._run(self._calls.health(model), timeout_s)
        except NOT_READY:
            return False

    def wait_until_ready(self, timeout_s: float = 30.0, model: str = "") -> None:
        """Wait until the server, or one of its models, is serving.

        Raises:
            ServerUnavailable: if that takes longer than `timeout_s`; the message says what was wrong last.
        """
        until_s = time.monotonic() + seconds("timeout_s", timeout_s)
        trouble = "none"
        while (remaining_s := until_s - time.monotonic()) > 0:
            try:
                if self._run(self._calls.health(model), max(POLL_S, remaining_s)):
                    return
                trouble = "NOT_SERVING"
            except DeadlineExceeded:  # says less than what came before it
                pass
            except NOT_READY as error:
                trouble = str(error)
            time.sleep(POLL_S)
        raise self._not_ready(model, timeout_s, trouble)

    def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Make the calls that `steps` asks for, all within one time-out."""
        limit_s = self._limit_s(timeout_s)
        deadline_s = time.monotonic() + limit_s
        try:
            path, body = next(steps)
            while True:
                try:
                    answer = self._call(path, body, limit_s, deadline_s)
                except CallFailed as error:
                    path, body = steps.throw(error)
                else:
                    path, body = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        except InvalidAnswer as error:
            raise error.by(self._target) from error.__cause__

    def _call(self, path: str, body: bytes, limit_s: float, deadline_s: float) -> bytes:
        """Make one call, and again after a failure that allows it; `limit_s` is for the message."""
        attempts = Attempts(self._retry)
        while True:
            try:
                with self._errors(limit_s):
                    remaining_s = max(0.0, deadline_s - time.monotonic())
                    answer: bytes = self._paths[path](body, timeout=remaining_s, metadata=self._metadata)
                    return answer
            except CallFailed as error:
                pause_s = attempts.pause_s(error, deadline_s - time.monotonic())
                if pause_s is None:
                    raise
            time.sleep(pause_s)


def _bodies(conversation: Conversation, chunks: Iterator[Any]) -> Iterator[bytes]:
    """Return the requests. gRPC runs this in its own thread, where an error would be lost: it is kept."""
    try:
        for rows in chunks:
            yield conversation.ask(rows)
        conversation.sent_all = True
    except Exception as error:  # noqa: BLE001  raised where the answers are read
        conversation.error = error
