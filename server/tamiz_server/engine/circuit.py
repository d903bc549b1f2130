"""Whether a model that failed several times in a row is asked at all. Pure policy: the caller owns the clock.

    closed ──`max_failures` batches failed in a row──► open ──`cooldown_s` later──► one request is let through
      ▲                                                 ▲ │                               │
      └───────────────── a batch succeeded ─────────────┼─┴───────────────────────────────┤
                                                        └─────────────── it failed ───────┘

A batch whose rows alone are at fault (`RowsFailed`) counts as a success: the model computed others right
after it. A broken model costs each of its callers the time of a batch, and its neighbours the processor. A
caller who is refused at once with UNAVAILABLE can ask another replica. Times are seconds on any monotonic
clock.
"""

from __future__ import annotations


class Circuit:
    """Counts failures in a row, and says who is let through.

    Attributes:
        is_open: whether requests are refused, except for one after each cool-down, which tries the model.
    """

    def __init__(self, *, max_failures: int, cooldown_s: float) -> None:
        """Begin closed.

        Args:
            max_failures: how many failed batches in a row open it; 0: it never opens.
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

        If that one is cancelled, or expires before it is computed, the next is let through after another
        cool-down.
        """
        if not self.is_open:
            return False
        if now_s < self._refuses_until_s:
            return True
        self._refuses_until_s = now_s + self._cooldown_s
        return False

    def succeeded(self) -> None:
        """Take note of a batch that shows that the model works."""
        self._failures = 0
        self.is_open = False

    def failed(self, now_s: float) -> None:
        """Take note of a batch in which the model failed on every request, and not because of their rows."""
        self._failures += 1
        if self._max_failures and self._failures >= self._max_failures:
            self.is_open = True
            self._refuses_until_s = now_s + self._cooldown_s

    def open(self, now_s: float) -> None:
        """Let nobody through from now on, until a batch succeeds or the cool-down is over."""
        self._failures = max(self._failures, 1)
        self.is_open = True
        self._refuses_until_s = now_s + self._cooldown_s

    def ready_s(self) -> float:
        """Return when the next request may be let through, while it is open."""
        return self._refuses_until_s
