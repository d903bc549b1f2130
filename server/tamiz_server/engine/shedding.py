"""Which requests are refused because those before them take too long: load shedding. Pure policy, without a clock.

A queue that stands only adds its length to every answer: what is beyond saturation has to be refused, at once, while the
caller can still ask elsewhere. A queue that a burst has filled is another matter: it empties by itself. At its arrival the one
looks like the other, so that a calm queue may hold what a burst brings; the first refusal says that it was no burst, and
from then on, until `CALM_AFTER_S` have passed without a refusal, no more may wait than what keeps the model busy. (CoDel,
RFC 8289, tells the two apart by time as well, but drops at the head, when the caller has already waited.)

Callers that hold themselves back are neither refused nor counted: streams, which send no more than so many requests, and
requests that give way to others. Nor is a queue of a few requests ever too long, however many rows they have: that is a
client with a large file.
"""

from __future__ import annotations

from typing import Final

BATCHES_AHEAD: Final = 4
"""Unless a time is set, a request may find as many rows before it as this many full batches hold."""

REQUESTS_AHEAD: Final = 16
"""A request that finds fewer before it is not refused; see `BatchQueue`."""

SHARE_OF_BURST: Final = 0.125
"""The share of the queue that a burst may fill: 2,048 rows by default."""

BURST_S: Final = 0.5
"""The most time that a burst's rows may take."""

CALM_AFTER_S: Final = 1.0
"""A queue is calm again when nothing was refused for this long."""

_KEPT: Final = 0.9
"""How much of what was measured counts after one more batch."""


class Shedding:
    """Learns from each batch how fast the queue empties, and says who is refused.

    Times are seconds on any monotonic clock; the caller passes `now`.
    """

    def __init__(
        self, *, max_batch_size: int, max_queue_size: int, max_wait_s: float, batch_s: float
    ) -> None:
        """Begin calm.

        Args:
            max_batch_size: rows of a full batch.
            max_queue_size: how many rows may wait at all.
            max_wait_s: how long a request may be expected to wait when the queue is not calm; 0: as long as
                `BATCHES_AHEAD` full batches take. The rows of one full batch may always wait.
            batch_s: how long a full batch takes, as long as nothing was measured under load.
        """
        self._max_batch_size = max_batch_size
        self._max_wait_s = max_wait_s
        self._burst_rows = int(max_queue_size * SHARE_OF_BURST)
        self._rows = max_batch_size / (1 - _KEPT)
        self._seconds = batch_s / (1 - _KEPT)
        self._left = 0
        self._left_s = 0.0
        self._strict_until_s = 0.0

    def taken(self, n_rows: int, n_left: int, now_s: float) -> None:
        """Take note that a batch was taken out of the queue: of so many rows, and so many were left that were due as well."""
        if self._left:  # since then the queue was never without a batch, so that the time went into that one
            self._rows = self._rows * _KEPT + self._left
            self._seconds = self._seconds * _KEPT + now_s - self._left_s
        self._left = n_rows if n_left else 0
        self._left_s = now_s

    def emptied(self) -> None:
        """Take note that what was left went away uncomputed: until the next batch the model may be idle."""
        self._left = 0

    def wait_s(self, n_rows: int) -> float:
        """Return how long a request will wait that finds so many rows before it."""
        return n_rows * self._seconds / self._rows

    def refuses(self, n_rows: int, now_s: float) -> bool:
        """Return whether a request is refused that finds so many rows, and `REQUESTS_AHEAD` requests, before it."""
        if n_rows < self._max_rows(now_s):
            return False
        self._strict_until_s = now_s + CALM_AFTER_S
        return True

    def is_strict(self, now_s: float) -> bool:
        """Return whether the queue is not calm: a request was refused less than `CALM_AFTER_S` ago."""
        return now_s < self._strict_until_s

    def _max_rows(self, now_s: float) -> float:
        rows_per_s = self._rows / self._seconds
        rows: float = BATCHES_AHEAD * self._max_batch_size
        if self._max_wait_s:
            rows = max(self._max_batch_size, self._max_wait_s * rows_per_s)
        if self.is_strict(now_s):
            return rows
        return max(rows, min(self._burst_rows, BURST_S * rows_per_s))
