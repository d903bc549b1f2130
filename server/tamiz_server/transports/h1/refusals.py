"""What a request that was not answered gets: a status, and why, in JSON."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from tamiz_server.errors import MessageTooLarge, MetadataTooLarge, TamizError
from tamiz_server.serving.endpoints import Reply, json_reply

_STATUSES: Final = {
    "CANCELLED": HTTPStatus.SERVICE_UNAVAILABLE,
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
    "UNIMPLEMENTED": HTTPStatus.NOT_IMPLEMENTED,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
}
"""As google.rpc.Code has them, but for FAILED_PRECONDITION: a client that was written for other inputs has to
tell this from a request that is wrong."""

_LATER: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_RETRY_AFTER_S: Final = "1"


class Refused(Exception):
    """A request that HTTP has a status for, and gRPC has not.

    Attributes:
        status: the status.
        code: the gRPC status that is closest, for `code` and the metrics.
        headers: header fields that belong to it.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        code: str = "INVALID_ARGUMENT",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Take what the caller is told."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


def reply_to(error: TamizError | Refused) -> Reply:
    """Return the answer that says why there is no other."""
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Refused):
        status, headers = error.status, error.headers
    elif isinstance(error, MessageTooLarge):
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    elif isinstance(error, MetadataTooLarge):
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    else:
        status = _STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.UNAUTHORIZED:
        headers = (*headers, ("www-authenticate", "Bearer"))
    if status in _LATER:
        headers = (*headers, ("retry-after", _RETRY_AFTER_S))
    return json_reply({"error": str(error), "code": error.code}, status)._replace(headers=headers)
