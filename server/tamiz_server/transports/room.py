"""Room for bytes that many hold together. Beyond it, whoever moved nothing for longest gives up its bytes."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    """Something that holds bytes."""

    def give_up(self) -> None:
        """Let go of the bytes."""


_Holder = TypeVar("_Holder", bound=Holder)


class Room(Generic[_Holder]):
    """How many bytes each holder has, and all together.

    An honest sender's message is soon complete, and an honest reader takes its answers. So those that did not
    move for longest are the ones to go.

    Attributes:
        n_bytes: how many bytes all hold.
    """

    def __init__(self, most_bytes: int) -> None:
        """Begin empty."""
        self.n_bytes = 0
        self._most_bytes = most_bytes
        self._held: dict[_Holder, int] = {}  # those that moved longest ago are first

    def hold(self, holder: _Holder, n_bytes: int, *, moved: bool = False) -> None:
        """Say how many bytes a holder has now, and whether it moved. If it has fewer than before, it has."""
        before = self._held.get(holder, 0)
        if n_bytes < before or (moved and before):
            del self._held[holder]
        if n_bytes:
            self._held[holder] = n_bytes
        self.n_bytes += n_bytes - before
        while self.n_bytes > self._most_bytes and self._held:
            first = next(iter(self._held))
            self.n_bytes -= self._held.pop(first)
            first.give_up()
