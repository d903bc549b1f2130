"""Which requests are computed together, and when. Pure policy: the caller owns the clock, the loop and the sockets.

Times are seconds on any monotonic clock; the caller passes `now`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count
from typing import Any, Final, Generic, NamedTuple, TypeVar

from tamiz_server.errors import InvalidRequest, QueueFull

_COMPACT_ABOVE: Final = 64
"""Deadlines of finished entries are swept out when they outnumber the waiting ones by this many."""


class Entry:
    """One request that waits.

    Attributes:
        n_rows: how many rows it has.
        key: entries share a batch only when their keys are equal (the shapes of a model with dynamic dimensions).
        arrived_s: when it came.
        deadline_s: when its caller stops waiting; infinite when never.
        taken: how many of its rows have been put into batches.
        dropped: whether it left the queue unserved (expired or cancelled).
    """

    __slots__ = ("arrived_s", "deadline_s", "dropped", "key", "n_rows", "taken")

    def __init__(
        self, n_rows: int, *, arrived_s: float, deadline_s: float = math.inf, key: Any = None
    ) -> None:
        self.n_rows = n_rows
        self.key = key
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s
        self.taken = 0
        self.dropped = False


E_ = TypeVar("E_", bound=Entry)


class Slice(NamedTuple, Generic[E_]):
    """Rows start:stop of an entry, in a batch."""

    entry: E_
    start: int
    stop: int


class BatchQueue(Generic[E_]):
    """Requests that wait, first come, first served.

    A request that fits into a batch is never torn apart; one with more rows than `max_batch_size` goes in parts.
    """

    def __init__(self, *, max_batch_size: int, max_queue_delay_s: float, max_queue_size: int) -> None:
        self.max_batch_size = max_batch_size
        self.max_queue_delay_s = max_queue_delay_s
        self.max_queue_size = max_queue_size
        self.n_rows = 0
        """How many rows wait."""
        self._waiting: deque[E_] = deque()
        self._deadlines: list[tuple[float, int, E_]] = []
        self._order = count()

    def append(self, entry: E_) -> None:
        """Let an entry wait.

        Raises:
            InvalidRequest: if it has more rows than the queue can ever hold.
            QueueFull: if it has more rows than there is room for now.
        """
        if entry.n_rows > self.max_queue_size:
            raise InvalidRequest(
                f"the request has {entry.n_rows} rows; at most {self.max_queue_size} can be asked at once:"
                " send them in several requests"
            )
        if self.n_rows + entry.n_rows > self.max_queue_size:
            raise QueueFull(
                f"the queue is full: {self.n_rows} rows are waiting, there is room for {self.max_queue_size}"
            )
        self._waiting.append(entry)
        self.n_rows += entry.n_rows
        if entry.deadline_s < math.inf:
            heapq.heappush(self._deadlines, (entry.deadline_s, next(self._order), entry))
            if len(self._deadlines) > 2 * len(self._waiting) + _COMPACT_ABOVE:
                self._compact()

    def drop(self, entry: E_) -> bool:
        """Take an entry out unserved; return whether any of its rows still waited."""
        if entry.dropped or entry.taken == entry.n_rows:
            return False
        entry.dropped = True
        self.n_rows -= entry.n_rows - entry.taken
        return True

    def expire(self, now_s: float) -> list[E_]:
        """Take out and return the entries whose deadline has come."""
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            entry = heapq.heappop(self._deadlines)[2]
            if self.drop(entry):
                expired.append(entry)
        return expired

    def take(self, now_s: float) -> list[Slice[E_]]:
        """Take out the next batch; empty when nothing waits, or when what waits may wait for more.

        Call `expire` first: this does not look at deadlines.
        """
        if not self._is_due(now_s):
            return []
        batch: list[Slice[E_]] = []
        room = self.max_batch_size
        while room and self._drop_front():
            entry = self._waiting[0]
            rest = entry.n_rows - entry.taken
            if batch and (
                entry.key != batch[0].entry.key or (rest > room and entry.n_rows <= self.max_batch_size)
            ):
                break
            size = min(rest, room)
            batch.append(Slice(entry, entry.taken, entry.taken + size))
            entry.taken += size
            room -= size
        self.n_rows -= self.max_batch_size - room
        return batch

    def wake_s(self) -> float:
        """Return when something may be due next: a batch or an expiry; infinite when nothing waits."""
        if not self._drop_front():
            return math.inf
        return min(self.expiry_s(), self._waiting[0].arrived_s + self.max_queue_delay_s)

    def expiry_s(self) -> float:
        """Return when the next waiting entry expires; infinite when none does."""
        while self._deadlines and not self._waits(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    def _is_due(self, now_s: float) -> bool:
        if not self._drop_front():
            return False
        return (
            self.n_rows >= self.max_batch_size or now_s >= self._waiting[0].arrived_s + self.max_queue_delay_s
        )

    def _drop_front(self) -> bool:
        """Remove what no longer waits from the front; return whether anything does."""
        waiting = self._waiting
        while waiting and not self._waits(waiting[0]):
            waiting.popleft()
        return bool(waiting)

    @staticmethod
    def _waits(entry: Entry) -> bool:
        return not entry.dropped and entry.taken < entry.n_rows

    def _compact(self) -> None:
        self._deadlines = [item for item in self._deadlines if self._waits(item[2])]
        heapq.heapify(self._deadlines)
