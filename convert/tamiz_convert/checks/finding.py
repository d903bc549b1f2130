"""What a check found, before all findings are judged together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tamiz_convert.check_result import Severity
from tamiz_convert.checks.claims import Claim

Direction = Literal["at most", "at least"]


@dataclass(frozen=True)
class Heading:
    """The name of a finding, and what a failure of it does.

    Attributes:
        name: for people, with the slice if there is one.
        kind: the section of the specification.
        severity: whether a failure stops the export.
        on_inconclusive: whether too few rows to tell stop the export.
    """

    name: str
    kind: str
    severity: Severity
    on_inconclusive: Severity

    def part(self, which: str, severity: Severity | None = None) -> Heading:
        """Return the heading of a part of the check."""
        return Heading(f"{self.name}: {which}", self.kind, severity or self.severity, self.on_inconclusive)


@dataclass(frozen=True)
class Claimed:
    """A claim that rows may prove.

    Attributes:
        heading: of the result.
        quantity: the name of the rate or mean, such as "accuracy".
        direction: on which side of the limit it must be.
        claim: the counts and the limit.
        min_n: with fewer rows, nothing is proven.
    """

    heading: Heading
    quantity: str
    direction: Direction
    claim: Claim
    min_n: int = 1


@dataclass(frozen=True)
class Decided:
    """A finding that is not about a sample, such as a measured time, or one with a test of its own.

    Attributes:
        heading: of the result.
        passed: whether it holds.
        n_rows: how many rows were looked at.
        message: for people.
        observed, limit, p_value: as in `CheckResult`; None if there is none.
    """

    heading: Heading
    passed: bool
    n_rows: int
    message: str
    observed: float | None = None
    limit: float | None = None
    p_value: float | None = None


Finding = Claimed | Decided
