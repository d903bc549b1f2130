"""Choose and fit the calibrator of a bundle, and append it to the score graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx

from tamiz_convert.calibrators.calibrator import Array, Calibrator, ClassIndices
from tamiz_convert.calibrators.methods import absent, fit
from tamiz_convert.calibrators.scores import probabilities
from tamiz_convert.calibrators.temperature import Temperature
from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import Labels, ScoreGraph
from tamiz_convert.pipeline.graft import graft
from tamiz_convert.rows.held_out import HeldOut
from tamiz_convert.selection import Selection, SelectionSettings, select_calibrator
from tamiz_convert.selection.flips import turned, worse_than_chance

_MANY_LABELS: Final = 0.05
_SAME_CONFIDENCE: Final = 1e-3


@dataclass(frozen=True)
class Fitted:
    """A fitted calibrator.

    Attributes:
        calibrator: as it was fitted.
        model: the graph from features to `probabilities`.
        selection: how it was chosen; None if the caller named it.
        notes: what the caller should know about the scores and the choice.
    """

    calibrator: Calibrator
    model: onnx.ModelProto
    selection: Selection | None
    notes: tuple[str, ...] = ()


def fit_calibrator(
    graph: ScoreGraph,
    rows: HeldOut,
    method: str | None,
    settings: SelectionSettings,
    splitter: Any,
    seed: int,
) -> Fitted:
    """Fit a calibrator on the graph's own scores, not the reference's: these are what it will see.

    Args:
        graph: the score graph.
        rows: the held-out rows; only those that fit are used.
        method: one of `calibrators.METHODS`; None chooses.
        settings: the limits of the choice.
        splitter: a scikit-learn splitter for the choice, or None.
        seed: of the choice.

    Raises:
        RowsError: if all rows have the same scores, or the scores rank the classes in reverse.
        EstimatorError: if a named calibrator turns the scores or the labels round; see `turned`.
        EstimatorError, RowsError: see `calibrators.fit` and `select_calibrator`.
    """
    n_classes = len(graph.classes)
    y, weights = rows.fitting.y, rows.fitting.weights
    scores = Runner(graph.model).run(graph.feed(rows.fitting.rows))
    selection = None
    _refuse_constant(scores)
    _refuse_one_class(y, graph.classes)
    if method is None:
        selection = select_calibrator(
            scores,
            y,
            kind=graph.kind,
            n_classes=n_classes,
            settings=settings,
            groups=rows.groups,
            splitter=splitter,
            weights=weights,
            seed=seed,
        )
        method = selection.method
    own = probabilities(scores, "logits" if graph.kind == "margins" else graph.kind)
    calibrator = fit(
        method,
        scores,
        y,
        kind=graph.kind,
        n_classes=n_classes,
        classes=graph.classes.tolist(),
        weights=weights,
    )
    _refuse_reversed(own, y)
    calibrated = calibrator.predict(scores)
    why = turned(own, calibrated, y, weights)
    if why is not None:
        way_out = (
            "Look at the rows whose class the scores rule out: they contradict their labels"
            if method == Temperature.method
            else 'Name another one, such as calibrator="temperature", which keeps the labels, or let'
            ' calibrator="auto" choose'
        )
        raise EstimatorError(f"the calibrator {method} cannot be used on these rows: {why}. {way_out}")
    notes = (
        *_separable(scores, y),
        *_without_rows(y, graph.classes.tolist(), method),
        *_never_scored(scores, graph.classes),
        *_moved(own, calibrated, y),
        *calibrator.remarks(),
        *(selection.notes if selection else ()),
    )
    return Fitted(calibrator, graft(graph.model, calibrator, n_classes=n_classes), selection, notes)


def _refuse_constant(scores: Array) -> None:
    if len(scores) > 1 and (scores == scores[0]).all():
        raise RowsError(
            f"all {len(scores)} calibration rows have the same scores: the model cannot tell them apart,"
            " so there is nothing to calibrate and no threshold to choose. Check that the columns are"
            " prepared and ordered as in training"
        )


def _refuse_one_class(y: ClassIndices, classes: Labels) -> None:
    if (y == y[0]).all():
        others = absent(y, classes.tolist())
        raise RowsError(
            f"no calibration row of class {others}: all {len(y)} rows are of class"
            f" {classes[y[0]].item()!r}, and rows of one class cannot show how sure to be of it; add rows of"
            " the others"
        )


def _refuse_reversed(own: Array, y: ClassIndices) -> None:
    if worse_than_chance(own, y):
        right = (own.argmax(axis=1) == y).mean()
        raise RowsError(
            "the scores rank the classes in reverse: the score of a class is lower in its own rows than in"
            f" others, and the highest one is right in {right:.1%} of the calibration rows. A calibrator"
            " would turn the labels round. Check the order of classes=, the sign of the model's output, and"
            " that the labels belong to these rows"
        )


def _without_rows(y: ClassIndices, classes: Sequence[Any], method: str) -> tuple[str, ...]:
    """Return a note about classes without calibration rows."""
    named = absent(y, classes)
    if not named:
        return ()
    note = (
        f"there is no calibration row of class {named}: the calibrator is {method}, which does without, but"
        " nothing is known of how sure to be of this class"
    )
    return (note,)


def _never_scored(scores: Array, classes: Labels) -> tuple[str, ...]:
    """Return a note about classes whose score is the same in all rows."""
    same = np.flatnonzero(np.ptp(scores, axis=0) == 0.0)
    if scores.shape[1] == 1 or not len(same):
        return ()
    named = ", ".join(repr(classes[index].item()) for index in same)
    return (f"the model gives class {named} the same score in all calibration rows: it never finds it",)


def _moved(own: Array, calibrated: Array, y: ClassIndices) -> tuple[str, ...]:
    """Return notes about a calibrator that changes many labels, or tells no row from another."""
    before, after = own.argmax(axis=1), calibrated.argmax(axis=1)
    notes = []
    if (before != after).mean() > _MANY_LABELS:
        notes.append(
            f"the calibrator changes the label of {(before != after).mean():.1%} of the calibration rows:"
            f" {(before == y).mean():.1%} are right without it, and {(after == y).mean():.1%} with it"
        )
    if np.ptp(calibrated.max(axis=1)) < _SAME_CONFIDENCE:
        notes.append(
            "the calibrated confidence is nearly the same in all calibration rows: these scores do not say"
            " which answers are right, and no threshold will"
        )
    return tuple(notes)


def _separable(scores: Array, y: ClassIndices) -> tuple[str, ...]:
    """Return a note if the scores tell the class of every calibration row."""
    if scores.shape[1] == 1:
        first, second = scores[y == 0], scores[y == 1]
        is_separable = bool(len(first) and len(second) and first.max() < second.min())
    else:
        is_separable = bool((scores.argmax(axis=1) == y).all())
    note = (
        f"the scores separate the classes of all {len(y)} calibration rows without an error, so these"
        " rows cannot say how sure to be; make sure that no feature gives the label away"
    )
    return (note,) if is_separable else ()
