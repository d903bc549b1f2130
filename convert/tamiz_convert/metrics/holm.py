"""Many claims at once: the probability that any claim called proven is wrong stays below one level.

Holm's step-down procedure (1979): the smallest p-value must be at most level / (number of claims), the next
one at most level / (one fewer), and so on until one fails; nothing after it is proven. The claims need not be
independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """What the procedure makes of one p-value.

    Attributes:
        level: the level that the p-value is compared with.
        rejects: whether the p-value is at most that level.
    """

    level: float
    rejects: bool


def holm(p_values: Sequence[float], level: float) -> list[Step]:
    """Return a step per p-value, in their order.

    After the first failure all others are compared with the level of that failure, which each of them exceeds
    as well. So a bound at `Step.level` always lies on the side that `Step.rejects` says.
    """
    steps = dict.fromkeys(range(len(p_values)), Step(level, rejects=False))
    failed_at: float | None = None
    for index, n_left in _smallest_first(p_values):
        own = level / n_left if failed_at is None else failed_at
        rejects = failed_at is None and p_values[index] <= own
        steps[index] = Step(own, rejects)
        failed_at = None if rejects else own
    return list(steps.values())


def holm_corrected(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in their order: the levels from which `holm` rejects."""
    corrected = dict.fromkeys(range(len(p_values)), 1.0)
    largest = 0.0
    for index, n_left in _smallest_first(p_values):
        largest = max(largest, min(p_values[index] * n_left, 1.0))
        corrected[index] = largest
    return list(corrected.values())


def _smallest_first(p_values: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Yield the index of each p-value, the smallest first, and how many are left with it."""
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        yield index, len(p_values) - rank
