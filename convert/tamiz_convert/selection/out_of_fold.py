"""A calibrator's probabilities for rows that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamiz_convert.calibrators.methods import fit
from tamiz_convert.errors import ExportError, RowsError
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.metrics.losses import log_losses
from tamiz_convert.metrics.top_label import Array, Classes, mean
from tamiz_convert.selection.folds import Folds


@dataclass(frozen=True)
class OutOfFold:
    """A calibrator on the rows that judge.

    Attributes:
        method: its name.
        probabilities: (n_judging, n_classes), float64.
        losses: (n_judging,), float64, the log loss of each row.
        weights: (n_judging,), how often each row counts; None for once.
    """

    method: str
    probabilities: Array
    losses: Array
    weights: Array | None = None

    @property
    def log_loss(self) -> float:
        """The mean of the losses."""
        return mean(self.losses, self.weights)


def out_of_fold(
    method: str,
    scores: Array,
    y: Classes,
    folds: Folds,
    *,
    kind: ScoresKind,
    n_classes: int,
    weights: Array | None = None,
) -> OutOfFold:
    """Fit a calibrator on each fold, and predict the rows that judge.

    Raises:
        RowsError: if it cannot be fitted on some fold, for example without a class, or if it gives NaN.
    """
    probabilities = np.full((len(y), n_classes), np.nan)
    for number, (fitting, judging) in enumerate(folds.parts, 1):
        try:
            fitted = fit(
                method,
                scores[fitting],
                y[fitting],
                kind=kind,
                n_classes=n_classes,
                weights=None if weights is None else weights[fitting],
            )
        except (ExportError, np.linalg.LinAlgError) as error:
            raise RowsError(f"in fold {number}, {error}") from error
        probabilities[judging] = fitted.predict(scores[judging])
        if not np.isfinite(probabilities[judging]).all():
            raise RowsError(f"in fold {number}, it gives NaN or infinity instead of a probability")
    judging = folds.judging
    judged = probabilities[judging]
    return OutOfFold(
        method, judged, log_losses(judged, y[judging]), None if weights is None else weights[judging]
    )
