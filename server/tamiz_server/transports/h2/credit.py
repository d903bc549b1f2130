"""Which calls of a connection may send on, by what came and was not taken yet (RFC 9113, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable

from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.room import Room


class Credit:
    """What came on a connection and was not taken yet.

    A caller may send as much of a call as HTTP/2's window allows, and on when it is told that bytes were
    taken. Beyond the connection's share only one call at a time is told so, until its message is whole. So
    many large messages at once take longer, but none of them is refused.

    Attributes:
        n_bytes: how many bytes are here.
    """

    def __init__(self, most_bytes: int, room: Room[Call], pay: Callable[[int, int], None]) -> None:
        """Begin empty.

        Args:
            most_bytes: the connection's share.
            room: what all connections share.
            pay: tells the caller that bytes were taken; takes the number of the call, and how many.
        """
        self.n_bytes = 0
        self._most_bytes = most_bytes
        self._room = room
        self._pay = pay
        self._held: dict[Call, int] = {}
        self._alone: Call | None = None
        self._waiting: dict[Call, None] = {}

    def hold(self, call: Call, n_bytes: int) -> None:
        """Say how many bytes of a call are here now."""
        before = self._held.get(call, 0)
        self.n_bytes += n_bytes - before
        if n_bytes:
            self._held[call] = n_bytes
        else:
            self._held.pop(call, None)
        self._room.hold(call, n_bytes)
        if n_bytes < before:
            self._let_next(call)

    def want(self, call: Call) -> None:
        """Have the caller send on, because a message of this call is not whole. It may have to wait."""
        if self.n_bytes > self._most_bytes:
            if self._alone not in {None, call}:
                self._waiting[call] = None
                return
            self._alone = call
        self._waiting.pop(call, None)
        self.pay(call)

    def pay(self, call: Call, *, but_bytes: int = 0) -> None:
        """Tell the caller that what came of this call was taken, but for so many bytes."""
        n_bytes = call.unpaid - but_bytes
        if n_bytes > 0:
            call.unpaid -= n_bytes
            self._pay(call.number, n_bytes)

    def forget(self, call: Call) -> None:
        """Let go of what is here of a call."""
        self._waiting.pop(call, None)
        self.hold(call, 0)
        self.pay(call)
        self._let_next(call)

    def _let_next(self, call: Call) -> None:
        """Have others send on, now that a call has fewer bytes here."""
        if self._alone is call:
            self._alone = None
        for waiting in list(self._waiting):
            if self._alone is not None and self.n_bytes > self._most_bytes:
                break
            self.want(waiting)
