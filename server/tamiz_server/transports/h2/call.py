"""One call: what its header fields say, what came, and what became of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from tamiz_server.access.access import Caller
from tamiz_server.transports.h2.framing import Deframer
from tamiz_server.transports.h2.metadata import Fields, decoded
from tamiz_server.transports.h2.routes import Route

_IDENTITY: Final = "identity"


class Call:
    """A call that is open on a connection.

    Attributes:
        number: of its HTTP/2 stream.
        fields: its header fields.
        route: the method that it calls; None as long as that is not known.
        caller: who calls, if calls need tokens.
        deadline_s: when it must have ended, on time.monotonic's clock.
        encoding: what its messages are packed with.
        came: the bytes that came and were not taken; None if none did.
        unpaid: how many of them the caller was not told that they were taken.
        body: the only message of a call that has one, as soon as it is whole.
        has_ended_sending: whether the caller has sent everything.
        n_came, n_written: how many bytes came and were written, unless all at once.
        has_begun: whether the header fields of the answer were sent.
        is_done: whether its status is decided.
        moved: what had come and was still to be sent when that was looked at last.
        moved_s: when that was other than before.
        task: what answers it.
        reader, writer: wait until something came, or until there is room for another answer.
    """

    __slots__ = (
        "_evict",
        "body",
        "caller",
        "came",
        "deadline_s",
        "encoding",
        "fields",
        "has_begun",
        "has_ended_sending",
        "is_done",
        "moved",
        "moved_s",
        "n_came",
        "n_written",
        "number",
        "reader",
        "route",
        "task",
        "unpaid",
        "writer",
    )

    def __init__(self, number: int, fields: Fields, evict: Callable[[Call], None]) -> None:
        """Begin with the header fields; `evict` ends it if others need the room of what came."""
        self._evict = evict
        self.number = number
        self.fields = fields
        self.route: Route | None = None
        self.caller: Caller | None = None
        self.deadline_s = math.inf
        self.encoding = _IDENTITY
        self.came: Deframer | None = None
        self.unpaid = 0
        self.body: bytes | None = None
        self.has_ended_sending = False
        self.n_came = 0
        self.n_written = 0
        self.has_begun = False
        self.is_done = False
        self.moved = (-1, -1)
        self.moved_s = math.inf
        self.task: asyncio.Task[None] | None = None
        self.reader: asyncio.Future[None] | None = None
        self.writer: asyncio.Future[None] | None = None

    def metadata(self) -> list[tuple[str, str | bytes]]:
        """Return what the caller sent with it."""
        return decoded(self.fields)

    def give_up(self) -> None:
        """End it, because others need the room of what came; see `Room`."""
        self._evict(self)
