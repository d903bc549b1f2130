"""Limits repeated log lines: some of each kind pass per second, the rest are counted. It has no clock."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Hashable
from typing import Final

_WINDOW_S: Final = 1.0


class RepeatLimit:
    """Lets a limited number of things of a kind through in each second, and counts the others."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._began_s = -float("inf")
        self._seen: Tally[Hashable] = Tally()

    def lets_through(self, kind: Hashable, now_s: float) -> bool:
        """Return whether one more of a kind passes. Call `held_back` first. `now_s`: any monotonic clock."""
        if now_s - self._began_s >= _WINDOW_S:
            self._began_s = now_s
            self._seen.clear()
        self._seen[kind] += 1
        return self._seen[kind] <= self._at_most

    def ends_s(self) -> float:
        """Return when the current second ends."""
        return self._began_s + _WINDOW_S

    def held_back(self, now_s: float) -> dict[Hashable, int]:
        """Return, once, how many of each kind were held back in the last second, after it has ended."""
        if now_s < self.ends_s():
            return {}
        held = {kind: count - self._at_most for kind, count in self._seen.items() if count > self._at_most}
        self._seen.clear()
        return held
