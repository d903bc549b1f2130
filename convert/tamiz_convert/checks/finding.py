"""What a check found, before it is known how strictly it is judged among all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tamiz_convert.check_result import Severity
from tamiz_convert.checks.claims import Claim

Direction = Literal["at most", "at least"]


@dataclass(frozen=True)
class Heading:
    """What a finding is called, and how much weight it has.

    Attributes:
        name: for people, with the slice where there is one.
        kind: the section of the specification.
        severity: whether a failure stops the export.
        on_inconclusive: whether too few rows do.
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
        quantity: what is bounded, such as "accuracy".
        direction: on which side of the limit it has to be.
        claim: with the counts.
        min_n: fewer rows prove nothing.
    """

    heading: Heading
    quantity: str
    direction: Direction
    claim: Claim
    min_n: int = 1


@dataclass(frozen=True)
class Decided:
    """What needs no sample: a list of cases that all have to hold, a measured time; or a test of its own.

    Attributes:
        heading: of the result.
        passed: whether it holds.
        n_rows: how many rows were looked at.
        message: for people.
        observed, limit, p_value: where there are such.
    """

    heading: Heading
    passed: bool
    n_rows: int
    message: str
    observed: float | None = None
    limit: float | None = None
    p_value: float | None = None


Finding = Claimed | Decided
