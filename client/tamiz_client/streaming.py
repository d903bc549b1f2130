"""What a stream says and how its answers are read, without I/O. Both clients use it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from tamiz.v1.prediction_pb2 import Priority, StatusCode, StreamPredictResponse
from tamiz_client.durations import seconds
from tamiz_client.encoding import build_request
from tamiz_client.errors import CallFailed, InvalidRows, failed_with
from tamiz_client.result import ModelInfo, Result, to_result

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


class Conversation:
    """The requests of one stream that have no answer yet.

    Attributes:
        error: what went wrong while a request was made, such as InvalidRows. It is raised after the answers
            to the requests before it.
    """

    def __init__(
        self,
        target: str,
        info: ModelInfo,
        *,
        low_priority: bool,
        request_timeout_s: float | None,
        return_errors: bool,
        **wishes: Any,
    ) -> None:
        """Prepare.

        Args:
            target: the server, for messages.
            info: what it said of the model.
            low_priority: whether requests of other callers go first.
            request_timeout_s: how long each may wait to be computed; None for as long as the stream lives.
            return_errors: whether `hear` returns a request's failure; otherwise it raises it.
            wishes: those of `encoding.build_request`.
        """
        self.error: BaseException | None = None
        self._target = target
        self._info = info
        self._wishes = wishes
        self._low_priority = low_priority
        self._return_errors = return_errors
        self._timeout_s = (
            None if request_timeout_s is None else seconds("request_timeout_s", request_timeout_s)
        )
        self._timeout_us = 0 if self._timeout_s is None else max(1, int(self._timeout_s * _US_PER_S))
        self._waiting: deque[str] = deque()
        self._n_asked = 0

    def ask(self, rows: Any) -> bytes:
        """Return a PredictRequest, numbered, for some rows.

        Raises:
            InvalidRows: if they do not fit the model.
        """
        request = build_request(self._info.name, rows, self._info.manifest.inputs, **self._wishes)
        request.id = str(self._n_asked)
        request.timeout_us = self._timeout_us
        if self._low_priority:
            request.priority = Priority.PRIORITY_LOW
        self._n_asked += 1
        self._waiting.append(request.id)
        return request.SerializeToString()

    def hear(self, body: bytes) -> Result | CallFailed:
        """Return what a StreamPredictResponse says.

        Raises:
            CallFailed: if it is not the answer to the oldest request, or says that the request failed.
        """
        answer = StreamPredictResponse.FromString(body)
        expected = self._waiting.popleft() if self._waiting else "none"
        if answer.id != expected:
            raise CallFailed(
                f"{self._target}: expected the answer to request {expected!r}, got the one to {answer.id!r}",
                "INTERNAL",
            )
        if answer.WhichOneof("outcome") == "response":
            return to_result(answer.response)
        number = answer.failure.code
        known = number in StatusCode.values()  # a newer server may know more
        code = StatusCode.Name(number).removeprefix("STATUS_CODE_") if known else "UNKNOWN"
        failure = failed_with(
            code, answer.failure.message, self._target, timeout=("request_timeout_s", self._timeout_s)
        )
        if not self._return_errors:
            raise failure
        return failure


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
