"""The gate: which rows are answered. Pure arithmetic on one batch.

confidence is the calibrated probability of the predicted class; the label is the argmax over the probabilities, the
first of equals. A row is accepted only if its confidence reaches its threshold, its probabilities are probabilities,
and its inputs are values that the model can handle. In doubt it abstains.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.bundle_format import NO_CLASS
from tamiz.v1.prediction_pb2 import Reason

# Probabilities come out of sums of rounded numbers; one beyond this is not a probability any more.
_TOLERANCE: Final = 1e-6


class Decisions(NamedTuple):
    """What was decided, one entry per row.

    Attributes:
        class_index: (n_rows,), uint32: the predicted class; `NO_CLASS` where the model gave no probabilities.
        confidence: (n_rows,), float64, 0 to 1; 0 where the model gave no probabilities.
        accepted: (n_rows,), bool.
        reasons: (n_rows,), uint8: values of the contract's `Reason`.
    """

    class_index: NDArray[np.uint32]
    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reasons: NDArray[np.uint8]


def decide(
    probabilities: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    valid_input: NDArray[np.bool_] | None = None,
) -> Decisions:
    """Decide for each row whether it is answered.

    Args:
        probabilities: (n_rows, n_classes), float64.
        thresholds: (n_rows,), float64: the confidence that each row has to reach.
        valid_input: (n_rows,), bool: which rows hold only values that the model can handle; None means all.

    Returns:
        One decision per row; each depends on that row alone.
    """
    class_index = probabilities.argmax(axis=1)
    confidence = np.take_along_axis(probabilities, class_index[:, None], axis=1)[:, 0]
    # Written so that a NaN anywhere fails: every comparison with NaN is false.
    accepted = confidence >= thresholds
    reasons = np.where(accepted, Reason.REASON_NONE, Reason.REASON_LOW_CONFIDENCE).astype(np.uint8)
    decisions = Decisions(class_index.astype(np.uint32), confidence, accepted, reasons)
    if valid_input is not None:
        _abstain(decisions, ~valid_input, Reason.REASON_INVALID_INPUT)
    improper = _improper(probabilities)
    if improper is not None:
        _withhold(decisions, improper, valid_input)
    return decisions


def _improper(probabilities: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Return which rows are no probability distributions; None when all are."""
    deviation = np.abs(probabilities.sum(axis=1) - 1.0)
    if probabilities.min() >= -_TOLERANCE and deviation.max() <= _TOLERANCE:  # false if there is any NaN
        return None
    proper: NDArray[np.bool_] = (probabilities >= -_TOLERANCE).all(axis=1) & (deviation <= _TOLERANCE)
    return ~proper


def _withhold(
    decisions: Decisions, improper: NDArray[np.bool_], valid_input: NDArray[np.bool_] | None
) -> None:
    """Abstain on rows without proper probabilities: not even a confidence can be told."""
    decisions.class_index[improper] = NO_CLASS
    decisions.confidence[improper] = 0.0
    blamed = (
        improper if valid_input is None else improper & valid_input
    )  # an invalid input is the cause, not the model
    _abstain(decisions, blamed, Reason.REASON_INVALID_OUTPUT)


def _abstain(decisions: Decisions, rows: NDArray[np.bool_], reason: Reason) -> None:
    decisions.accepted[rows] = False
    decisions.reasons[rows] = reason
