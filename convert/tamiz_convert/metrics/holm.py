"""Many claims at once: the probability that any of those called proven is wrong stays below one level.

Holm's step-down procedure (1979): the smallest p-value is held to level / (number of claims), the next one to level / (one
fewer), and so on until one fails; from there on nothing is proven. It asks for no independence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """What the procedure makes of one p-value: the level that it is held to, and whether it is at most that."""

    level: float
    rejects: bool


def holm(p_values: Sequence[float], level: float) -> list[Step]:
    """Return a step per p-value, in their order.

    After the first failure all others are held to the level of that failure, which each of them exceeds as well; so a
    bound at `Step.level` always lies on the side that `Step.rejects` says.
    """
    steps: list[Step | None] = [None] * len(p_values)
    failed_at: float | None = None
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        own = level / (len(p_values) - rank) if failed_at is None else failed_at
        rejects = failed_at is None and p_values[index] <= own
        steps[index] = Step(own, rejects)
        failed_at = None if rejects else own
    return [step for step in steps if step is not None]
