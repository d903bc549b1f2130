"""Calibrators as ONNX nodes, in float64, behind the scores of a graph.

    features ─► … ─► scores ─► calibrator ─► probabilities

A row that the model could not score must not come out with a confidence: where a score is NaN or infinite, the
probabilities are NaN. For two classes Gemm and Softmax see to that by themselves; elsewhere stands a guard, because Clip
and trees turn NaN into a number, and Softmax a single −infinity into 0. Each calibrator's nodes are in its own file.
"""

from __future__ import annotations

from typing import Final

import onnx
from onnx import TensorProto

from tamiz.bundle_format import PROBABILITIES
from tamiz_convert.calibrators import Calibrator
from tamiz_convert.graph_builder import GraphBuilder

_PREFIX: Final = "calibrator_"


def graft(model: onnx.ModelProto, calibrator: Calibrator, *, n_classes: int) -> onnx.ModelProto:
    """Append a calibrator to a score graph.

    Args:
        model: a graph whose output is `SCORES`, float64, (n_rows, 1) for two classes, else (n_rows, n_classes).
        calibrator: a fitted calibrator of `calibrators.METHODS`.
        n_classes: how many classes there are.

    Returns:
        A graph with the one output `probabilities`, (n_rows, n_classes), float64; `scores` remains in it by that name.
    """
    builder = GraphBuilder.extending(model, _PREFIX)
    probabilities = calibrator.append(builder, 1 if n_classes == 2 else n_classes)  # noqa: PLR2004  one score for two
    return builder.build(probabilities, PROBABILITIES, TensorProto.DOUBLE, n_classes)
