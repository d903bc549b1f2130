"""Which calibrators are candidates for given rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tamiz_convert.calibrators import METHODS
from tamiz_convert.calibrators.calibrator import Candidacy
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.selection.settings import SelectionSettings

_TWO: Final = 2


@dataclass(frozen=True)
class Rows:
    """The facts about calibration rows that decide who is a candidate.

    Attributes:
        kind: what their scores are.
        n_classes: how many classes there are.
        n_rows: how many rows there are.
        n_by_weight: how many rows of equal weight they are worth; None if they have no weights.
        n_minor: how many rows the rarest class has.
    """

    kind: ScoresKind
    n_classes: int
    n_rows: int
    n_minor: int
    n_by_weight: int | None = None

    @property
    def n_worth(self) -> int:
        """How many rows count."""
        return self.n_rows if self.n_by_weight is None else self.n_by_weight

    @property
    def worth(self) -> str:
        """How many rows there are, for people."""
        by_weight = "" if self.n_by_weight is None else f", worth {self.n_by_weight:,} by their weights"
        return f"{self.n_rows:,}{by_weight}"

    @property
    def reference(self) -> str:
        """The calibrator that keeps the estimator's own ranking; it is always a candidate."""
        return "temperature" if self.kind == "margins" else "none"


def objection(method: str, rows: Rows, settings: SelectionSettings) -> str | None:
    """Return why a calibrator is not a candidate, for people; None if it is one."""
    asked = settings.candidacies.get(method, METHODS[method].candidacy)
    if rows.kind == "margins" and METHODS[method].needs_probabilities:
        return "needs probabilities, and the scores are margins"
    if rows.kind != "probabilities" and asked.repeats:
        return f"is the same as {asked.repeats}, since the scores are {rows.kind}"
    if rows.n_classes == _TWO and asked.for_more_classes:
        return "is for more than two classes"
    if method == rows.reference:
        return None
    return _too_few(method, asked, rows, settings) or _too_many(asked, rows)


def _too_few(method: str, asked: Candidacy, rows: Rows, settings: SelectionSettings) -> str | None:
    needed = settings.rows_to_fit if asked.on_few_rows else settings.rows_to_compare
    if rows.n_worth < needed:
        return f"needs {needed:,} rows, there are {rows.worth}"
    needed = max(_TWO, asked.minor_rows)  # one on each side of a fold
    if METHODS[method].needs_every_class and rows.n_minor < needed:
        return f"needs {needed:,} rows of the rarest class, there are {rows.n_minor:,}"
    needed = asked.rows_per_squared_class * rows.n_classes**2
    if rows.n_worth < needed:
        return f"needs {needed:,} rows for {rows.n_classes} classes, there are {rows.worth}"
    return None


def _too_many(asked: Candidacy, rows: Rows) -> str | None:
    if asked.most_rows is not None and rows.n_rows > asked.most_rows:
        return f"is for at most {asked.most_rows:,} rows, there are {rows.n_rows:,}"
    n_scores = rows.n_rows * (1 if rows.n_classes == _TWO else rows.n_classes)
    if asked.most_scores is not None and n_scores > asked.most_scores:
        return (
            f"would take minutes in every fold: {n_scores:,} scores, and at most {asked.most_scores:,} are"
            " compared; it can be named"
        )
    return None
