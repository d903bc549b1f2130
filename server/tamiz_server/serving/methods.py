"""A service as a transport sees it: methods that take bytes and give bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

from tamiz_server.telemetry.access_log import Metadata

Method = Callable[[bytes, float, Metadata], Awaitable[bytes]]
"""Takes message bytes, the deadline on time.monotonic's clock (infinite: none) and metadata.

Returns the answer's bytes, or raises TamizError.
"""

Stream = Callable[[AsyncIterator[bytes], float, Metadata], AsyncGenerator[bytes, None]]
"""As `Method`, for many messages. The answers end when the messages end, or with a TamizError.

Whoever stops taking answers before the end must close it.
"""


Feed = Callable[[bytes, float, Metadata], AsyncGenerator[bytes, None]]
"""Takes one message, as `Method`, and gives answers for as long as there are any, as `Stream`."""


class Methods(Protocol):
    """A service.

    Attributes:
        name: the service's name on the wire.
        methods: method name, as in the contract → its implementation.
        feeds: the same for methods that take one message and give a stream of them.
        streams: the same for methods that take and give a stream of messages.
        predicts: the methods whose calls the service counts itself, as requests for predictions.
    """

    name: str
    methods: dict[str, Method]
    feeds: dict[str, Feed]
    streams: dict[str, Stream]
    predicts: frozenset[str]
