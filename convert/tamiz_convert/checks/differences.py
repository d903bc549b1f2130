"""Claims about two models on the same rows. See `claims` for what proven means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scipy.stats import binom

from tamiz_convert.metrics.betting import smallest
from tamiz_convert.metrics.binomial import lower_bound, upper_bound

_SMALLEST: Final = 1e-12
"""A smaller p-value is not told apart from 0."""


@dataclass(frozen=True)
class LossAtMost:
    """The accuracy of a model is at most `limit` below that of another one; a negative limit means above.

    Paired: only rows where exactly one of the two is right count, as in McNemar's exact test (1947). The loss
        is
    (lost − won) / rows = (2 s − 1) d, where s is the share of lost rows among the rows that differ, and d is
    the share of the rows that differ among all rows. Both shares get a Clopper–Pearson bound at half of the
    level; together they bound the loss.

    Attributes:
        n_lost: rows that only the other model gets right.
        n_won: rows that only this model gets right.
        n_rows: all rows that both answered.
        limit: the largest loss.
    """

    n_lost: int
    n_won: int
    n_rows: int
    limit: float

    @property
    def observed(self) -> float:
        """The loss in these rows; NaN without rows."""
        return (self.n_lost - self.n_won) / self.n_rows if self.n_rows else math.nan

    @cached_property
    def p_value(self) -> float:
        """See `Claim`."""
        return _smallest_level(lambda level: self.bound(level) <= self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`.

        If a loss is allowed and these rows show a larger one, this is McNemar's exact test that there is no
        loss at all: a small slice shows that something is lost much sooner than how much.
        """
        if self.limit < 0:
            return LossAtMost(self.n_won, self.n_lost, self.n_rows, -self.limit).p_value
        if not self.observed > self.limit:
            return 1.0
        return float(binom.sf(self.n_lost - 1, self.n_lost + self.n_won, 0.5))

    @property
    def best_p_value(self) -> float:
        """See `Claim`: both are right on the same rows; if no loss is allowed, only this one is."""
        return LossAtMost(0, 0 if self.limit > 0 else self.n_rows, self.n_rows, self.limit).p_value

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`: if a loss is allowed, two equally good models that differ on as many rows."""
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
    """The accuracy of a model is at least `limit` above that of another one: the opposite of a loss.

    Attributes:
        n_won: rows that only this model gets right.
        n_lost: rows that only the other model gets right.
        n_rows: all rows that both answered.
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
        """The gain in these rows; NaN without rows."""
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
    """A rate is at most `limit` above another one; the two may depend on each other in any way.

    Each rate gets a Clopper–Pearson bound at half of the level. Not paired: two models accept different rows.

    Attributes:
        n_hits, n_rows: the counts of the rate.
        other_hits, other_rows: the counts of the rate that it is compared with.
        limit: the largest rise.
    """

    n_hits: int
    n_rows: int
    other_hits: int
    other_rows: int
    limit: float

    @property
    def observed(self) -> float:
        """The rise in these rows; NaN without rows."""
        if not (self.n_rows and self.other_rows):
            return math.nan
        return self.n_hits / self.n_rows - self.other_hits / self.other_rows

    @cached_property
    def p_value(self) -> float:
        """See `Claim`."""
        return _smallest_level(lambda level: self.bound(level) <= self.limit)

    @property
    def p_value_against(self) -> float:
        """See `Claim`: the p-value with both rates exchanged."""
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
    return math.exp(smallest(math.log(_SMALLEST), 0.0, lambda log_level: proves(math.exp(log_level))))
