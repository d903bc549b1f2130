"""A token bucket: how much a caller may ask for per second. The caller of this code owns the clock."""

from __future__ import annotations


class TokenBucket:
    """Holds the amount that may still be taken.

    It starts full and fills at a steady rate. Its capacity is one second's worth, and at least 1. An amount
    above the capacity can be taken from a full bucket, and leaves a debt that must be refilled first. So a
    large request is possible, but rarely. Between two times s ≤ t, at most capacity + rate · (t − s) is
    taken, plus the excess of the largest single request over the capacity.

    Args:
        rate: how much flows in per second; above 0.
        now_s: the time, in seconds on any clock.
    """

    def __init__(self, rate: float, now_s: float) -> None:
        self._rate = rate
        self._capacity = max(rate, 1.0)
        self._level = self._capacity
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """Take an amount if it is there.

        Args:
            amount: at least 0.
            now_s: the time, on the same clock; a time before the last one counts as the last one.

        Returns:
            0 if it was taken. Otherwise nothing was taken, and it will be there after this many seconds.
        """
        if now_s > self._at_s:
            self._level = min(self._capacity, self._level + (now_s - self._at_s) * self._rate)
            self._at_s = now_s
        missing = min(amount, self._capacity) - self._level
        if missing > 0:
            return missing / self._rate
        self._level -= amount
        return 0.0
