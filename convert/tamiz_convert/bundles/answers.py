"""What a bundle answers, given what its graph computed: the server's own gate, offline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import decide, valid_rows
from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert.graphs.runner import Feed


@dataclass(frozen=True)
class Answers:
    """One entry per row.

    Attributes:
        probabilities: (n_rows, n_classes), float64, as the graph gives them.
        predicted: (n_rows,), int64, the index of the most probable class; `NO_CLASS` where the gate lets none
            through.
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
    """Return a bundle's answers for the outputs of its graph.

    Args:
        manifest: the bundle's manifest, with the thresholds to apply.
        feed: input name → (n_rows, …), the inputs of the graph.
        probabilities: (n_rows, n_classes), float64.
        subset: (n_rows,), the graph's output of that name, if thresholds differ by slice.
    """
    thresholds = Thresholds(manifest.threshold).of_rows(probabilities, subset)
    decided = decide(probabilities, thresholds, valid_rows(feed, manifest.inputs))
    return Answers(probabilities, decided.class_index, decided.confidence, decided.accepted)
