"""The calibrator of a bundle: chosen, fitted, and put behind the graph's scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from tamiz_convert import calibrators
from tamiz_convert.calibrators import Calibrator, refuse_absent
from tamiz_convert.graft import graft
from tamiz_convert.parity import Runner
from tamiz_convert.rows.held_out import HeldOut
from tamiz_convert.score_graph import ScoreGraph
from tamiz_convert.selection import Selection, SelectionSettings, select_calibrator


@dataclass(frozen=True)
class Fitted:
    """A fitted calibrator.

    Attributes:
        calibrator: as it was fitted.
        model: the graph from features to `probabilities`.
        selection: how it was chosen; None where the caller named it.
    """

    calibrator: Calibrator
    model: onnx.ModelProto
    selection: Selection | None


def fit_calibrator(
    graph: ScoreGraph,
    rows: HeldOut,
    method: str | None,
    settings: SelectionSettings,
    splitter: Any,
    seed: int,
) -> Fitted:
    """Fit a calibrator on the graph's own scores, not on the reference's: those are the ones that it will see.

    Args:
        graph: the score graph.
        rows: the held-out rows; only those that fit are looked at.
        method: one of `calibrators.METHODS`; None chooses.
        settings: the cut-offs of the choice.
        splitter: a scikit-learn splitter for the choice, or None.
        seed: of the choice.

    Raises:
        EstimatorError, RowsError: see `calibrators.fit` and `select_calibrator`.
    """
    n_classes = len(graph.classes)
    y = rows.fitting.y
    scores = Runner(graph.model).run(graph.feed(rows.fitting.rows))
    selection = None
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
    calibrator = calibrators.fit(
        method, scores, y, kind=graph.kind, n_classes=n_classes, classes=graph.classes.tolist()
    )
    return Fitted(calibrator, graft(graph.model, calibrator, n_classes=n_classes), selection)
