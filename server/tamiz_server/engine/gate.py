"""The gate: which rows are answered. Pure arithmetic on one batch.

confidence is the calibrated probability of the predicted class; the label is the argmax over the probabilities, the
first of equals. A row is accepted only if its confidence reaches its threshold, its probabilities are probabilities,
and its inputs are values that the model can handle. In doubt it abstains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.bundle_format import NO_CLASS
from tamiz.gate_rules import TOLERANCE, proper_rows
from tamiz.v1.prediction_pb2 import Reason

# As numbers, because looking one up by its name in an enum of protobuf takes a microsecond.
_ACCEPTED: Final = Reason.Value("REASON_NONE")
_LOW_CONFIDENCE: Final = Reason.Value("REASON_LOW_CONFIDENCE")
_INVALID_INPUT: Final = Reason.Value("REASON_INVALID_INPUT")
_INVALID_OUTPUT: Final = Reason.Value("REASON_INVALID_OUTPUT")

# Up to so many probabilities Python's own arithmetic is quicker: a numpy call costs a microsecond or more before it
# begins, and several in a process that has just woken up.
_FEW: Final = 100


class Decisions(NamedTuple):
    """What was decided, one entry per row.

    Attributes:
        class_index: the predicted class; `NO_CLASS` where the input was invalid or the model gave no probabilities.
        confidence: 0 to 1; 0 where there is no predicted class.
        accepted: whether the row is answered.
        reasons: values of the contract's `Reason`.
    """

    class_index: list[int]
    confidence: list[float]
    accepted: list[bool]
    reasons: list[int]


def decide(
    probabilities: NDArray[np.float64],
    thresholds: Sequence[float],
    valid_input: NDArray[np.bool_] | None = None,
) -> Decisions:
    """Decide for each row whether it is answered.

    Args:
        probabilities: (n_rows, n_classes), float64.
        thresholds: the confidence that each row has to reach.
        valid_input: (n_rows,), bool: which rows hold only values that the model can handle; None means all.

    Returns:
        One decision per row; each depends on that row alone.
    """
    decide_rows = _decide_few if probabilities.size <= _FEW else _decide_many
    decisions = decide_rows(probabilities, thresholds)
    if valid_input is not None:
        # The input is blamed rather than the output that came of it, and what came of it is no prediction.
        for row in np.flatnonzero(~valid_input).tolist():
            decisions.class_index[row] = NO_CLASS
            decisions.confidence[row] = 0.0
            decisions.accepted[row] = False
            decisions.reasons[row] = _INVALID_INPUT
    return decisions


def _decide_few(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> Decisions:
    decisions = Decisions([], [], [], [])
    for row, threshold in zip(probabilities.tolist(), thresholds, strict=True):
        # `proper_rows` of one row.
        if abs(sum(row) - 1.0) <= TOLERANCE and min(row) >= -TOLERANCE:
            confidence = max(row)
            accepted = confidence >= threshold
            decisions.class_index.append(row.index(confidence))
            decisions.confidence.append(confidence)
            decisions.accepted.append(accepted)
            decisions.reasons.append(_ACCEPTED if accepted else _LOW_CONFIDENCE)
        else:
            decisions.class_index.append(NO_CLASS)
            decisions.confidence.append(0.0)
            decisions.accepted.append(False)
            decisions.reasons.append(_INVALID_OUTPUT)
    return decisions


def _decide_many(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> Decisions:
    # The same as `_decide_few`, in columns.
    proper = proper_rows(probabilities)
    confidence = np.where(proper, probabilities.max(axis=1), 0.0)
    accepted = proper & (confidence >= np.asarray(thresholds))
    reasons = np.where(accepted, _ACCEPTED, _LOW_CONFIDENCE)
    return Decisions(
        np.where(proper, probabilities.argmax(axis=1), NO_CLASS).tolist(),
        confidence.tolist(),
        accepted.tolist(),
        np.where(proper, reasons, _INVALID_OUTPUT).tolist(),
    )
