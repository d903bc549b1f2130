"""How much somebody may ask for per second: a token bucket, without a clock of its own."""

from __future__ import annotations


class TokenBucket:
    """Holds what may still be taken.

    It fills at a steady rate, up to one second's worth and at least to 1, and is full at first. Whoever asks for more than it can ever hold gets it from a full bucket, and leaves a debt that has to fill up first: a
    large request is rare, not impossible. Between two times s ≤ t never more is taken than capacity + rate · (t − s), plus
    what the largest single request exceeds the capacity by.

    Args:
        rate: what flows in, per second; above 0.
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
            now_s: the time, on the clock of the first one; a time before the last one counts as the last one.

        Returns:
            0 if it was taken; else the seconds until it will be there, and nothing was taken.
        """
        if now_s > self._at_s:
            self._level = min(self._capacity, self._level + (now_s - self._at_s) * self._rate)
            self._at_s = now_s
        missing = min(amount, self._capacity) - self._level
        if missing > 0:
            return missing / self._rate
        self._level -= amount
        return 0.0
