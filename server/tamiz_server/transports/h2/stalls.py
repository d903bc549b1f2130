"""Calls of which nothing moves, though it is the peer's turn: half a message, an answer that nobody takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from tamiz_server.transports.h2.call import Call

_LOOKS: Final = 4
"""How often the calls are looked at in the time that they may take."""


class Stalls:
    """Looks at the calls of a connection now and then.

    Attributes:
        due_s: when to look again; infinite while no call is open.
    """

    def __init__(self, within_s: float, unsent_bytes: Callable[[Call], int]) -> None:
        """Begin.

        Args:
            within_s: how long nothing of a call may move.
            unsent_bytes: returns how much of a call's answers is not sent.
        """
        self.due_s = math.inf
        self._within_s = within_s
        self._unsent_bytes = unsent_bytes

    def begin(self, now_s: float) -> None:
        """Look at a new call in time."""
        if self.due_s == math.inf:
            self.due_s = now_s + self._within_s / _LOOKS

    def look(self, calls: Iterable[Call], now_s: float) -> list[Call]:
        """Return the calls that are to be ended."""
        if now_s < self.due_s:
            return []
        self.due_s = math.inf
        stalled = []
        for call in calls:
            self.begin(now_s)
            unsent_bytes = self._unsent_bytes(call)
            moved = (call.n_came, call.n_written - unsent_bytes)
            if moved != call.moved:
                call.moved, call.moved_s = moved, now_s
            elif now_s >= call.moved_s + self._within_s and _waits_for_peer(call, unsent_bytes):
                stalled.append(call)
        return stalled


def _waits_for_peer(call: Call, unsent_bytes: int) -> bool:
    """Return whether the peer has to send the rest of a message, or to take an answer."""
    if unsent_bytes or call.is_done:
        return True
    if call.unpaid or call.has_ended_sending:
        return False
    if call.route is not None and call.route.stream is not None:
        return call.came is not None and not call.came.is_between
    return call.task is None
