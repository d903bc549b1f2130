"""Receives requests: what their headers say, and whether they are let in. All connections share it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from h11 import Request

from tamiz_server.access.access import OPEN, OPEN_MESSAGE_BYTES, Access
from tamiz_server.errors import InvalidRequest, MessageTooLarge, MetadataTooLarge, NotPermitted
from tamiz_server.serving.endpoints import BINARY, JSON
from tamiz_server.transports.compression import ENCODINGS
from tamiz_server.transports.h1.call import Call
from tamiz_server.transports.h1.limits import Limits, size_bytes
from tamiz_server.transports.h1.refusals import Refused
from tamiz_server.transports.h1.routes import Found, Routes

_VERSIONS: Final = (b"1.1", b"1.0")
_UTF8: Final = ("utf-8", "utf8")
_ANYTHING: Final = "*"
"""The path of `OPTIONS *`, which asks about the server."""


class Options(Exception):
    """A request that asks what can be asked.

    Attributes:
        allowed: the methods.
    """

    def __init__(self, allowed: str) -> None:
        """Take the methods."""
        super().__init__(allowed)
        self.allowed = allowed


class Reception:
    """Lets requests in: bounds come first, then access control, then what the body is said to be."""

    def __init__(self, routes: Routes, limits: Limits, access: Access | None) -> None:
        """Let in requests for these paths; without access control, from everybody."""
        self._routes = routes
        self._limits = limits
        self._access = access

    def receive(self, request: Request) -> Call:
        """Return a request that is let in.

        Raises:
            Options: if it asks what can be asked.
            Refused, TamizError: if it is not let in.
        """
        headers = self._headers(request)
        _require_own_page(headers)
        path, verb = _path(request.target), request.method.decode("latin-1")
        found = self._routes.find(path)
        if verb == "OPTIONS" and (found.endpoints or path == _ANYTHING):
            raise Options(found.allowed if found.endpoints else "GET, HEAD, POST, OPTIONS")
        endpoint = found.endpoints.get(verb)
        method = path if endpoint is None else endpoint.method
        caller = None
        if self._access is not None and (endpoint is not None or not found.endpoints):
            caller = self._access.admit(method, headers.get("authorization"))
        if endpoint is None:
            raise _nothing_there(found, path, verb)
        most_bytes = self._limits.body_bytes
        if verb != "POST" or method in OPEN:
            most_bytes = min(OPEN_MESSAGE_BYTES, most_bytes)
        if int(headers.get("content-length", "0")) > most_bytes:
            raise too_large(most_bytes)
        if verb == "POST":
            _require_json(headers)
        packed = self._packed(headers)
        return Call(endpoint, found.named, headers, caller=caller, packed=packed, most_bytes=most_bytes)

    def _headers(self, request: Request) -> dict[str, str]:
        """Return the header fields of a request that is written as it should be."""
        if request.http_version not in _VERSIONS:
            raise Refused(
                HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
                f"the request is HTTP/{request.http_version.decode('latin-1')}: expected HTTP/1.1",
                "UNIMPLEMENTED",
            )
        if size_bytes(request.target, list(request.headers)) > self._limits.header_bytes:
            raise header_too_large(self._limits.header_bytes)
        headers: dict[str, str] = {}
        for name, value in request.headers:
            headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy may have read another request than this (RFC 9112, section 6.1).
            raise InvalidRequest("the header has both content-length and transfer-encoding: expected one")
        return headers

    def _packed(self, headers: Mapping[str, str]) -> str:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding == "identity":
            return ""
        allowed = self._limits.packed_allowed
        if not allowed or encoding not in ENCODINGS:
            offered = ", ".join(sorted(ENCODINGS)) if allowed else "identity"
            why = "" if allowed else " (--take-compressed allows gzip and deflate)"
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"content-encoding is {encoding[:40]!r}: expected {offered}{why}",
                headers=(("accept-encoding", offered),),
            )
        return encoding


def has_body(request: Request) -> bool:
    """Return whether a body follows the header."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and int(value) > 0)
        for name, value in request.headers
    )


def header_too_large(most_bytes: int) -> MetadataTooLarge:
    """Return what is said of a header that is too large."""
    return MetadataTooLarge(f"the header is larger than {most_bytes} bytes")


def too_large(most_bytes: int) -> MessageTooLarge:
    """Return what is said of a body that is too large."""
    return MessageTooLarge(f"the body is larger than {most_bytes} bytes: send fewer rows at once")


def _path(target: bytes) -> str:
    """Return the path of a request's target, which may be a whole URL (RFC 9112, section 3.2)."""
    text = target.decode("latin-1").partition("?")[0].partition("#")[0]
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return "/" + rest.partition("/")[2]
    return text


def _require_own_page(headers: Mapping[str, str]) -> None:
    """Refuse what a page of another server has a browser send: the browser may reach more than the page may.

    A browser says where a page comes from with all that may change something, and with all whose answer the
    page could read. A page whose own name means this machine (DNS rebinding) cannot be told from ours.

    Raises:
        Refused: if the request says that it comes from such a page.
    """
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "the request comes from a page of another server (header origin), which is not allowed",
            NotPermitted.code,
        )


def _nothing_there(found: Found, path: str, verb: str) -> Refused:
    if not found.endpoints:
        return Refused(
            HTTPStatus.NOT_FOUND, f"there is no path {path[:200]!r}; /openapi.json lists them", "NOT_FOUND"
        )
    return Refused(
        HTTPStatus.METHOD_NOT_ALLOWED,
        f"method {verb[:20]} is not allowed here: expected {found.allowed}",
        "UNIMPLEMENTED",
        (("allow", found.allowed),),
    )


def _require_json(headers: Mapping[str, str]) -> None:
    given = headers.get("content-type")
    if given is None:
        return
    type_, *parameters = (part.strip().lower() for part in given.split(";"))
    if type_ not in (JSON, BINARY):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"content-type is {given[:80]!r}: expected {JSON} (curl: -H 'content-type: {JSON}')",
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _UTF8:
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-type is {given[:80]!r}: expected JSON in UTF-8"
            )
