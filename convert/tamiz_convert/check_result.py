"""What came of one release check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["block", "warn"]
Status = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True)
class CheckResult:
    """What came of one release check.

    Attributes:
        name: what the specification calls it, with the slice where there is one: "accuracy by region = north".
        kind: the section of the specification that it stands in, such as "slices" or "invariance".
        severity: whether a failure stops the export.
        status: inconclusive where there are too few rows to tell.
        n_rows: the rows that it looked at.
        observed: what was measured; None where nothing was.
        bound: the one-sided bound on it that was held against the limit; None where there is none.
        limit: what the specification asks for.
        p_value: of the test, before the correction for many checks; None where there is none.
        message: a sentence for people: what was expected, what was seen.
        on_inconclusive: whether too few rows to tell stop the export too, if a failure would.
    """

    name: str
    kind: str
    severity: Severity
    status: Status
    n_rows: int
    observed: float | None
    bound: float | None
    limit: float | None
    p_value: float | None
    message: str
    on_inconclusive: Severity = "warn"

    @property
    def blocks(self) -> bool:
        """Whether it stops the export."""
        stops = self.status == "failed" or (self.status == "inconclusive" and self.on_inconclusive == "block")
        return stops and self.severity == "block"
