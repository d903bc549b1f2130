"""Whether what holds for all answers together holds within each group of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scipy.stats import binom, hypergeom

from tamiz_convert.metrics.binomial import rows_needed
from tamiz_convert.metrics.holm import Step, holm

YES: Final = "yes"
NO: Final = "no"
UNKNOWN: Final = "unknown"
NEVER: Final = "never"

_LEVEL: Final = 0.05
"""The chance that any group of a column is said to keep, or to break, a limit that it does not."""


@dataclass(frozen=True)
class Limit:
    """What the error of a group is held to.

    Attributes:
        max_error: what is promised over all answers; None if no error is promised. Then a group is compared
            with all answers.
        n_accepted, n_errors: how many answers there are, and how many of them are wrong.
    """

    max_error: float | None
    n_accepted: int
    n_errors: int

    @classmethod
    def of(cls, max_error: float | None, gate: Mapping[str, Any]) -> Limit:
        """Return the limit of a report."""
        return cls(max_error, gate["n_accepted"], gate["n_errors"])

    def p_value_against(self, k: int, n: int) -> float:
        """Return how likely at least k of n answers are wrong if the group is within the limit.

        With a promise it is the exact binomial test. Without one it is Fisher's exact test of the group
        against all answers.
        """
        if self.max_error is None:
            return float(hypergeom.sf(k - 1, self.n_accepted, self.n_errors, n))
        return float(binom.sf(k - 1, n, self.max_error))

    def p_value_for(self, k: int, n: int) -> float:
        """Return how likely at most k of n answers are wrong if the group is beyond the limit."""
        return 1.0 if self.max_error is None else float(binom.cdf(k, n, self.max_error))

    def rows_to_tell(self, k: int, n: int, level: float) -> int | None:
        """Return how many answers would prove the limit at this rate; None if no number would."""
        if self.max_error is None or k >= n * self.max_error:
            return None
        return rows_needed(k / n, self.max_error, level, more_than=n)


def judged(column: Mapping[str, Any], limit: Limit) -> dict[str, Any]:
    """Return a column of groups, each with `holds` and `rows_to_tell`.

    Args:
        column: its `values` are `counts`.
        limit: what each group is held to.

    Returns:
        `holds` is "yes" if the rows prove the limit in this group, "no" if they refute it, "never" if no row
        is answered, else "unknown"; without a promise never "yes". `rows_to_tell` is how many answers would
        prove it, where it is unknown and the rate looks right. Each column is corrected for its many groups
        (Holm), both ways.
    """
    values: Sequence[Mapping[str, Any]] = column["values"]
    answered = [each for each in values if each["n_accepted"]]
    pairs = [(each["n_errors"], each["n_accepted"]) for each in answered]
    proven = holm([limit.p_value_for(*pair) for pair in pairs], _LEVEL)
    broken = holm([limit.p_value_against(*pair) for pair in pairs], _LEVEL)
    found = {
        id(each): _judgement(limit, pair, *steps)
        for each, pair, steps in zip(answered, pairs, zip(proven, broken, strict=True), strict=True)
    }
    never = {"holds": NEVER, "rows_to_tell": None}
    return {**column, "values": [{**each, **found.get(id(each), never)} for each in values]}


def _judgement(limit: Limit, pair: tuple[int, int], proven: Step, broken: Step) -> dict[str, Any]:
    if broken.rejects or proven.rejects:
        return {"holds": NO if broken.rejects else YES, "rows_to_tell": None}
    return {"holds": UNKNOWN, "rows_to_tell": limit.rows_to_tell(*pair, proven.level)}
