"""What came of the choice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A calibrator that was thought of; numbers are out of fold, None if it was not tried.

    Attributes:
        method: its name.
        status: "chosen", "beaten: …", "vetoed: …" or "not a candidate: …".
        log_loss, brier, ece_15, aurc: as in `metrics`; AURC within folds, the mean over them.
        standard_error: of the difference between its log loss and that of the chosen one, paired; 0 for the chosen one.
    """

    method: str
    status: str
    log_loss: float | None = None
    brier: float | None = None
    ece_15: float | None = None
    aurc: float | None = None
    standard_error: float | None = None

    @property
    def chosen(self) -> bool:
        """Whether it was taken."""
        return self.status == "chosen"

    @property
    def metrics(self) -> list[tuple[str, float]]:
        """What was measured, by name; empty if it was not tried."""
        named = {"log_loss": self.log_loss, "brier": self.brier, "ece_15": self.ece_15, "aurc": self.aurc}
        return [(name, value) for name, value in named.items() if value is not None]


@dataclass(frozen=True)
class Selection:
    """The calibrator to fit, and how it was found.

    Attributes:
        method: its name.
        reason: a sentence for people.
        candidates: every calibrator, the simplest first.
        n_rows: the calibration rows.
        n_judging: how many of them were predicted out of fold; 0 if nothing was compared.
        folds: what the folds were; empty if there were none.
        seed: of folds and bootstrap.
        notes: warnings for people.
    """

    method: str
    reason: str
    candidates: tuple[Candidate, ...]
    n_rows: int
    n_judging: int
    folds: str
    seed: int
    notes: tuple[str, ...] = ()
