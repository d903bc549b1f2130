"""What is claimed of two models on the same rows. See `claims` for what proven means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scipy.stats import binom

from tamiz_convert.metrics.binomial import lower_bound, upper_bound

_SMALLEST: Final = 1e-12
"""Below this a p-value is not told apart from 0."""
_HALVINGS: Final = 40


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
        """See `Claim`.

        Where a loss is allowed and these rows show a larger one: of there being none at all, McNemar's exact test. A small slice
        tells much sooner that something is lost than how much.
        """
        if self.limit < 0:
            return LossAtMost(self.n_won, self.n_lost, self.n_rows, -self.limit).p_value
        if not self.observed > self.limit:
            return 1.0
        return float(binom.sf(self.n_lost - 1, self.n_lost + self.n_won, 0.5))

    @property
    def best_p_value(self) -> float:
        """See `Claim`: both right on the same rows, or, where none is allowed, this one alone right on all."""
        return LossAtMost(0, 0 if self.limit > 0 else self.n_rows, self.n_rows, self.limit).p_value

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`: two that are right equally often and differ on as many rows, where a loss is allowed."""
        if self.limit <= 0:
            return self.best_p_value
        n_differ = self.n_lost + self.n_won
        return LossAtMost(n_differ // 2, n_differ - n_differ // 2, self.n_rows, self.limit).p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        n_differ = self.n_lost + self.n_won
        net = 2.0 * upper_bound(self.n_lost, n_differ, level / 2.0) - 1.0
        if self.limit >= 0:
            return max(net, 0.0) * upper_bound(n_differ, self.n_rows, level / 2.0)
        return min(net, 0.0) * lower_bound(n_differ, self.n_rows, level / 2.0) if net < 0 else net


@dataclass(frozen=True)
class GainAtLeast:
    """One model gets at least so many more answers right than another: `LossAtMost`, seen from the other side.

    Attributes:
        n_won: rows that only this one gets right.
        n_lost: rows that only the other one gets right.
        n_rows: rows that both were asked for.
        limit: the smallest gain.
    """

    n_won: int
    n_lost: int
    n_rows: int
    limit: float

    @cached_property
    def _loss(self) -> LossAtMost:
        return LossAtMost(self.n_lost, self.n_won, self.n_rows, -self.limit)

    @property
    def observed(self) -> float:
        """The gain in these rows; NaN of none."""
        return -self._loss.observed

    @property
    def p_value(self) -> float:
        """See `Claim`."""
        return self._loss.p_value

    @property
    def p_value_against(self) -> float:
        """See `Claim`."""
        return self._loss.p_value_against

    @property
    def best_p_value(self) -> float:
        """See `Claim`: this one alone right on all rows."""
        return self._loss.best_p_value

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`."""
        return self.best_p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        return -self._loss.bound(level)


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

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`: the same rate as the other one's."""
        same = self.other_hits * self.n_rows // max(self.other_rows, 1)
        return RiseAtMost(same, self.n_rows, self.other_hits, self.other_rows, self.limit).p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        highest = upper_bound(self.n_hits, self.n_rows, level / 2.0)
        return highest - lower_bound(self.other_hits, self.other_rows, level / 2.0)


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
