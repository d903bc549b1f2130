"""Test many claims at once: with probability 1 − level, every claim that is called proven is true.

Holm's step-down procedure (1979). The smallest p-value must be at most level / (number of claims), the next
one at most level / (one fewer), and so on. After the first failure nothing is proven. The claims need not be
independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """The result for one p-value.

    Attributes:
        level: the level that the p-value is compared with.
        rejects: whether the p-value is at most that level.
    """

    level: float
    rejects: bool


def holm(p_values: Sequence[float], level: float) -> list[Step]:
    """Return a step per p-value, in their order.

    After the first failure, all other p-values are compared with the level of that failure, and they exceed
    it too. So a bound at `Step.level` always agrees with `Step.rejects`.
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
    """Return corrected p-values, in their order: the lowest level at which `holm` rejects each of them."""
    corrected = dict.fromkeys(range(len(p_values)), 1.0)
    largest = 0.0
    for index, n_left in _smallest_first(p_values):
        largest = max(largest, min(p_values[index] * n_left, 1.0))
        corrected[index] = largest
    return list(corrected.values())


def _smallest_first(p_values: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Yield the index of each p-value, smallest first, and how many are left, including it."""
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        yield index, len(p_values) - rank
