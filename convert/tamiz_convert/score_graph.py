"""The meeting point of estimators and calibrators: an ONNX graph that ends in raw scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import InputSpec

SCORES: Final = "scores"
"""The one output of a score graph: (n_rows, 1) for two classes, else (n_rows, n_classes), float64."""

ScoresKind = Literal["logits", "margins", "probabilities"]
"""What the scores are.

logits: softmax of them (two classes: the sigmoid) is the estimator's own probability.
margins: distances that carry no probability of their own, as of a support vector machine.
probabilities: the estimator's own; for two classes that of `classes[1]`.
"""

Labels = NDArray[np.int64] | NDArray[np.str_]


@dataclass(frozen=True)
class ScoreGraph:
    """A fitted estimator as a graph from features to scores, and the estimator itself as the reference.

    Attributes:
        model: the graph; its only output is `SCORES`.
        inputs: the graph's inputs, as the manifest will list them.
        classes: (n_classes,), int64 or str, in the order of the scores' columns.
        kind: what the scores are.
        estimator: the class of the estimator, for the manifest.
        reference: rows as the caller has them → the estimator's own scores, in the shape of `SCORES`.
        feed: rows as the caller has them → what onnxruntime reads, by input name.
    """

    model: onnx.ModelProto
    inputs: tuple[InputSpec, ...]
    classes: Labels
    kind: ScoresKind
    estimator: str
    reference: Callable[[Any], NDArray[np.float64]]
    feed: Callable[[Any], dict[str, NDArray[Any]]]
