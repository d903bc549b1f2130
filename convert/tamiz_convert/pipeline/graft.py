"""Append a calibrator's ONNX nodes, in float64, to the scores of a graph.

    features ─► … ─► scores ─► calibrator ─► probabilities

A row that the model could not score must not get a confidence: if a score is NaN or infinite, the
probabilities must be NaN. For two classes, Gemm and Softmax do that by themselves. Elsewhere there is a
guard, because Clip and trees turn NaN into a number, and Softmax turns a single −infinity into 0. Each
calibrator's nodes are in its own file.
"""

from __future__ import annotations

from typing import Final

import onnx
from onnx import TensorProto

from tamiz.bundle_format import PROBABILITIES
from tamiz_convert.calibrators.calibrator import Calibrator
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES

_PREFIX: Final = "calibrator_"


def graft(model: onnx.ModelProto, calibrator: Calibrator, *, n_classes: int) -> onnx.ModelProto:
    """Append a calibrator to a score graph.

    Args:
        model: a graph whose output is `SCORES`, float64, (n_rows, 1) for two classes, else (n_rows,
            n_classes).
        calibrator: a fitted calibrator of `calibrators.METHODS`.
        n_classes: how many classes there are.

    Returns:
        A graph with the output `probabilities`, (n_rows, n_classes), float64, followed by the score graph's
        outputs other than `SCORES`. The value `scores` keeps its name in it.
    """
    builder = GraphBuilder.extending(model, _PREFIX)
    probabilities = calibrator.append(builder, 1 if n_classes == 2 else n_classes)  # noqa: PLR2004  one score for two
    grafted = builder.build(probabilities, PROBABILITIES, TensorProto.DOUBLE, n_classes)
    grafted.graph.output.extend(output for output in model.graph.output if output.name != SCORES)
    return grafted
