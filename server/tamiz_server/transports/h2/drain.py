"""The end of a connection that loses no call: two GOAWAYs, as RFC 9113, section 6.8, advises."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

_NOTICED_WITHIN_S: Final = 1.0
_LINGER_S: Final = 0.3
"""How long the peer has to read the last answers. A connection closed under it would take them away."""


class Step(Enum):
    """What is to be done."""

    NOTHING = auto()
    LAST_GOAWAY = auto()
    END_CALLS = auto()
    CLOSE = auto()


class _Stage(Enum):
    SERVING = auto()
    NOTICE_SENT = auto()
    LAST_SENT = auto()
    LINGERING = auto()


class Drain:
    """Where a connection stands on the way to its end.

        serving ─► notice sent (new calls may still be on their way) ─► last GOAWAY (none are taken any more)
        ─► calls have ended, or the time is up ─► a moment for the peer to read ─► closed

    Attributes:
        due_s: when to look again.
    """

    __slots__ = ("_stage", "_until_s", "due_s")

    def __init__(self) -> None:
        """Begin with a connection that serves."""
        self._stage = _Stage.SERVING
        self._until_s = math.inf
        self.due_s = math.inf

    def begin(self, now_s: float, grace_s: float) -> bool:
        """Begin, or leave less time; return whether the notice is to be sent, with a ping."""
        self._until_s = min(self._until_s, now_s + grace_s)
        is_new = self._stage is _Stage.SERVING
        if is_new:
            self._stage = _Stage.NOTICE_SENT
            self.due_s = min(now_s + _NOTICED_WITHIN_S, self._until_s)
        elif self._stage is not _Stage.LINGERING:
            self.due_s = min(self.due_s, self._until_s)
        return is_new

    def noticed(self, now_s: float) -> None:
        """Take the answer to the ping: the peer has read the notice."""
        if self._stage is _Stage.NOTICE_SENT:
            self.due_s = now_s

    def look(self, now_s: float, n_calls: int) -> Step:
        """Return what is to be done now, with so many calls open. Call it until it says nothing."""
        if self._stage is _Stage.NOTICE_SENT and now_s >= self.due_s:
            self._stage, self.due_s = _Stage.LAST_SENT, self._until_s
            return Step.LAST_GOAWAY
        if self._stage is _Stage.LAST_SENT and (not n_calls or now_s >= self._until_s):
            self._stage, self.due_s = _Stage.LINGERING, now_s + _LINGER_S
            return Step.END_CALLS if n_calls else Step.NOTHING
        if self._stage is _Stage.LINGERING and now_s >= self.due_s:
            self.due_s = math.inf
            return Step.CLOSE
        return Step.NOTHING
