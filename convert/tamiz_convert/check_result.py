"""The result of one release check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["block", "warn"]
Status = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The result of one release check.

    Attributes:
        name: its name in the specification, with the slice if there is one: "accuracy, region = north".
        kind: its section of the specification, such as "slices" or "invariance".
        severity: whether a failure stops the export.
        status: inconclusive if there are too few rows to tell.
        n_rows: the rows that it looked at.
        observed: what was measured; None if nothing was.
        bound: the one-sided bound that was compared with the limit; None if there is none.
        limit: the limit in the specification.
        p_value: of the test, before the correction for many checks; None if there is none.
        message: what was expected and what was seen, for people.
        on_inconclusive: whether an inconclusive result stops the export too, if a failure would.
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

    def __repr__(self) -> str:
        """Return one line: a tuple of results is read as a list of them."""
        return f"CheckResult({self.status}, {self.title}: {self.message})"

    @property
    def title(self) -> str:
        """Its name for people; see `check_title`."""
        return check_title(self.kind, self.name)

    @property
    def blocks(self) -> bool:
        """Whether it stops the export."""
        stops = self.status == "failed" or (self.status == "inconclusive" and self.on_inconclusive == "block")
        return stops and self.severity == "block"


def check_title(kind: str, name: str) -> str:
    """Return a check's name with its section first: "slices: accuracy, region = north"."""
    return name if name.startswith(kind) else f"{kind}: {name}"
