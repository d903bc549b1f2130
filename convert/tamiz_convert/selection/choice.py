"""The choice among the calibrators that were tried, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.bins import totals
from tamiz_convert.metrics.paired import PairedDifference, aurc_difference
from tamiz_convert.metrics.ranking import aurc
from tamiz_convert.metrics.top_label import Array, Classes, mean
from tamiz_convert.selection.flips import turned
from tamiz_convert.selection.out_of_fold import OutOfFold
from tamiz_convert.selection.settings import SelectionSettings

_ROUNDING: Final = 1e-12
_FEWEST_CLAIMED: Final = 0.1
"""A calibrator whose probabilities foresee fewer wrong rows than this, among all that judge, says more than
they can show: none of n rows being wrong speaks for an error of about 1 / (n + 2)."""


@dataclass(frozen=True)
class Candidate:
    """A calibrator that was considered. Its numbers are out of fold; None if it was not tried.

    Attributes:
        method: its name.
        status: "chosen", "beaten: …", "vetoed: …" or "not a candidate: …".
        log_loss, brier, ece_15, aurc: as in `metrics`; AURC is the mean over folds.
        standard_error: of its log loss minus the chosen calibrator's, paired; 0 for the chosen one.
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
        """Whether it was chosen."""
        return self.status == "chosen"

    @property
    def metrics(self) -> list[tuple[str, float]]:
        """The measured numbers by name; empty if it was not tried."""
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
        folds: a description of the folds; empty if there were none.
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


@dataclass(frozen=True)
class Choice:
    """The winner, and the calibrators that it was compared with.

    Attributes:
        winner: the chosen calibrator.
        lowest: the calibrator with the lowest log loss that was not vetoed; often the winner.
        vetoed: name → why.
    """

    winner: OutOfFold
    lowest: OutOfFold
    vetoed: dict[str, str]


@dataclass(frozen=True)
class Judges:
    """The rows that judge the calibrators.

    Attributes:
        y: (n_judging,), int64.
        fold: (n_judging,), int64, the number of the fold that each row judges in.
        groups: (n_judging,), which rows belong together; None if none do.
        n_rows: how many calibration rows there are, judging or not; by weight if they have weights.
        weights: (n_judging,), how often each row counts; None for once.
    """

    y: Classes
    fold: NDArray[np.int64]
    groups: NDArray[Any] | None
    n_rows: int
    weights: Array | None = None

    def share(self, rows: NDArray[np.bool_]) -> float:
        """Return the share of the judging rows that some of them are."""
        return mean(rows, self.weights)

    def weights_of(self, rows: NDArray[np.bool_]) -> Array | None:
        """Return the weights of some of the rows."""
        return None if self.weights is None else self.weights[rows]


def choose(
    tried: Sequence[OutOfFold], reference: OutOfFold, judges: Judges, settings: SelectionSettings, seed: int
) -> Choice:
    """Return the most preferred candidate that is not vetoed; the last one that is left cannot be.

    Args:
        tried: the candidates, the simplest first. The reference is one of them.
        reference: the estimator's own ranking.
        judges: the rows that judge.
        settings: the limits.
        seed: of the bootstrap behind the veto.
    """
    pool, vetoed = list(tried), dict[str, str]()
    while True:
        lowest = min(pool, key=lambda candidate: candidate.log_loss)
        winner = _preferred(pool, lowest, judges, settings)
        why = _veto(winner, reference, judges, settings, seed) if len(pool) > 1 else None
        if why is None:
            return Choice(winner, lowest, vetoed)
        vetoed[winner.method] = why
        pool.remove(winner)


def standard_error(one: OutOfFold, other: OutOfFold, groups: NDArray[Any] | None) -> float:
    """Return the paired standard error of the difference of two mean log losses.

    Rows that belong together count as one observation, the sum of their deviations (Liang & Zeger 1986). A
    row is one observation whatever its weight.
    """
    difference = one.losses - other.losses
    times = np.ones(len(difference)) if one.weights is None else one.weights
    deviations: Array = times * (difference - mean(difference, one.weights))
    if groups is not None:
        deviations = totals(np.unique(groups, return_inverse=True)[1], deviations)
    n = len(deviations)
    return float(np.sqrt((deviations**2).sum() * n / max(1, n - 1)) / times.sum())


def _preferred(
    pool: Sequence[OutOfFold], lowest: OutOfFold, judges: Judges, settings: SelectionSettings
) -> OutOfFold:
    if judges.n_rows < settings.rows_to_compare:
        return min(reversed(pool), key=lambda candidate: candidate.log_loss)
    if judges.n_rows >= settings.rows_to_take_lowest:
        return lowest
    return next(
        candidate
        for candidate in pool
        if candidate.log_loss - lowest.log_loss
        <= settings.standard_errors * standard_error(candidate, lowest, judges.groups)
    )


def _veto(
    winner: OutOfFold, reference: OutOfFold, judges: Judges, settings: SelectionSettings, seed: int
) -> str | None:
    """Return why a candidate may not win: it claims too much, turns the scores, or ranks rows worse."""
    why = _claims(winner) or turned(reference.probabilities, winner.probabilities, judges.y, judges.weights)
    if why is not None:
        return why
    if ranking(winner, judges) <= ranking(reference, judges) + _ROUNDING:
        return None
    worse = _ranking_difference(winner, reference, judges, settings, seed)
    if worse.difference <= settings.veto_standard_errors * worse.standard_error:
        return None
    return (
        f"it ranks rows worse than {reference.method}: AURC {ranking(winner, judges):.4g} against"
        f" {ranking(reference, judges):.4g}, by more than {settings.veto_standard_errors:g} times"
        f" its standard error of {worse.standard_error:.2g}"
    )


def _claims(candidate: OutOfFold) -> str | None:
    """Return how a candidate says far more than so many rows can show; None if it does not."""
    n = len(candidate.losses) if candidate.weights is None else candidate.weights.sum()
    foreseen = n * mean(1.0 - candidate.probabilities.max(axis=1), candidate.weights)
    if foreseen >= _FEWEST_CLAIMED:
        return None
    return (
        f"it claims far more than {n:,.0f} rows can show: that on average one row in"
        f" {n / max(foreseen, 1e-12):,.2g} is wrong"
    )


def ranking(candidate: OutOfFold, judges: Judges) -> float:
    """Return the mean AURC over folds, weighted by their rows.

    It is computed within folds because each fold has its own calibrator. One temperature never changes the
    ranking of two-class rows; five different temperatures over pooled rows would seem to.
    """
    return sum(
        judges.share(rows)
        * aurc(candidate.probabilities[rows], judges.y[rows], weights=judges.weights_of(rows))
        for rows in _folds(judges)
    )


def _ranking_difference(
    one: OutOfFold, other: OutOfFold, judges: Judges, settings: SelectionSettings, seed: int
) -> PairedDifference:
    """Return the difference of `ranking`. Folds share no rows and no groups, so their variances add up."""
    difference, variance = 0.0, 0.0
    for number, rows in enumerate(_folds(judges)):
        of_fold = aurc_difference(
            one.probabilities[rows],
            other.probabilities[rows],
            judges.y[rows],
            groups=None if judges.groups is None else judges.groups[rows],
            weights=judges.weights_of(rows),
            n_resamples=settings.n_resamples,
            seed=seed + number,
        )
        difference += judges.share(rows) * of_fold.difference
        variance += (judges.share(rows) * of_fold.standard_error) ** 2
    return PairedDifference(difference, float(np.sqrt(variance)))


def _folds(judges: Judges) -> list[NDArray[np.bool_]]:
    """Return per fold which of the judging rows are its own."""
    return [judges.fold == number for number in np.unique(judges.fold)]
