"""How many versions load side by side: as many as there are processors and room in memory. Pure policy."""

from __future__ import annotations

from typing import Final

from tamiz_server.repository.lifecycle import Key

_COPIES: Final = 8
"""How many copies of a file are in memory while it is tried in one process and loaded in another."""

_SHARE: Final = 0.25
"""The share of the memory for models that loads side by side may take."""


class LoadRoom:
    """The room for loads. One load always has room, however large its file."""

    def __init__(self, processors: int, memory_bytes: int) -> None:
        """Begin empty.

        Args:
            processors: how many may be kept busy; at least two versions load side by side, as each waits for
                its own process too.
            memory_bytes: for all models together.
        """
        self._most = max(2, processors)
        self._bytes = int(memory_bytes * _SHARE)
        self._taken: dict[Key, int] = {}

    def take(self, key: Key, file_bytes: int) -> bool:
        """Take room for a version; return whether there was any."""
        needed = _COPIES * max(file_bytes, 0)
        full = len(self._taken) >= self._most or sum(self._taken.values()) + needed > self._bytes
        if self._taken and full:
            return False
        self._taken[key] = needed
        return True

    def give_back(self, key: Key) -> None:
        """Give the room of a version back."""
        del self._taken[key]
