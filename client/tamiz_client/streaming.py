"""What a stream says and how its answers are read, without I/O: both clients use it."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from tamiz.v1.prediction_pb2 import Priority, StatusCode, StreamPredictResponse
from tamiz_client.encoding import build_request
from tamiz_client.errors import CallFailed, failed_with
from tamiz_client.result import ModelInfo, Result, to_result

_US_PER_S: Final = 1_000_000


class Conversation:
    """The requests of one stream that have no answer yet.

    Attributes:
        error: what went wrong while requests were made, such as InvalidRows; it ends the stream after the answers to those
            before it.
    """

    def __init__(
        self,
        target: str,
        info: ModelInfo,
        *,
        low_priority: bool,
        request_timeout_s: float | None,
        **wishes: Any,
    ) -> None:
        """Prepare.

        Args:
            target: the server, for messages.
            info: what it said of the model.
            low_priority: whether the requests give way to others.
            request_timeout_s: how long each may wait to be computed; None for as long as the stream lives.
            wishes: those of `encoding.build_request`.
        """
        self.error: BaseException | None = None
        self._target = target
        self._info = info
        self._wishes = wishes
        self._low_priority = low_priority
        self._timeout_us = 0 if request_timeout_s is None else max(1, int(request_timeout_s * _US_PER_S))
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
            CallFailed: if it is not the answer to the oldest request.
        """
        answer = StreamPredictResponse.FromString(body)
        expected = self._waiting.popleft() if self._waiting else "none"
        if answer.id != expected:
            raise CallFailed(
                f"{self._target}: the answer to request {answer.id!r} came where that to {expected!r} was expected",
                "INTERNAL",
            )
        if answer.WhichOneof("outcome") == "response":
            return to_result(answer.response)
        number = answer.failure.code
        known = number in StatusCode.values()  # a newer server may know more
        code = StatusCode.Name(number).removeprefix("STATUS_CODE_") if known else "UNKNOWN"
        return failed_with(code, answer.failure.message, self._target)
