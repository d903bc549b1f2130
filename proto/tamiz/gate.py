"""The gate: which rows are answered. Server, certificate, report, comparison and checks all ask here.

The label is the class with the largest probability, the first of equals; that probability is the confidence.
A row is accepted only if its confidence reaches its threshold, its probabilities are probabilities, and its
inputs are values that the model can handle. In doubt it abstains.

    inputs ──► valid_rows ──┐
    probabilities ──────────┴──► decide ──► class_index, confidence, accepted, reasons
    thresholds (`Thresholds`) ──────┘
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tamiz.v1.prediction_pb2 import Reason

TOLERANCE: Final = 1e-4
"""How far the probabilities of a row may miss a sum of 1, and how far below 0 one of them may lie.

It leaves room for float32, and for nothing worse. A forest that adds up its trees' votes in float32, as ONNX
says, misses 1 by up to 1.3e-5 with 1,000 trees and 7e-5 with 5,000; a softmax over 30,000 classes misses it
by 5e-5. Scores that are not probabilities (logits, unscaled votes, a sigmoid per class) miss it by far more.
The exporter refuses scores by the same number.
"""

NO_CLASS: Final = 0xFFFF_FFFF
"""The `class_index` of a row that has no label: it is not an index into any array."""

# As numbers, because looking one up by its name in an enum of protobuf takes a microsecond.
_ACCEPTED: Final = int(Reason.REASON_NONE)
_LOW_CONFIDENCE: Final = int(Reason.REASON_LOW_CONFIDENCE)
_INVALID_INPUT: Final = int(Reason.REASON_INVALID_INPUT)
_INVALID_OUTPUT: Final = int(Reason.REASON_INVALID_OUTPUT)

# Up to this many probabilities Python's own arithmetic is quicker: a numpy call costs a microsecond or more
# before it begins, and several in a process that has just woken up.
_FEW: Final = 100

# Python and numpy add up in different orders, so their sums differ in the last digits. Within this distance
# of the tolerance numpy has the word, for few rows as for many.
_ROUNDING: Final = 1e-9
_SURELY_PROPER: Final = TOLERANCE - _ROUNDING
_SURELY_IMPROPER: Final = TOLERANCE + _ROUNDING


_TEXT: Final = "OTU"
"""The kinds of numpy's types that hold text: objects, StringDType and fixed width."""


class Input(Protocol):
    """What the gate has to know of an input of the model; the manifest's `InputSpec` says it."""

    @property
    def name(self) -> str:
        """The graph's name for it."""
        ...

    @property
    def missing_values_allowed(self) -> bool:
        """Whether the model handles missing values in it: NaN, or the empty text."""
        ...


class Decisions(NamedTuple):
    """What the gate decided, in columns of n_rows.

    Attributes:
        class_index: int64, the predicted class. `NO_CLASS` where the input is invalid or the model gave no
            probabilities.
        confidence: float64, the probability of the predicted class; 0 where there is none.
        accepted: bool, whether the row is answered.
        reasons: int64, values of the contract's `Reason`.
    """

    class_index: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reasons: NDArray[np.int64]

    @property
    def has_class(self) -> NDArray[np.bool_]:
        """(n_rows,), whether the row has a predicted class: whether some threshold would accept it."""
        return np.asarray(self.class_index != NO_CLASS)


class DecisionLists(NamedTuple):
    """The same as `Decisions`, in Python's own lists and numbers, which protobuf reads fastest."""

    class_index: list[int]
    confidence: list[float]
    accepted: list[bool]
    reasons: list[int]


def decide(
    probabilities: NDArray[np.float64],
    thresholds: ArrayLike,
    valid_input: NDArray[np.bool_] | None = None,
) -> Decisions:
    """Decide for each row whether it is answered.

    Args:
        probabilities: (n_rows, n_classes), float64, as the graph gives them.
        thresholds: (n_rows,), the confidence that each row has to reach, or one number for all rows.
        valid_input: (n_rows,), bool, as `valid_rows` gives it: which rows hold only values that the model can
            handle. None means all.

    Returns:
        One decision per row. Each depends on that row alone.
    """
    proper = proper_rows(probabilities)
    # If an input is invalid, the reason names the input, not the output, and the output is not a prediction.
    has_class = proper if valid_input is None else proper & valid_input
    confidence = np.where(has_class, probabilities.max(axis=1), 0.0)
    accepted = has_class & (confidence >= np.asarray(thresholds))
    reasons = np.where(accepted, _ACCEPTED, np.where(proper, _LOW_CONFIDENCE, _INVALID_OUTPUT))
    if valid_input is not None:
        reasons[~valid_input] = _INVALID_INPUT
    return Decisions(
        np.where(has_class, probabilities.argmax(axis=1), NO_CLASS), confidence, accepted, reasons
    )


def decide_batch(
    probabilities: NDArray[np.float64],
    thresholds: Sequence[float],
    valid_input: NDArray[np.bool_] | None = None,
) -> DecisionLists:
    """Decide as `decide` does, as fast as can be for a batch of any size.

    Args:
        probabilities: (n_rows, n_classes), float64.
        thresholds: the confidence that each row has to reach.
        valid_input: (n_rows,), bool; None means all.
    """
    if probabilities.size > _FEW:
        return DecisionLists(*(column.tolist() for column in decide(probabilities, thresholds, valid_input)))
    decisions = _decide_few(probabilities, thresholds)
    if valid_input is not None:
        for row in np.flatnonzero(~valid_input).tolist():
            decisions.class_index[row] = NO_CLASS
            decisions.confidence[row] = 0.0
            decisions.accepted[row] = False
            decisions.reasons[row] = _INVALID_INPUT
    return decisions


def _decide_few(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> DecisionLists:
    """Decide as `decide` does, row by row."""
    decisions = DecisionLists([], [], [], [])
    for row, threshold in zip(probabilities.tolist(), thresholds, strict=True):
        miss = abs(sum(row) - 1.0)
        # `proper_rows` of one row; false for NaN.
        if (miss <= _SURELY_PROPER or (miss <= _SURELY_IMPROPER and _sums_to_one(row))) and min(
            row
        ) >= -TOLERANCE:
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


def proper_rows(probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows of (n_rows, n_classes) are probabilities: not negative, not NaN, with a sum of 1."""
    # Written so that a NaN anywhere fails: it survives the sum, and every comparison with it is false.
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(_sums_to_one(probabilities) & (probabilities.min(axis=1) >= -TOLERANCE))


def valid_rows(inputs: Mapping[str, NDArray[Any]], specs: Iterable[Input]) -> NDArray[np.bool_] | None:
    """Return which rows hold only values that the model can handle; None when all do.

    A row is invalid when it holds an infinity, or a missing value in an input that does not allow it. NaN is
    missing among floats, and the empty text among texts.

    Args:
        inputs: name → (n_rows, …), of any dtype.
        specs: what the model reads.

    Returns:
        (n_rows,), bool, or None.
    """
    invalid: NDArray[np.bool_] | None = None
    for spec in specs:
        array = inputs[spec.name]
        if array.dtype.kind == "f":
            if _all_finite(array):
                continue
            bad = np.isinf(array) if spec.missing_values_allowed else ~np.isfinite(array)
        elif array.dtype.kind in _TEXT and not spec.missing_values_allowed:
            bad = array == ""
        else:
            continue
        bad_rows: NDArray[np.bool_] = np.any(bad.reshape(len(array), -1), axis=1)
        invalid = bad_rows if invalid is None else invalid | bad_rows
    return None if invalid is None or not invalid.any() else ~invalid


def _sums_to_one(probabilities: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows of (n_rows, n_classes) sum to 1, or whether one row of (n_classes,) does."""
    # Numpy adds up a row in another order if the row does not lie in one piece.
    total = np.sum(np.ascontiguousarray(probabilities), axis=-1)
    return np.asarray(np.abs(total - 1.0) <= TOLERANCE)


def _all_finite(array: NDArray[Any]) -> bool:
    """Return whether there is neither NaN nor infinity."""
    # Both survive a sum of squares, which is one quick call.
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
