"""Which requests are computed together, and when. Pure policy: the caller owns the clock, the loop and the sockets.

Times are seconds on any monotonic clock; the caller passes `now`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count
from typing import Any, Final, Generic, NamedTuple, TypeVar

from tamiz_server.engine.shedding import REQUESTS_AHEAD, Shedding
from tamiz_server.errors import InvalidRequest, QueueFull

_COMPACT_ABOVE: Final = 64
"""Finished entries are swept out when they outnumber the waiting ones by this many."""

YIELDS_UP_TO: Final = 7
"""Entries that give way do so for at most this many batches in a row; the next one begins with them."""

ROOM_OF_YIELDING: Final = 0.5
"""The share of the queue that entries that give way may fill; one alone may fill all of it, or it could never be asked."""


class Entry:
    """One request that waits.

    Attributes:
        n_rows: how many rows it has.
        key: entries share a batch only when their keys are equal (the shapes of a model with dynamic dimensions).
        gives_way: whether it lets others go first.
        held_back: whether its caller sends no more than so many at a time, and waits: it is not refused for the time that it
            would wait. What gives way is held back, too.
        arrived_s: when it came.
        deadline_s: when its caller stops waiting; infinite when never.
        taken: how many of its rows have been put into batches.
        dropped: whether it left the queue unserved (expired or cancelled).
        n_bytes: how much memory it takes.
    """

    __slots__ = (
        "arrived_s",
        "deadline_s",
        "dropped",
        "gives_way",
        "held_back",
        "key",
        "n_bytes",
        "n_rows",
        "taken",
    )

    def __init__(
        self,
        n_rows: int,
        *,
        arrived_s: float,
        deadline_s: float = math.inf,
        key: Any = None,
        gives_way: bool = False,
        held_back: bool = False,
        n_bytes: int = 0,
    ) -> None:
        self.n_rows = n_rows
        self.n_bytes = n_bytes
        self.key = key
        self.gives_way = gives_way
        self.held_back = held_back or gives_way
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
    """Requests that wait, first come, first served, in two levels: those that give way to others, and the others.

    A batch takes the others first, and fills what room they leave. Who gives way does so for `YIELDS_UP_TO` batches in
    a row; the next batch begins with them, so that they get that share of the batches at any load.

    A request that fits into a batch is never torn apart; one with more rows than `max_batch_size` goes in parts.
    """

    def __init__(
        self,
        *,
        max_batch_size: int,
        max_queue_delay_s: float,
        max_queue_size: int,
        max_bytes: float = math.inf,
        shedding: Shedding | None = None,
    ) -> None:
        self.max_batch_size = max_batch_size
        self.max_queue_delay_s = max_queue_delay_s
        self.max_queue_size = max_queue_size
        self.n_rows = 0
        """How many rows wait."""
        self._max_bytes = max_bytes
        self._n_bytes = 0  # of entries of which any row waits
        self._waiting: deque[E_] = deque()
        self._yielding: deque[E_] = deque()
        self._n_yielding_rows = 0
        self._shedding = shedding
        self._n_free_rows = 0
        self._n_free = 0  # requests that are not held back, and their rows
        self._yielded = 0
        self._deadlines: list[tuple[float, int, E_]] = []
        self._n_dropped = 0
        self._order = count()

    def append(self, entry: E_) -> None:
        """Let an entry wait.

        Raises:
            InvalidRequest: if it has more rows than the queue can ever hold.
            QueueFull: if it has more rows than there is room for now, or would wait too long; see `shedding`.
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
        if self.n_rows and self._n_bytes + entry.n_bytes > self._max_bytes:
            raise QueueFull(
                f"the queue is full: requests of {self._n_bytes} bytes are waiting, there is room for {self._max_bytes:.0f}"
            )
        if self.n_rows and self._shedding is not None:
            self._shed(self._shedding, entry)
        if entry.gives_way:
            self._append_yielding(entry)
        else:
            self._waiting.append(entry)
        if not entry.held_back:
            self._n_free_rows += entry.n_rows
            self._n_free += 1
        self.n_rows += entry.n_rows
        self._n_bytes += entry.n_bytes
        if entry.deadline_s < math.inf:
            heapq.heappush(self._deadlines, (entry.deadline_s, next(self._order), entry))
            if len(self._deadlines) > 2 * (len(self._waiting) + len(self._yielding)) + _COMPACT_ABOVE:
                self._compact()

    def _shed(self, shedding: Shedding, entry: E_) -> None:
        """Refuse an entry that would wait too long: for the others' sake, or for its own caller."""
        remaining_s = entry.deadline_s - entry.arrived_s
        if remaining_s <= 0.0:
            return  # it has expired, and is told so
        if remaining_s < math.inf:
            wait_s = shedding.wait_s(self.n_rows - self._n_yielding_rows)
            if wait_s > remaining_s:
                raise QueueFull(
                    f"the rows before it take about {_shown(wait_s)}, and the caller waits"
                    f" {_shown(remaining_s)}: it was not queued"
                )
        if self._n_free < REQUESTS_AHEAD or entry.held_back:
            return
        if shedding.refuses(self._n_free_rows, entry.arrived_s):
            wait_s = shedding.wait_s(self.n_rows - self._n_yielding_rows)
            raise QueueFull(
                f"more is asked than the model can compute: it would wait about {_shown(wait_s)} behind {self.n_rows} rows;"
                " try another replica, or later"
            )

    def _append_yielding(self, entry: E_) -> None:
        """Let an entry wait that gives way: as long as no more rows do than their share of the room, or it is the only one."""
        room = int(self.max_queue_size * ROOM_OF_YIELDING)
        if self._n_yielding_rows and self._n_yielding_rows + entry.n_rows > room:
            raise QueueFull(
                f"the queue is full for requests of low priority: {self._n_yielding_rows} of their rows are waiting, there"
                f" is room for {room}"
            )
        self._yielding.append(entry)
        self._n_yielding_rows += entry.n_rows

    def drop(self, entry: E_) -> bool:
        """Take an entry out unserved; return whether any of its rows still waited."""
        if entry.dropped or entry.taken == entry.n_rows:
            return False
        entry.dropped = True
        self.n_rows -= entry.n_rows - entry.taken
        self._n_bytes -= entry.n_bytes
        if entry.gives_way:
            self._n_yielding_rows -= entry.n_rows - entry.taken
        if not entry.held_back:
            self._n_free_rows -= entry.n_rows - entry.taken
            self._n_free -= 1
        if not self.n_rows and self._shedding is not None:
            self._shedding.emptied()
        self._n_dropped += 1
        if self._n_dropped > (len(self._waiting) + len(self._yielding)) // 2 + _COMPACT_ABOVE:
            self._compact()
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
        if not self._n_yielding_rows:
            room = self._fill(batch, self._waiting, room)
        else:
            levels = (self._waiting, self._yielding) if self._yields() else (self._yielding, self._waiting)
            for level in levels:
                room = self._fill(batch, level, room)
        if self._shedding is not None:
            # What is left and may wait for more leaves the model idle.
            n_left = self.n_rows if self._is_due(now_s) else 0
            self._shedding.taken(self.max_batch_size - room, n_left, now_s)
        if not self.n_rows:
            self._deadlines.clear()  # an idle queue keeps no request alive until its deadline
        return batch

    def _yields(self) -> bool:
        """Return whether those that give way do so once more, in the batch that is made up now."""
        self._yielded += 1
        if self._yielded > YIELDS_UP_TO or not _drop_front(self._waiting):
            self._yielded = 0
            return False
        return True

    def _fill(self, batch: list[Slice[E_]], level: deque[E_], room: int) -> int:
        """Move entries from a level into a batch that has some room; return how much is left."""
        while room and _drop_front(level):
            entry = level[0]
            rest = entry.n_rows - entry.taken
            if batch and (
                entry.key != batch[0].entry.key or (rest > room and entry.n_rows <= self.max_batch_size)
            ):
                break
            size = min(rest, room)
            batch.append(Slice(entry, entry.taken, entry.taken + size))
            entry.taken += size
            room -= size
            self.n_rows -= size
            if size == rest:
                self._n_bytes -= entry.n_bytes
            if entry.held_back:
                if entry.gives_way:
                    self._n_yielding_rows -= size
            else:
                self._n_free_rows -= size
                self._n_free -= size == rest
        return room

    def wake_s(self) -> float:
        """Return when something may be due next: a batch or an expiry; infinite when nothing waits."""
        return min(self.expiry_s(), self._oldest_s() + self.max_queue_delay_s)

    def expiry_s(self) -> float:
        """Return when the next waiting entry expires; infinite when none does."""
        while self._deadlines and not _waits(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    def _is_due(self, now_s: float) -> bool:
        if not self.n_rows:
            return False
        return self.n_rows >= self.max_batch_size or now_s >= self._oldest_s() + self.max_queue_delay_s

    def _oldest_s(self) -> float:
        """Return when the oldest waiting entry came; infinite when nothing waits."""
        oldest_s = self._waiting[0].arrived_s if _drop_front(self._waiting) else math.inf
        return min(oldest_s, self._yielding[0].arrived_s) if _drop_front(self._yielding) else oldest_s

    def _compact(self) -> None:
        """Let go of what does not wait any more: who sends and cancels while nothing is taken must not fill the memory."""
        self._waiting = deque(filter(_waits, self._waiting))
        self._yielding = deque(filter(_waits, self._yielding))
        self._deadlines = [item for item in self._deadlines if _waits(item[2])]
        heapq.heapify(self._deadlines)
        self._n_dropped = 0


def _drop_front(level: deque[E_]) -> bool:
    """Remove what no longer waits from the front; return whether anything does."""
    while level and not _waits(level[0]):
        level.popleft()
    return bool(level)


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:,.3g} ms"


def _waits(entry: Entry) -> bool:
    return not entry.dropped and entry.taken < entry.n_rows
