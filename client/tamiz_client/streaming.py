"""What a stream says and how its answers are read, without I/O. Both clients use it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypedDict

from tamiz.v1.prediction_pb2 import PredictRequest, StatusCode, StreamPredictResponse
from tamiz_client.answers import parse, read_result
from tamiz_client.calls import Calls, Steps, Version
from tamiz_client.durations import seconds
from tamiz_client.encoding import build_request
from tamiz_client.errors import CallFailed, InvalidAnswer, InvalidRows, ModelChanged, failed_with
from tamiz_client.result import ModelInfo, Result

_US_PER_S: Final = 1_000_000
_CHUNKED: Final = 3
"""Dimensions of an array of chunks of rows, at least."""


class StreamOptions(TypedDict, total=False):
    """The options of `Client.stream` that do not change the type of its results."""

    version: int | str | None
    threshold: float | None
    return_probabilities: bool
    low_priority: bool
    request_timeout_s: float | None
    timeout_s: float | None


class _Waiting(NamedTuple):
    """A request without an answer: the rows, in case they are asked again, and the request without them."""

    rows: Any
    n_rows: int
    asked: PredictRequest
    info: ModelInfo


class Conversation:
    """The requests of one stream that have no answer yet.

    A chunk that was encoded for a model that has been replaced is asked again, by a call of its own.

    Attributes:
        error: what ended the chunks early, such as InvalidRows; None if nothing did.
        sent_all: whether all chunks were sent.
    """

    def __init__(
        self,
        target: str,
        calls: Calls,
        info: ModelInfo,
        *,
        version: Version,
        request_timeout_s: float | None,
        timeout_s: float | None,
        return_errors: bool,
        **wishes: Any,
    ) -> None:
        """Prepare.

        Args:
            target: the server, for messages.
            calls: look the model up again, and ask chunks again.
            info: what the server said of the model.
            version: the version to ask.
            request_timeout_s: how long each may wait to be computed; None for as long as the stream lives.
            timeout_s: how long the stream may take; None for any time.
            return_errors: whether `hear` returns a request's failure; otherwise it raises it.
            wishes: others of `encoding.build_requests`.
        """
        self.error: BaseException | None = None
        self.sent_all = False
        self._target = target
        self._calls = calls
        self._info = info
        self._version = version
        self._wishes = wishes
        self._return_errors = return_errors
        self._timeout_s = (
            None if request_timeout_s is None else seconds("request_timeout_s", request_timeout_s)
        )
        self._timeout_us = 0 if self._timeout_s is None else max(1, int(self._timeout_s * _US_PER_S))
        self._until_s = None if timeout_s is None else time.monotonic() + seconds("timeout_s", timeout_s)
        self._waiting: deque[_Waiting] = deque()
        self._refused: list[Any] = []
        self._n_asked = 0

    def remaining_s(self) -> float | None:
        """Return how much time is left for the stream; None for any time."""
        return None if self._until_s is None else max(0.0, self._until_s - time.monotonic())

    def ask(self, rows: Any) -> bytes:
        """Return a PredictRequest, numbered, for some rows.

        Raises:
            InvalidRows, ModelChanged: if they do not fit the model as it was looked up.
        """
        info = self._info
        try:
            self._calls.require_names(info, self._version, rows)
            request = build_request(
                info.name,
                rows,
                info.manifest.inputs,
                inputs_digest=info.manifest.inputs_digest,
                version=self._version,
                **self._wishes,
            )
        except (InvalidRows, ModelChanged):
            self._refused.append(rows)
            raise
        request.id = str(self._n_asked)
        request.timeout_us = self._timeout_us
        self._n_asked += 1
        body = request.SerializeToString()
        n_rows = request.inputs[0].shape[0]
        request.ClearField("inputs")
        self._waiting.append(_Waiting(rows, n_rows, request, info))
        return body

    def hear(self, body: bytes) -> Steps[Result | CallFailed]:
        """Return what a StreamPredictResponse says.

        Raises:
            CallFailed: if it is not the answer to the oldest request, or says that the request failed.
        """
        answer = parse(StreamPredictResponse, body)
        expected = self._waiting[0].asked.id if self._waiting else "none"
        if answer.id != expected:
            raise InvalidAnswer(f"expected the one to request {expected!r}, got the one to {answer.id!r}")
        waiting = self._waiting.popleft()
        try:
            try:
                return self._read(answer, waiting)
            except ModelChanged:
                return (yield from self._ask_again(waiting.rows))
        except CallFailed as error:
            if not self._return_errors:
                raise
            return error.by(self._target) if isinstance(error, InvalidAnswer) else error

    def end(self) -> Steps[Result | None]:
        """Return the answer to the chunk at which a stream ended, because it did not fit the model.

        The model is looked up again first. If there is an answer, the rest of the chunks is for a new stream.

        Returns:
            The answer; None if every chunk has one.

        Raises:
            InvalidRows: if the chunk does not fit the model as it is now.
            InvalidAnswer: if the server ended the stream without an answer to every chunk.
        """
        error, self.error = self.error, None
        if self._waiting or (error is None and not self.sent_all):
            raise InvalidAnswer("the stream ended before every chunk was answered")
        if error is None:
            return None
        if not self._refused:
            raise error
        return (yield from self._ask_again(self._refused.pop()))

    def _read(self, answer: StreamPredictResponse, waiting: _Waiting) -> Result:
        if answer.WhichOneof("outcome") == "response":
            return read_result(answer.response, waiting.asked, waiting.n_rows, waiting.info)
        number = answer.failure.code
        if number == StatusCode.STATUS_CODE_OK:
            raise InvalidAnswer("it holds neither a response nor a failure")
        known = number in StatusCode.values()  # a newer server may know more
        code = StatusCode.Name(number).removeprefix("STATUS_CODE_") if known else "UNKNOWN"
        raise failed_with(
            code, answer.failure.message, self._target, timeout=("request_timeout_s", self._timeout_s)
        )

    def _ask_again(self, rows: Any) -> Steps[Result]:
        """Ask for a chunk by itself, of the model as it is now; encode later chunks for that one."""
        model = self._info.name
        result = yield from self._calls.predict(model, rows, version=self._version, **self._wishes)
        self._info = yield from self._calls.info(model, self._version)
        return result


def check_chunks(chunks: Any) -> None:
    """Refuse a single table where several are expected: iterating over it gives its columns or rows.

    Raises:
        InvalidRows: if `chunks` is a table, a dict, an array of rows or a string.
    """
    is_table = hasattr(chunks, "columns") or hasattr(chunks, "column_names")
    if is_table or isinstance(chunks, str | Mapping) or getattr(chunks, "ndim", _CHUNKED) < _CHUNKED:
        raise InvalidRows(
            f"chunks is a single {type(chunks).__name__}: expected several, such as [X] or"
            " pd.read_csv(path, chunksize=1000)"
        )
