"""What a bundle answers, given what its graph computed: the gate's rules, offline, as the server applies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tamiz.gate_rules import proper_rows, valid_rows
from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert.graphs.runner import Feed

NO_CLASS: Final = -1
"""The prediction for a row that has none."""


@dataclass(frozen=True)
class Answers:
    """One entry per row.

    Attributes:
        probabilities: (n_rows, n_classes), float64, as the graph gives them.
        predicted: (n_rows,), int64, the index of the most probable class; `NO_CLASS` where the row has none, because its
            inputs or its probabilities are no values that the gate lets through.
        confidence: (n_rows,), float64; 0 where the row has none.
        accepted: (n_rows,), bool, whether the row is answered.
    """

    probabilities: NDArray[np.float64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]


def judged(
    manifest: Manifest,
    feed: Feed,
    probabilities: NDArray[np.float64],
    subset: NDArray[np.int64] | None = None,
) -> Answers:
    """Return what a bundle answers, given what its graph computed.

    Args:
        manifest: what the bundle says of itself; its thresholds are applied.
        feed: input name → (n_rows, …), what the graph computed from.
        probabilities: (n_rows, n_classes), float64.
        subset: (n_rows,), the graph's output of that name, where the thresholds differ by slice.
    """
    proper, valid = proper_rows(probabilities), valid_rows(feed, manifest.inputs)
    scored = proper if valid is None else proper & valid
    predicted = np.where(scored, probabilities.argmax(axis=1), NO_CLASS)
    confidence = np.where(scored, probabilities.max(axis=1), 0.0)
    thresholds = Thresholds(manifest.threshold).of_rows(probabilities, subset)
    return Answers(probabilities, predicted, confidence, scored & (confidence >= thresholds))
