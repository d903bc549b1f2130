"""Who is a candidate on which rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tamiz_convert.calibrators import METHODS
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.selection.settings import SelectionSettings

BY_FLEXIBILITY: Final[tuple[str, ...]] = (
    "none",
    "temperature",
    "sigmoid",
    "sigmoid-logit",
    "vector",
    "beta",
    "dirichlet",
    "venn-abers",
    "isotonic",
)
"""All calibrators, from the simplest to the one that follows the rows most closely."""

_FOR_MORE_CLASSES: Final = ("vector", "dirichlet")
_FOR_FEW_ROWS: Final = ("none", "temperature")
_TWO: Final = 2


@dataclass(frozen=True)
class Rows:
    """What the calibration rows are like.

    Attributes:
        kind: what their scores are.
        n_classes: how many classes there are.
        n_rows: how many rows there are.
        n_minor: how many of them are of the rarest class.
    """

    kind: ScoresKind
    n_classes: int
    n_rows: int
    n_minor: int

    @property
    def reference(self) -> str:
        """The calibrator that keeps the estimator's own ranking, and is always a candidate."""
        return "temperature" if self.kind == "margins" else "none"


def objection(method: str, rows: Rows, settings: SelectionSettings) -> str | None:
    """Return why a calibrator is no candidate, for people; None if it is one."""
    if rows.kind == "margins" and METHODS[method].needs_probabilities:
        return "needs probabilities, and the scores are margins"
    if rows.kind != "probabilities" and method == "sigmoid-logit":
        return f"is the same as sigmoid, since the scores are {rows.kind}"
    if rows.n_classes == _TWO and method in _FOR_MORE_CLASSES:
        return "is for more than two classes"
    if method == rows.reference:
        return None
    return _too_few(method, rows, settings) or _too_many(method, rows, settings)


def _too_few(method: str, rows: Rows, settings: SelectionSettings) -> str | None:
    needed = settings.rows_to_fit if method in _FOR_FEW_ROWS else settings.rows_to_compare
    if rows.n_rows < needed:
        return f"needs {needed:,} rows, there are {rows.n_rows:,}"
    needed = rows_of_rarest(method, settings)
    if rows.n_minor < needed:
        return f"needs {needed:,} rows of the rarest class, there are {rows.n_minor:,}"
    needed = settings.rows_per_squared_class_dirichlet * rows.n_classes**2
    if method == "dirichlet" and rows.n_rows < needed:
        return f"needs {needed:,} rows for {rows.n_classes} classes, there are {rows.n_rows:,}"
    return None


def _too_many(method: str, rows: Rows, settings: SelectionSettings) -> str | None:
    most = settings.most_rows_venn_abers
    if method == "venn-abers" and rows.n_rows > most:
        return f"is for at most {most:,} rows, there are {rows.n_rows:,}"
    return None


def rows_of_rarest(method: str, settings: SelectionSettings) -> int:
    """Return how many rows of the rarest class a calibrator needs: at least two, one on each side of a fold."""
    needed = {
        "sigmoid": settings.minor_rows_sigmoid,
        "sigmoid-logit": settings.minor_rows_sigmoid,
        "beta": settings.minor_rows_beta,
        "venn-abers": settings.minor_rows_beta,
        "isotonic": settings.minor_rows_isotonic,
    }
    return max(_TWO, needed.get(method, 0))
