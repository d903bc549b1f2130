"""What is claimed of the traffic, and how far rows prove or refute it. Exact for every number of rows.

A claim is proven if the opposite would make rows like these improbable (`p_value`), which is the same as a one-sided
confidence bound on the right side of the limit; and refuted if the claim itself would (`p_value_against`). Between the two
the rows do not tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from scipy.stats import binom

from tamiz_convert.metrics.binomial import lower_bound, upper_bound


class Claim(Protocol):
    """A claim about a rate or a mean.

    Attributes:
        n_rows: how many rows speak of it.
        observed: what they show.
        limit: what is claimed to be kept.
        p_value: of the opposite.
        p_value_against: of the claim itself.
        best_p_value: the smallest that so many rows allow, whatever they show: from their number alone.
        p_value_if_fine: the p-value if rows like these showed nothing to complain of.
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
    @property
    def p_value_if_fine(self) -> float: ...  # noqa: D102

    def bound(self, level: float) -> float:
        """Return the one-sided bound that fails with probability `level`; the claim is proven if it keeps the limit."""
        ...


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

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`."""
        return self.best_p_value

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

    @property
    def p_value_if_fine(self) -> float:
        """See `Claim`."""
        return self.best_p_value

    def bound(self, level: float) -> float:
        """See `Claim`."""
        return lower_bound(self.n_hits, self.n_rows, level)
