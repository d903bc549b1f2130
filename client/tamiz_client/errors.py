"""What can go wrong for a caller.

    TamizClientError
    ├── InvalidRows          the rows do not fit the model; nothing was sent
    └── CallFailed           the server did not answer; carries gRPC's code
        ├── InvalidRequest   INVALID_ARGUMENT
        ├── ModelNotFound    NOT_FOUND
        ├── ServerBusy       RESOURCE_EXHAUSTED
        ├── DeadlineExceeded DEADLINE_EXCEEDED
        ├── ServerUnavailable UNAVAILABLE
        └── NotAllowed       UNAUTHENTICATED, PERMISSION_DENIED

An abstained row is none of these: it is an answer.
"""

from __future__ import annotations

from typing import Final

import grpc


class TamizClientError(Exception):
    """Something went wrong; the message says what, and what to do."""


class InvalidRows(TamizClientError, ValueError):
    """The rows do not fit the model. Nothing was sent."""


class CallFailed(TamizClientError):
    """The server did not answer.

    Attributes:
        code: the name of gRPC's status, such as "UNAVAILABLE".
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidRequest(CallFailed):
    """The request cannot be right, however often it is sent."""


class ModelNotFound(CallFailed):
    """No such model, or no such version of it."""


class ServerBusy(CallFailed):
    """The queue is full, or a message is too large. Nothing was computed; try later, elsewhere or smaller."""


class DeadlineExceeded(CallFailed):
    """No answer came in time; give a longer `timeout_s`, or fewer rows."""


class ServerUnavailable(CallFailed):
    """The server cannot be reached, is starting or is stopping."""


class NotAllowed(CallFailed):
    """The credentials are missing, wrong or not sufficient."""


_BY_CODE: Final[dict[str, type[CallFailed]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": ModelNotFound,
    "RESOURCE_EXHAUSTED": ServerBusy,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNAVAILABLE": ServerUnavailable,
    "UNAUTHENTICATED": NotAllowed,
    "PERMISSION_DENIED": NotAllowed,
}


def call_failed(error: grpc.RpcError, target: str) -> CallFailed:
    """Return gRPC's error as one of ours, with the server's own words."""
    return failed_with(error.code().name, error.details() or "no details", target)


def failed_with(code: str, details: str, target: str) -> CallFailed:
    """Return the error for a status: its name, and the server's own words."""
    return _BY_CODE.get(code, CallFailed)(f"{target}: {code}: {details}", code)
