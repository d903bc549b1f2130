"""Lines that repeat: so many of a kind are let through in a second, the others are counted. Pure: no clock in it."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Hashable
from typing import Final

_WINDOW_S: Final = 1.0


class Flood:
    """Lets through at most so many things of a kind in each second, and remembers how many it held back."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._began_s = -float("inf")
        self._seen: Tally[Hashable] = Tally()

    def lets_through(self, kind: Hashable, now_s: float) -> bool:
        """Return whether one more of a kind is let through; `now_s` is any monotonic clock. See `held_back` first."""
        if now_s - self._began_s >= _WINDOW_S:
            self._began_s = now_s
            self._seen.clear()
        self._seen[kind] += 1
        return self._seen[kind] <= self._at_most

    def ends_s(self) -> float:
        """Return when the second that is counted ends."""
        return self._began_s + _WINDOW_S

    def held_back(self, now_s: float) -> dict[Hashable, int]:
        """Return how many of each kind were held back in a second that has ended, once; nothing before it has."""
        if now_s < self.ends_s():
            return {}
        held = {kind: count - self._at_most for kind, count in self._seen.items() if count > self._at_most}
        self._seen.clear()
        return held
