"""Which requests are computed together, and when. Pure policy: the caller owns clock, loop and sockets.

Times are seconds on any monotonic clock; the caller passes `now`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count
from typing import Any, Final

from tamiz_server.engine.batch import Slice
from tamiz_server.engine.request import Request
from tamiz_server.engine.shedding import REQUESTS_AHEAD, Shedding
from tamiz_server.errors import InvalidRequest, QueueFull

_COMPACT_ABOVE: Final = 64
"""Finished requests are swept out when they outnumber the waiting ones by this many."""

NORMAL_FIRST: Final = 7
"""This many batches in a row begin with normal priority; the next one begins with low priority."""

LOW_PRIORITY_ROOM: Final = 0.5
"""The share of the queue that requests of low priority may fill."""


class BatchQueue:
    """Requests that wait, first come, first served, on two levels: normal and low priority.

    A batch takes requests of normal priority first, and fills the rest of its room with low priority.
    After `NORMAL_FIRST` such batches one begins with low priority: that is its share at any load.

    A request that fits into a batch is never split. One with more rows than `max_batch_size` goes in parts.
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
        self._n_bytes = 0  # of requests of which any row waits
        self._normal: deque[Request] = deque()
        self._low: deque[Request] = deque()
        self._n_low_rows = 0
        self._shedding = shedding
        self._n_free_rows = 0
        self._n_free = 0  # requests that are not held back, and their rows
        self._n_normal_first = 0
        self._deadlines: list[tuple[float, int, Request]] = []
        self._n_dropped = 0
        self._order = count()

    def append(self, request: Request, now_s: float, *, key: Any = None) -> None:
        """Let a request wait that has come now.

        Args:
            request: has not been in a queue before.
            now_s: when it came.
            key: requests share a batch only if their keys are equal.

        Raises:
            InvalidRequest: if it has more rows than the queue can ever hold.
            QueueFull: if there is no room for it now, or if it would wait too long; see `shedding`.
        """
        request.arrived_s, request.key = now_s, key
        self._require_room(request)
        if self.n_rows and self._shedding is not None:
            self._shed(self._shedding, request)
        if request.low_priority:
            self._require_low_priority_room(request)
            self._low.append(request)
            self._n_low_rows += request.n_rows
        else:
            self._normal.append(request)
        if not request.held_back:
            self._n_free_rows += request.n_rows
            self._n_free += 1
        self.n_rows += request.n_rows
        self._n_bytes += request.n_bytes
        if request.deadline_s < math.inf:
            heapq.heappush(self._deadlines, (request.deadline_s, next(self._order), request))
            if len(self._deadlines) > 2 * self._n_kept() + _COMPACT_ABOVE:
                self._compact()

    def _require_room(self, request: Request) -> None:
        if request.n_rows > self.max_queue_size:
            raise InvalidRequest(
                f"the request has {request.n_rows} rows; at most {self.max_queue_size} can be asked at once:"
                " send them in several requests"
            )
        if self.n_rows + request.n_rows > self.max_queue_size:
            raise QueueFull(
                f"the queue is full: {self.n_rows} rows are waiting, there is room for {self.max_queue_size}"
            )
        # A request larger than all the room is taken when nothing else waits, or it could never be asked.
        if self.n_rows and self._n_bytes + request.n_bytes > self._max_bytes:
            raise QueueFull(
                f"the queue is full: requests of {self._n_bytes} bytes are waiting, there is room for"
                f" {self._max_bytes:.0f}"
            )

    def _require_low_priority_room(self, request: Request) -> None:
        room = int(self.max_queue_size * LOW_PRIORITY_ROOM)
        # As above: a large one is taken when no other of low priority waits.
        if self._n_low_rows and self._n_low_rows + request.n_rows > room:
            raise QueueFull(
                f"the queue is full for requests of low priority: {self._n_low_rows} of their rows are"
                f" waiting, there is room for {room}"
            )

    def _shed(self, shedding: Shedding, request: Request) -> None:
        """Refuse a request that would wait too long: for the others' sake, or for its own caller."""
        remaining_s = request.deadline_s - request.arrived_s
        if remaining_s <= 0.0:
            return  # it has expired, and is told so
        if remaining_s < math.inf:
            wait_s = shedding.wait_s(self.n_rows - self._n_low_rows)
            if wait_s > remaining_s:
                raise QueueFull(
                    f"the rows before it take about {_shown(wait_s)}, and the caller waits"
                    f" {_shown(remaining_s)}: it was not queued"
                )
        if self._n_free < REQUESTS_AHEAD or request.held_back:
            return
        if shedding.refuses(self._n_free_rows, request.arrived_s):
            wait_s = shedding.wait_s(self.n_rows - self._n_low_rows)
            raise QueueFull(
                f"more is asked than the model can compute: it would wait about {_shown(wait_s)} behind"
                f" {self.n_rows} rows; try another replica, or later"
            )

    def drop(self, request: Request) -> bool:
        """Take a request out unserved; return whether any of its rows still waited."""
        if request.dropped or request.taken == request.n_rows:
            return False
        request.dropped = True
        self.n_rows -= request.n_rows - request.taken
        self._n_bytes -= request.n_bytes
        if request.low_priority:
            self._n_low_rows -= request.n_rows - request.taken
        if not request.held_back:
            self._n_free_rows -= request.n_rows - request.taken
            self._n_free -= 1
        if not self.n_rows and self._shedding is not None:
            self._shedding.emptied()
        self._n_dropped += 1
        if self._n_dropped > self._n_kept() // 2 + _COMPACT_ABOVE:
            self._compact()
        return True

    def expire(self, now_s: float) -> list[Request]:
        """Take out and return the requests whose deadline has come."""
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now_s:
            request = heapq.heappop(self._deadlines)[2]
            if self.drop(request):
                expired.append(request)
        return expired

    def take(self, now_s: float) -> list[Slice]:
        """Take out the next batch; empty when nothing waits, or when what waits may wait for more.

        Call `expire` first: this does not look at deadlines.
        """
        if not self._is_due(now_s):
            return []
        batch: list[Slice] = []
        room = self.max_batch_size
        if not self._n_low_rows:
            room = self._fill(batch, self._normal, room)
        else:
            levels = (self._normal, self._low) if self._normal_first() else (self._low, self._normal)
            for level in levels:
                room = self._fill(batch, level, room)
        if self._shedding is not None:
            # What is left and may wait for more leaves the model idle.
            n_left = self.n_rows if self._is_due(now_s) else 0
            self._shedding.taken(self.max_batch_size - room, n_left, now_s)
        if not self.n_rows:
            self._deadlines.clear()  # an idle queue keeps no request alive until its deadline
        return batch

    def _normal_first(self) -> bool:
        """Return whether the next batch begins with normal priority, though low priority waits."""
        self._n_normal_first += 1
        if self._n_normal_first > NORMAL_FIRST or not _drop_front(self._normal):
            self._n_normal_first = 0
            return False
        return True

    def _fill(self, batch: list[Slice], level: deque[Request], room: int) -> int:
        """Move requests from a level into a batch that has some room; return how much is left."""
        while room and _drop_front(level):
            request = level[0]
            rest = request.n_rows - request.taken
            if batch and (
                request.key != batch[0].request.key or (rest > room and request.n_rows <= self.max_batch_size)
            ):
                break
            size = min(rest, room)
            batch.append(Slice(request, request.taken, request.taken + size))
            request.taken += size
            room -= size
            self.n_rows -= size
            if size == rest:
                self._n_bytes -= request.n_bytes
            if request.held_back:
                if request.low_priority:
                    self._n_low_rows -= size
            else:
                self._n_free_rows -= size
                self._n_free -= size == rest
        return room

    def wake_s(self) -> float:
        """Return when something may be due next: a batch or an expiry; infinite when nothing waits."""
        return min(self.expiry_s(), self._oldest_s() + self.max_queue_delay_s)

    def expiry_s(self) -> float:
        """Return when the next waiting request expires; infinite when none does."""
        while self._deadlines and not _waits(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else math.inf

    def _is_due(self, now_s: float) -> bool:
        if not self.n_rows:
            return False
        return self.n_rows >= self.max_batch_size or now_s >= self._oldest_s() + self.max_queue_delay_s

    def _oldest_s(self) -> float:
        """Return when the oldest waiting request came; infinite when nothing waits."""
        oldest_s = self._normal[0].arrived_s if _drop_front(self._normal) else math.inf
        return min(oldest_s, self._low[0].arrived_s) if _drop_front(self._low) else oldest_s

    def _n_kept(self) -> int:
        """Return how many requests are kept, whether they still wait or not."""
        return len(self._normal) + len(self._low)

    def _compact(self) -> None:
        """Let go of what no longer waits: a caller who sends and cancels must not fill the memory."""
        self._normal = deque(filter(_waits, self._normal))
        self._low = deque(filter(_waits, self._low))
        self._deadlines = [item for item in self._deadlines if _waits(item[2])]
        heapq.heapify(self._deadlines)
        self._n_dropped = 0


def _drop_front(level: deque[Request]) -> bool:
    """Remove what no longer waits from the front; return whether anything does."""
    while level and not _waits(level[0]):
        level.popleft()
    return bool(level)


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:,.3g} ms"


def _waits(request: Request) -> bool:
    return not request.dropped and request.taken < request.n_rows
