"""Which requests are refused because those before them take too long: load shedding. Pure policy, no clock.

A queue that never empties only adds its length to every answer. What is more than the model can compute
must be refused at once, while the caller can still ask elsewhere. A queue that a burst has filled is
different: it empties by itself. While requests arrive, the two look the same. So a calm queue may hold what
a burst brings. The first refusal shows that it was not a burst: from then on, until `CALM_AFTER_S` have
passed without a refusal, only as much may wait as keeps the model busy. (CoDel, RFC 8289, also tells the
two apart by time, but drops at the head of the queue, when the caller has already waited.)

Callers that limit themselves are neither refused nor counted: streams, which send only so many requests at
a time, and requests of low priority. A queue of a few requests is never too long, however many rows they
have: that is a client with a large file.
"""

from __future__ import annotations

from typing import Final

BATCHES_AHEAD: Final = 4
"""Unless a time is set, as many rows as this many full batches hold may wait before a request."""

REQUESTS_AHEAD: Final = 16
"""A request is not refused while fewer than these wait before it; see `BatchQueue`."""

SHARE_OF_BURST: Final = 0.125
"""The share of the queue that a burst may fill: 2,048 rows by default."""

BURST_S: Final = 0.5
"""The most time that a burst's rows may take."""

CALM_AFTER_S: Final = 1.0
"""A queue is calm again when nothing was refused for this long."""

_KEPT: Final = 0.9
"""How much weight what was measured keeps after one more batch."""


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
            max_wait_s: how long a request may be expected to wait when the queue is not calm; 0 for as long
                as `BATCHES_AHEAD` full batches take. The rows of one full batch may always wait.
            batch_s: how long a full batch takes; used until something was measured under load.
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
        """Take note that a batch of `n_rows` was taken, and that `n_left` more rows were due as well."""
        if self._left:  # since the last batch the queue was never empty, so the time went into that batch
            self._rows = self._rows * _KEPT + self._left
            self._seconds = self._seconds * _KEPT + now_s - self._left_s
        self._left = n_rows if n_left else 0
        self._left_s = now_s

    def emptied(self) -> None:
        """Take note that what was left has gone uncomputed: the model may be idle until the next batch."""
        self._left = 0

    def wait_s(self, n_rows: int) -> float:
        """Return how long a request will wait behind so many rows."""
        return n_rows * self._seconds / self._rows

    def refuses(self, n_rows: int, now_s: float) -> bool:
        """Return whether a request is refused that finds `n_rows` rows before it.

        The caller asks only if they belong to at least `REQUESTS_AHEAD` requests.
        """
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
