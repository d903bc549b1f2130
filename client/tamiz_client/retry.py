"""When a call is made again, without I/O: both clients ask `Attempts` after each failure."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

from tamiz_client.errors import CallFailed, Fate, TamizClientError

_MOST: Final = {Fate.UNREACHED: 4, Fate.NOT_TAKEN: 100, Fate.BROKEN: 2}
"""How often a call is made at most, by what became of it.

A call whose connection broke may be what broke it: a row can end a server's process. It goes to one more
replica, and not to all of them.
"""
_GROWTH: Final = 2.0
_JITTER: Final = 0.2


@dataclass(frozen=True)
class RetryPolicy:
    """When a failed call is tried again: only if no server was reached or it stopped, within the time-out.

    Trying again is safe, because a prediction changes nothing. A busy server is not asked again: that would
    feed the overload. A call is made twice at most if its connection broke while it was under way, and four
    times at most if no server was reached.

    Attributes:
        max_attempts: how often a call is made at most, from 1 (it is not tried again) to 100. All of them are
            used only while servers are reached and say that they are starting or stopping.
        initial_backoff_s, max_backoff_s: the first and the longest pause. It is doubled each time, and up to
            a fifth longer or shorter by chance, so that callers do not come back together.

    Raises:
        TamizClientError: if a number is out of range.
    """

    max_attempts: int = 8
    initial_backoff_s: float = 0.05
    max_backoff_s: float = 1.0

    def __post_init__(self) -> None:
        most = _MOST[Fate.NOT_TAKEN]
        if self.max_attempts not in range(1, most + 1):
            raise TamizClientError(f"max_attempts is {self.max_attempts!r}: expected 1 to {most}")
        if not 0 < self.initial_backoff_s <= self.max_backoff_s:
            raise TamizClientError(
                f"the pauses between attempts are {self.initial_backoff_s!r} s at first and"
                f" {self.max_backoff_s!r} s at most: expected more than 0, and the first not above the"
                " longest"
            )


class Attempts:
    """The attempts at one call."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._fates: Counter[Fate] = Counter()

    def pause_s(self, error: CallFailed, remaining_s: float) -> float | None:
        """Return how long to wait before the call is made again; None if `error` is final.

        Args:
            error: why the last attempt failed.
            remaining_s: how much time is left for the call.
        """
        self._fates[error.fate] += 1
        n_made = self._fates.total()
        policy = self._policy
        if self._fates[error.fate] >= _MOST.get(error.fate, 1) or n_made >= policy.max_attempts:
            return None
        pause_s = min(policy.max_backoff_s, policy.initial_backoff_s * _GROWTH ** (n_made - 1))
        pause_s *= random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  nothing depends on it
        return pause_s if pause_s < remaining_s else None
