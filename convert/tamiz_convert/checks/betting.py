"""A claim about the mean of a quantity that is not a rate. See `claims` for what proven means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.betting import betting_p_value, smallest


@dataclass(frozen=True, eq=False)
class MeanAtMost:
    """The mean of a quantity between 0 and 1 is at most a limit: a test by betting (`betting_p_value`).

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
        return betting_p_value(self.values, self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`: the same bets on 1 − value."""
        return betting_p_value(1.0 - self.values, 1.0 - self.limit)

    @property
    def best_p_value(self) -> float:
        """See `Claim`: all values 0."""
        return betting_p_value(np.zeros(self.n_rows), self.limit)

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`."""
        return self.best_p_value

    def bound(self, level: float) -> float:
        """See `Claim`; to 12 digits."""
        return smallest(0.0, 1.0, lambda limit: betting_p_value(self.values, limit) <= level)
