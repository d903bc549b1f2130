"""What rows prove about the mean of a bounded quantity that is not a rate: a test by betting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BET: Final = 0.9
"""The largest share of the capital that is staked on one row."""
_TUNED_FOR: Final = 0.05
"""The level that the stakes are tuned for; the test is valid at every level."""
_HALVINGS: Final = 40


def betting_p_value(values: NDArray[np.float64], limit: float) -> float:
    """Return the p-value of the mean being at least a limit.

    A gambler starts with a capital of 1 and bets on one row after the other that its value is below the
    limit. Each stake depends only on earlier rows. If the mean is not below the limit, the capital ever
    reaches 1/p with probability at most p (Ville's inequality). The stakes are those of Waudby-Smith & Ramdas
    (2024, section 4.1). The test is valid for every number of rows, and close to the normal approximation.

    Args:
        values: (n_rows,), from 0 to 1. The order of the rows must say nothing about them.
        limit: what the mean is compared with.
    """
    n_rows = len(values)
    if n_rows == 0 or limit <= 0.0:
        return 1.0
    if limit >= 1.0:
        return 0.0
    counted = np.arange(1, n_rows + 1) + 1
    means = (0.5 + np.cumsum(values)) / counted
    variances = (0.25 + np.cumsum((values - means) ** 2)) / counted
    # A stake may depend on earlier rows only, else the gambler could win without evidence.
    known = np.concatenate([[0.25], variances[:-1]])
    stakes = np.minimum(_BET / (1.0 - limit), np.sqrt(2.0 * math.log(1.0 / _TUNED_FOR) / (n_rows * known)))
    log_capital = np.cumsum(np.log1p(-stakes * (values - limit)))
    return min(1.0, math.exp(-float(log_capital.max())))


def mean_interval(
    values: NDArray[np.float64], low: float, high: float, delta: float, seed: int
) -> tuple[float, float]:
    """Return an interval of the mean that fails with probability at most `delta`, however few rows there are.

    Args:
        values: (n_rows,), independent, from `low` to `high`, in any order.
        low: the lowest that a value can be.
        high: the highest, above `low`.
        delta: half of it is for each end.
        seed: of the order in which the rows are looked at.
    """
    scaled = (np.random.default_rng(seed).permutation(values) - low) / (high - low)

    def upper(share: NDArray[np.float64]) -> float:
        return smallest(0.0, 1.0, lambda limit: betting_p_value(share, limit) <= delta / 2.0)

    return low + (high - low) * (1.0 - upper(1.0 - scaled)), low + (high - low) * upper(scaled)


def smallest(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """Return the smallest number between two others from which on something holds, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
