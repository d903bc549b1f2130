"""A service over HTTP as a transport sees it: paths that take a request and give a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from tamiz_server.serving.json_text import write_json
from tamiz_server.telemetry.access_log import Metadata

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"


class Asked(NamedTuple):
    """A request.

    Attributes:
        named: what the path names, by the names in the endpoint's path.
        headers: the header fields, in lower case.
        body: the body, unpacked.
        deadline_s: when it must have ended, on time.monotonic's clock; infinite for never.
        metadata: the header fields, as the access log reads those of calls.
    """

    named: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    deadline_s: float
    metadata: Metadata


class Reply(NamedTuple):
    """An answer.

    Attributes:
        body: its body; for the request HEAD it is not sent.
        status: its status.
        content_type: what the body is.
        headers: further header fields.
    """

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Endpoint(NamedTuple):
    """What one path answers to one HTTP method.

    Attributes:
        verb: GET (and HEAD with it) or POST.
        path: such as "/v2/models/{name}/infer", where a name in braces stands for one part of the path.
        method: what it does, as in `access`: the path of the method that does the same over gRPC.
        answer: answers a request, or raises TamizError.
        counts_itself: whether it counts its requests, as requests for predictions.
    """

    verb: str
    path: str
    method: str
    answer: Callable[[Asked], Awaitable[Reply]]
    counts_itself: bool = False


def json_reply(value: object, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    """Return an answer in JSON."""
    return Reply(write_json(value), status)
