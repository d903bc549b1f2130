"""What is claimed of the traffic, and how far rows prove or refute it. Exact for every number of rows.

A claim is proven if the opposite would make rows like these improbable (`p_value`), which is the same as a one-sided
confidence bound on the right side of the limit; and refuted if the claim itself would (`p_value_against`). Between the two
the rows do not tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from tamiz_convert.binomial import upper_bound

_SMALLEST: Final = 1e-12
"""Below this a p-value is not told apart from 0."""
_BET: Final = 0.9
_TUNED_FOR: Final = 0.05
_HALVINGS: Final = 40


class Claim(Protocol):
    """A claim about a rate or a mean.

    Attributes:
        n_rows: how many rows speak of it.
        observed: what they show.
        limit: what is claimed to be kept.
        p_value: of the opposite.
        p_value_against: of the claim itself.
        best_p_value: the p-value if so many rows showed nothing to complain of.
    """

    @property
    def n_rows(self) -> int: ...  # noqa: D102
    @property
    def observed(self) -> float: ...  # noqa: D102
    @property
    def limit(self) -> float: ...  # noqa: D102
    @property
    def p_value(self) -> float: ...  # noqa: D102
    @property
    def p_value_against(self) -> float: ...  # noqa: D102
    @property
    def best_p_value(self) -> float: ...  # noqa: D102

    def bound(self, level: float) -> float:
        """Return the one-sided bound that fails with probability `level`; the claim is proven if it keeps the limit."""
        ...


def lower_bound(n_hits: int, n_rows: int, level: float) -> float:
    """Return the one-sided lower Clopper-Pearson bound on a rate."""
    return 1.0 - upper_bound(n_rows - n_hits, n_rows, level)


@dataclass(frozen=True)
class AtMost:
    """A rate is at most a limit: the exact binomial test (Clopper & Pearson 1934)."""

    n_hits: int
    n_rows: int
    limit: float

    @property
    def observed(self) -> float:
        """The rate in these rows; NaN of none."""
        return self.n_hits / self.n_rows if self.n_rows else math.nan

    @property
    def p_value(self) -> float:
        """See `Claim`; 1 without rows."""
        return float(binom.cdf(self.n_hits, self.n_rows, self.limit)) if self.n_rows else 1.0

    @property
    def p_value_against(self) -> float:
        """See `Claim`."""
        return float(binom.sf(self.n_hits - 1, self.n_rows, self.limit)) if self.n_rows else 1.0

    @property
    def best_p_value(self) -> float:
        """See `Claim`: without a single hit."""
        return float((1.0 - self.limit) ** self.n_rows)

    def bound(self, level: float) -> float:
        """See `Claim`."""
        return upper_bound(self.n_hits, self.n_rows, level)


@dataclass(frozen=True)
class AtLeast:
    """A rate is at least a limit: the same test of the rows without a hit."""

    n_hits: int
    n_rows: int
    limit: float

    @property
    def _misses(self) -> AtMost:
        return AtMost(self.n_rows - self.n_hits, self.n_rows, 1.0 - self.limit)

    @property
    def observed(self) -> float:
        """The rate in these rows; NaN of none."""
        return self.n_hits / self.n_rows if self.n_rows else math.nan

    @property
    def p_value(self) -> float:
        """See `Claim`; 1 without rows."""
        return self._misses.p_value

    @property
    def p_value_against(self) -> float:
        """See `Claim`."""
        return self._misses.p_value_against

    @property
    def best_p_value(self) -> float:
        """See `Claim`: only hits."""
        return self._misses.best_p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        return lower_bound(self.n_hits, self.n_rows, level)


@dataclass(frozen=True)
class LossAtMost:
    """Of the answers that one model gets right, another loses at most a share (below 0: it wins at least as much).

    Paired: only the rows count where one of the two is right, as in McNemar's exact test (1947). The loss is
    (lost − won) / rows = (2 s − 1) d, with s the share of lost rows among the rows that differ, and d the share of those
    among all rows. Both are bounded by Clopper & Pearson, each with half of the level; together they bound the loss.

    Attributes:
        n_lost: rows that only the other one gets right.
        n_won: rows that only this one gets right.
        n_rows: rows that both were asked for.
        limit: the largest loss.
    """

    n_lost: int
    n_won: int
    n_rows: int
    limit: float

    @property
    def observed(self) -> float:
        """The loss in these rows; NaN of none."""
        return (self.n_lost - self.n_won) / self.n_rows if self.n_rows else math.nan

    @cached_property
    def p_value(self) -> float:
        """See `Claim`."""
        return _smallest_level(lambda level: self.bound(level) <= self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`: of the two in each other's place."""
        return LossAtMost(self.n_won, self.n_lost, self.n_rows, -self.limit).p_value

    @property
    def best_p_value(self) -> float:
        """See `Claim`: both right on the same rows, or, where no loss is allowed, this one alone right on all of them."""
        return LossAtMost(0, 0 if self.limit > 0 else self.n_rows, self.n_rows, self.limit).p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        n_differ = self.n_lost + self.n_won
        net = 2.0 * upper_bound(self.n_lost, n_differ, level / 2.0) - 1.0
        if self.limit >= 0:
            return max(net, 0.0) * upper_bound(n_differ, self.n_rows, level / 2.0)
        return min(net, 0.0) * lower_bound(n_differ, self.n_rows, level / 2.0) if net < 0 else net


@dataclass(frozen=True)
class RiseAtMost:
    """A rate is at most so much above another one, whatever the two have to do with each other.

    Both are bounded by Clopper & Pearson, each with half of the level. Not paired: two models accept different rows.

    Attributes:
        n_hits, n_rows: of the rate.
        other_hits, other_rows: of the one that it is compared with.
        limit: the largest rise.
    """

    n_hits: int
    n_rows: int
    other_hits: int
    other_rows: int
    limit: float

    @property
    def observed(self) -> float:
        """The rise in these rows; NaN of none."""
        if not (self.n_rows and self.other_rows):
            return math.nan
        return self.n_hits / self.n_rows - self.other_hits / self.other_rows

    @cached_property
    def p_value(self) -> float:
        """See `Claim`."""
        return _smallest_level(lambda level: self.bound(level) <= self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`: of the two in each other's place."""
        return RiseAtMost(self.other_hits, self.other_rows, self.n_hits, self.n_rows, -self.limit).p_value

    @property
    def best_p_value(self) -> float:
        """See `Claim`: neither has a single hit."""
        return RiseAtMost(0, self.n_rows, 0, self.other_rows, self.limit).p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        highest = upper_bound(self.n_hits, self.n_rows, level / 2.0)
        return highest - lower_bound(self.other_hits, self.other_rows, level / 2.0)


@dataclass(frozen=True, eq=False)
class MeanAtMost:
    """The mean of a quantity between 0 and 1 is at most a limit: a test by betting.

    Who starts with 1 and bets on each row in turn that it is below the limit, with stakes that depend on earlier rows only,
    ends up with 1/p at least with probability at most p if the mean is not below it (Ville's inequality). Stakes as in
    Waudby-Smith & Ramdas (2024, section 4.1); valid for every number of rows, and close to the normal approximation.
    Rows have to be in an order that says nothing of the quantity.

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
        """The mean of these rows; NaN of none."""
        return float(self.values.mean()) if len(self.values) else math.nan

    @cached_property
    def p_value(self) -> float:
        """See `Claim`."""
        return _betting_p_value(self.values, self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`: the same bets on what is missing to 1."""
        return _betting_p_value(1.0 - self.values, 1.0 - self.limit)

    @property
    def best_p_value(self) -> float:
        """See `Claim`: all values 0."""
        return _betting_p_value(np.zeros(self.n_rows), self.limit)

    def bound(self, level: float) -> float:
        """See `Claim`; to 12 digits."""
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            if _betting_p_value(self.values, middle) <= level:
                high = middle
            else:
                low = middle
        return high


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
    known = np.concatenate([[0.25], variances[:-1]])  # before each row
    stakes = np.minimum(_BET / (1.0 - limit), np.sqrt(2.0 * math.log(1.0 / _TUNED_FOR) / (n_rows * known)))
    log_capital = np.cumsum(np.log1p(-stakes * (values - limit)))
    return min(1.0, math.exp(-float(log_capital.max())))


def _smallest_level(proves: Callable[[float], bool]) -> float:
    """Return the smallest level at which a bound proves a claim; 1 if none does."""
    if proves(_SMALLEST):
        return _SMALLEST
    if not proves(1.0 - _SMALLEST):
        return 1.0
    low, high = math.log(_SMALLEST), 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if proves(math.exp(middle)):
            high = middle
        else:
            low = middle
    return math.exp(high)
