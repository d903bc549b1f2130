"""A claim about the mean of a quantity that is not a rate. See `claims` for what proven means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.checks.claims import smallest

_BET: Final = 0.9
"""The largest share of the capital that is staked on one row."""
_TUNED_FOR: Final = 0.05
"""The level that the stakes are tuned for; the test is valid at every level."""


@dataclass(frozen=True, eq=False)
class MeanAtMost:
    """The mean of a quantity between 0 and 1 is at most a limit: a test by betting.

    A gambler starts with a capital of 1 and bets on one row after the other that its value is below the
    limit. Each stake depends only on earlier rows. If the mean is not below the limit, the capital ever
    reaches 1/p with probability at most p (Ville's inequality). The stakes are those of Waudby-Smith & Ramdas
    (2024, section 4.1). The test is valid for every number of rows, and close to the normal approximation.
    The order of the rows must say nothing about the quantity.

    Attributes:
        values: (n_rows,), float64, from 0 to 1.
        limit: the largest mean.
    """

    values: NDArray[np.float64]
    limit: float

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.values)

    @property
    def observed(self) -> float:
        """The mean of these rows; NaN without rows."""
        return float(self.values.mean()) if len(self.values) else math.nan

    @cached_property
    def p_value(self) -> float:
        """See `Claim`."""
        return _betting_p_value(self.values, self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`: the same bets on 1 − value."""
        return _betting_p_value(1.0 - self.values, 1.0 - self.limit)

    @property
    def best_p_value(self) -> float:
        """See `Claim`: all values 0."""
        return _betting_p_value(np.zeros(self.n_rows), self.limit)

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`."""
        return self.best_p_value

    def bound(self, level: float) -> float:
        """See `Claim`; to 12 digits."""
        return smallest(0.0, 1.0, lambda limit: _betting_p_value(self.values, limit) <= level)


def _betting_p_value(values: NDArray[np.float64], limit: float) -> float:
    """Return the p-value of the mean being at least the limit."""
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
