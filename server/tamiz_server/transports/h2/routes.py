"""Which method a path names, and what may be sent to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tamiz_server.access.access import OPEN, OPEN_MESSAGE_BYTES
from tamiz_server.serving.methods import Feed, Method, Methods, Stream
from tamiz_server.transports.h2.limits import Limits


class Route(NamedTuple):
    """A method. One of `method`, `feed` and `stream` is its implementation, the others are None.

    Attributes:
        counts_itself: whether its service counts its calls.
        message_bytes: its largest message.
    """

    method: Method | None
    feed: Feed | None
    stream: Stream | None
    counts_itself: bool
    message_bytes: int


def routes(services: Iterable[Methods], limits: Limits) -> dict[bytes, Route]:
    """Return the methods of some services by their paths."""
    found = {}
    for service in services:
        names = [*service.methods, *service.feeds, *service.streams]
        for name in names:
            path = f"/{service.name}/{name}"
            found[path.encode()] = Route(
                service.methods.get(name),
                service.feeds.get(name),
                service.streams.get(name),
                name in service.predicts,
                min(OPEN_MESSAGE_BYTES, limits.message_bytes) if path in OPEN else limits.message_bytes,
            )
    return found
