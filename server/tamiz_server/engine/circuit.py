"""Whether a model that failed again and again is asked at all. Pure policy: the caller owns the clock.

    closed ──`max_failures` batches failed in a row──► open ──`cooldown_s` later──► one request is let through
      ▲                                                 ▲ │                               │
      └───────────────── a batch succeeded ─────────────┼─┴───────────────────────────────┤
                                                        └─────────────── it failed ───────┘

A broken model costs its callers a batch's time each, and its neighbours the processor. Refused at once with UNAVAILABLE,
a caller asks another replica. Times are seconds on any monotonic clock.
"""

from __future__ import annotations


class Circuit:
    """Counts failures in a row, and says who is let through.

    Attributes:
        is_open: whether requests are refused, except for one now and then that tries.
    """

    def __init__(self, *, max_failures: int, cooldown_s: float) -> None:
        """Begin closed.

        Args:
            max_failures: so many batches that fail in a row open it; 0: none ever does.
            cooldown_s: how long nobody is let through.
        """
        self.is_open = False
        self._max_failures = max_failures
        self._cooldown_s = cooldown_s
        self._failures = 0
        self._refuses_until_s = 0.0

    @property
    def counts(self) -> bool:
        """Whether the last batch failed, so that a success is news."""
        return self._failures > 0

    def refuses(self, now_s: float) -> bool:
        """Return whether a request is refused; the first after the cool-down is not.

        Should that one come to nothing (cancelled or expired before it was computed), one more is let through after
        another cool-down.
        """
        if not self.is_open:
            return False
        if now_s < self._refuses_until_s:
            return True
        self._refuses_until_s = now_s + self._cooldown_s
        return False

    def succeeded(self) -> None:
        """Take note of a batch of which at least one request was answered."""
        self._failures = 0
        self.is_open = False

    def failed(self, now_s: float) -> None:
        """Take note of a batch in which the model failed on every request."""
        self._failures += 1
        if self._max_failures and self._failures >= self._max_failures:
            self.is_open = True
            self._refuses_until_s = now_s + self._cooldown_s

    def ready_s(self) -> float:
        """Return when the next request may be let through, while it is open."""
        return self._refuses_until_s
