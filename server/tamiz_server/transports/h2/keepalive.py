"""Whether a silent peer still lives."""

from __future__ import annotations

import math
from enum import Enum, auto


class Pulse(Enum):
    """What is to be done about a peer."""

    NOTHING = auto()
    ASK = auto()
    GIVE_UP = auto()


class Keepalive:
    """Asks a peer that says nothing; anything that it sends is an answer.

    Attributes:
        heard_s: when something came from the peer last; whoever reads from it sets this.
        due_s: when to look again.
    """

    __slots__ = ("_answer_s", "_asked_s", "_every_s", "due_s", "heard_s")

    def __init__(self, every_s: float, answer_s: float, now_s: float) -> None:
        """Ask after so many seconds of silence, and give up if nothing comes within `answer_s`."""
        self._every_s = every_s
        self._answer_s = answer_s
        self._asked_s = math.inf
        self.heard_s = now_s
        self.due_s = now_s + every_s

    def look(self, now_s: float) -> Pulse:
        """Return what is to be done now."""
        if self.heard_s >= self._asked_s:
            self._asked_s = math.inf
        if self._asked_s < math.inf:
            self.due_s = self._asked_s + self._answer_s
            return Pulse.GIVE_UP if now_s >= self.due_s else Pulse.NOTHING
        self.due_s = self.heard_s + self._every_s
        if now_s < self.due_s:
            return Pulse.NOTHING
        self._asked_s = now_s
        self.due_s = now_s + self._answer_s
        return Pulse.ASK
