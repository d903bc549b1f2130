"""Receives calls: what their header fields say, and whether they are let in."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from tamiz_server.access.access import Access
from tamiz_server.errors import MetadataTooLarge, NotOffered
from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.metadata import size_bytes
from tamiz_server.transports.h2.routes import Route
from tamiz_server.transports.h2.timeouts import timeout_s

_CONTENT_TYPE = b"application/grpc"
_AFTER_IT = (b"", b"+", b";")  # but not -web, which is another protocol


class NotGrpc(Exception):
    """A request that is no call, to be answered as HTTP says.

    Attributes:
        status: the answer's status.
    """

    def __init__(self, status: HTTPStatus) -> None:
        """Take the status."""
        super().__init__(status.phrase)
        self.status = status


class Reception:
    """Lets calls in: bounds come first, then access control, then the method. All connections share it."""

    def __init__(self, routes: Mapping[bytes, Route], limits: Limits, access: Access | None) -> None:
        """Let in calls of these methods; without access control, from everybody."""
        self._routes = routes
        self._limits = limits
        self._access = access

    def receive(self, call: Call, now_s: float) -> Route:
        """Fill in what the header fields of a call say, and return its method.

        Raises:
            NotGrpc: if it is another kind of request.
            TamizError: if it is not let in; `call.caller` is not set then.
        """
        fields = dict(call.fields)
        if fields[b":method"] != b"POST":
            raise NotGrpc(HTTPStatus.METHOD_NOT_ALLOWED)
        kind = fields.get(b"content-type", b"")
        end = len(_CONTENT_TYPE)
        if kind[:end].lower() != _CONTENT_TYPE or kind[end : end + 1] not in _AFTER_IT:
            raise NotGrpc(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        if size_bytes(call.fields) > self._limits.metadata_bytes:
            raise MetadataTooLarge(f"the metadata is larger than {self._limits.metadata_bytes} bytes")
        timeout = fields.get(b"grpc-timeout")
        if timeout is not None:
            call.deadline_s = now_s + timeout_s(timeout)
        encoding = fields.get(b"grpc-encoding")
        if encoding is not None:
            call.encoding = encoding.decode("latin-1")
        path = fields[b":path"]
        if self._access is not None:
            call.caller = self._access.admit(path.decode("latin-1"), _authorization(call))
        route = self._routes.get(path)
        if route is None:
            raise NotOffered("there is no such method")
        return route


def _authorization(call: Call) -> str | None:
    """Return the header; of several the first, as everywhere in this server."""
    for name, value in call.fields:
        if name == b"authorization":
            return value.decode("latin-1")
    return None
