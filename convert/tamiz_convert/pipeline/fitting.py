"""Choose and fit the calibrator of a bundle, and append it to the score graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from tamiz_convert.calibrators.calibrator import Array, Calibrator, ClassIndices
from tamiz_convert.calibrators.methods import fit, refuse_absent
from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import ScoreGraph
from tamiz_convert.pipeline.graft import graft
from tamiz_convert.rows.held_out import HeldOut
from tamiz_convert.selection import Selection, SelectionSettings, select_calibrator


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
        RowsError: if all rows have the same scores.
        EstimatorError, RowsError: see `calibrators.fit` and `select_calibrator`.
    """
    n_classes = len(graph.classes)
    y = rows.fitting.y
    scores = Runner(graph.model).run(graph.feed(rows.fitting.rows))
    selection = None
    _refuse_constant(scores)
    if method is None:
        refuse_absent(y, graph.classes.tolist())
        selection = select_calibrator(
            scores,
            y,
            kind=graph.kind,
            n_classes=n_classes,
            settings=settings,
            groups=rows.groups,
            splitter=splitter,
            seed=seed,
        )
        method = selection.method
    calibrator = fit(method, scores, y, kind=graph.kind, n_classes=n_classes, classes=graph.classes.tolist())
    notes = (*_separable(scores, y), *(selection.notes if selection else ()))
    return Fitted(calibrator, graft(graph.model, calibrator, n_classes=n_classes), selection, notes)


def _refuse_constant(scores: Array) -> None:
    if len(scores) > 1 and (scores == scores[0]).all():
        raise RowsError(
            f"all {len(scores)} calibration rows have the same scores: the model cannot tell them apart,"
            " so there is nothing to calibrate and no threshold to choose. Check that the columns are"
            " prepared and ordered as in training"
        )


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
