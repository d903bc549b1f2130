"""The choice of a calibrator, from the rows to the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.calibrators import METHODS
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.metrics.calibration_error import ece
from tamiz_convert.metrics.losses import brier
from tamiz_convert.metrics.top_label import Array, Classes
from tamiz_convert.selection import wording
from tamiz_convert.selection.candidates import Rows, objection
from tamiz_convert.selection.choice import (
    Candidate,
    Choice,
    Judges,
    Selection,
    choose,
    ranking,
    standard_error,
)
from tamiz_convert.selection.folds import Folds, fold
from tamiz_convert.selection.out_of_fold import OutOfFold, out_of_fold
from tamiz_convert.selection.settings import SelectionSettings

_DEFAULTS = SelectionSettings()
_TWO: Final = 2


def select_calibrator(
    scores: Array,
    y: Classes,
    *,
    kind: ScoresKind,
    n_classes: int,
    settings: SelectionSettings = _DEFAULTS,
    groups: NDArray[Any] | None = None,
    splitter: Any = None,
    weights: Array | None = None,
    seed: int = 0,
) -> Selection:
    """Choose the calibrator with the lowest log loss on rows that it was not fitted on.

    With fewer than `settings.rows_to_take_lowest` rows, the simplest calibrator near the lowest log loss
    wins. A calibrator that ranks rows worse than the estimator itself (temperature for margins), by more than
    two standard errors of AURC, is passed over for the next best. The gate compares the calibrated
    probability, so with a worse ranking it would answer fewer rows.

    Args:
        scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.
        y: (n_rows,), int64, the index of each row's class.
        kind: what the scores are.
        n_classes: how many classes there are.
        settings: the limits.
        groups: (n_rows,), one value per row. Rows with the same value are never on both sides of a fold, and
            count as one observation in a standard error.
        splitter: a scikit-learn splitter whose parts are disjoint; it need not cover every row. By default
            folds are stratified, and groups stay whole.
        weights: (n_rows,), above 0, how often each row counts, in fits and in every figure; None for once.
            They add up to as many rows as they are worth, which the limits on rows apply to.
        seed: of the folds and of the bootstrap behind the veto.

    Raises:
        RowsError: if scores are not finite, or rows cannot be folded.
        EstimatorError: if `kind` says probabilities and the scores are not.
    """
    by_weight = None if weights is None else round(weights.sum())
    rows = Rows(kind, n_classes, len(y), int(np.bincount(y, minlength=n_classes).min()), by_weight)
    # Every calibrator refuses what the reference refuses: NaN, and scores that are not probabilities.
    fit(rows.reference, scores, y, kind=kind, n_classes=n_classes)
    objections = {method: objection(method, rows, settings) for method in METHODS}
    methods = [method for method, why in objections.items() if why is None]
    out = {method: why for method, why in objections.items() if why is not None}
    if len(methods) == 1:
        return _unopposed(rows, out, settings, seed)

    # A class with fewer rows than folds would be missing in some. Calibrators that need every class are no
    # candidates if it has one row or none.
    n_folds = settings.n_folds if rows.n_minor < _TWO else min(settings.n_folds, rows.n_minor)
    folds = fold(scores, y, groups, splitter, n_folds, seed)
    tried, failed = _try(methods, scores, y, folds, rows, weights)
    judging = folds.judging
    judges = Judges(
        y[judging],
        folds.numbers,
        None if groups is None else groups[judging],
        rows.n_worth,
        None if weights is None else weights[judging],
    )
    reference = next(candidate for candidate in tried if candidate.method == rows.reference)
    choice = choose(tried, reference, judges, settings, seed)
    return Selection(
        method=choice.winner.method,
        reason=wording.reason(tried, choice, rows, settings),
        candidates=_candidates(tried, choice, judges, out | failed),
        n_rows=rows.n_rows,
        n_judging=len(judging),
        folds=folds.description,
        seed=seed,
        notes=wording.notes(tried, failed),
    )


def _unopposed(rows: Rows, out: Mapping[str, str], settings: SelectionSettings, seed: int) -> Selection:
    """Return the reference, because no other calibrator is a candidate."""
    found = {method: Candidate(method, f"not a candidate: {why}") for method, why in out.items()}
    found[rows.reference] = Candidate(rows.reference, "chosen")
    return Selection(
        method=rows.reference,
        reason=wording.reason_unopposed(rows),
        candidates=_in_order(found),
        n_rows=rows.n_rows,
        n_judging=0,
        folds="",
        seed=seed,
        notes=wording.notes_unopposed(rows, settings),
    )


def _try(
    methods: Sequence[str],
    scores: Array,
    y: Classes,
    folds: Folds,
    rows: Rows,
    weights: Array | None,
) -> tuple[list[OutOfFold], dict[str, str]]:
    """Return each candidate out of fold, and why some could not be tried."""
    tried, failed = [], {}
    for method in methods:
        try:
            tried.append(
                out_of_fold(
                    method, scores, y, folds, kind=rows.kind, n_classes=rows.n_classes, weights=weights
                )
            )
        except RowsError as error:
            if method == rows.reference:
                raise RowsError(
                    f"calibrators cannot be compared: {error}; use other folds, or name one"
                ) from error
            failed[method] = str(error)
    return tried, failed


def _candidates(
    tried: Sequence[OutOfFold], choice: Choice, judges: Judges, out: Mapping[str, str]
) -> tuple[Candidate, ...]:
    found = {each.method: _measured(each, choice, judges) for each in tried}
    found |= {method: Candidate(method, f"not a candidate: {why}") for method, why in out.items()}
    return _in_order(found)


def _measured(candidate: OutOfFold, choice: Choice, judges: Judges) -> Candidate:
    p = candidate.probabilities
    return Candidate(
        candidate.method,
        wording.status(candidate, choice),
        log_loss=candidate.log_loss,
        brier=brier(p, judges.y, weights=judges.weights),
        ece_15=ece(p, judges.y, weights=judges.weights),
        aurc=ranking(candidate, judges),
        standard_error=standard_error(candidate, choice.winner, judges.groups),
    )


def _in_order(found: Mapping[str, Candidate]) -> tuple[Candidate, ...]:
    return tuple(found[method] for method in METHODS if method in found)
