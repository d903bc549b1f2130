"""Claims about the traffic, and how far rows prove or refute them. Exact for every number of rows.

A claim is proven if rows like these would be improbable under its opposite (`p_value`). That is the same as a
one-sided confidence bound on the right side of the limit. A claim is refuted if rows like these would be
improbable under the claim itself (`p_value_against`). Between the two, the rows do not tell.
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
        n_rows: how many rows it is tested on.
        observed: the rate or mean in these rows.
        limit: the limit that is claimed to be kept.
        p_value: of the opposite of the claim; small if the rows prove the claim.
        p_value_against: of the claim itself; small if the rows refute the claim.
        best_p_value: the smallest `p_value` that this number of rows allows, whatever the rows show.
        p_value_if_fine: the `p_value` if the rows showed nothing wrong.
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
        """Return the one-sided bound that fails with probability `level`; within the limit it proves."""
        ...


@dataclass(frozen=True)
class AtMost:
    """A rate is at most a limit: the exact binomial test (Clopper & Pearson 1934)."""

    n_hits: int
    n_rows: int
    limit: float

    @property
    def observed(self) -> float:
        """The rate in these rows; NaN without rows."""
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
        """The rate in these rows; NaN without rows."""
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
