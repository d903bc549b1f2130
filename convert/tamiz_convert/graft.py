"""Calibrators as ONNX nodes, in float64, behind the scores of a graph.

    features ─► … ─► scores ─► calibrator ─► probabilities

A row that the model could not score must not come out with a confidence: where a score is NaN or infinite, the
probabilities are NaN. For two classes Gemm and Softmax see to that by themselves; elsewhere stands a guard, because Clip
and trees turn NaN into a number, and Softmax a single −infinity into 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz.bundle_format import PROBABILITIES
from tamiz_convert.calibrators import (
    LOG_FLOOR,
    SATURATED,
    Calibrator,
    Identity,
    Isotonic,
    Sigmoid,
    Temperature,
)
from tamiz_convert.graph_builder import GraphBuilder
from tamiz_convert.score_graph import SCORES
from tamiz_convert.tree_graph import Tree, append_trees

Array = NDArray[np.float64]

_PREFIX: Final = "calibrator_"
_MAX_KNOTS_AT_ONCE: Final = 500
"""Up to so many knots, comparing with all of them is quicker than walking a tree."""


def graft(model: onnx.ModelProto, calibrator: Calibrator, *, n_classes: int) -> onnx.ModelProto:
    """Append a calibrator to a score graph.

    Args:
        model: a graph whose output is `SCORES`, float64, (n_rows, 1) for two classes, else (n_rows, n_classes).
        calibrator: a fitted calibrator of `calibrators.METHODS`.
        n_classes: how many classes there are.

    Returns:
        A graph with the output `probabilities`, (n_rows, n_classes), float64, and behind it those that the score graph has
        besides `SCORES`; `scores` remains in it by that name.
    """
    builder = GraphBuilder.extending(model, _PREFIX)
    n_scores = 1 if n_classes == 2 else n_classes  # noqa: PLR2004  the binary case has one score
    probabilities = _RECIPES[type(calibrator)](builder, calibrator, n_scores)
    grafted = builder.build(probabilities, PROBABILITIES, TensorProto.DOUBLE, n_classes)
    grafted.graph.output.extend(output for output in model.graph.output if output.name != SCORES)
    return grafted


def _guard(builder: GraphBuilder, probabilities: str) -> str:
    """Scores ─► Mul(0) ─► ReduceSum ─► Add(probabilities): NaN where a score is NaN or infinite, else 0."""
    zeros = builder.add("Mul", SCORES, builder.constant(0.0))
    defect = builder.add("ReduceSum", zeros, builder.constant([1], np.int64), keepdims=1)
    return builder.add("Add", probabilities, defect)


def _binary_sigmoid(builder: GraphBuilder, slope: float, intercept: float) -> str:
    """Scores [n, 1] ─► Gemm([0, slope], [0, intercept]) ─► Softmax: its second column is the sigmoid."""
    linear = builder.add("Gemm", SCORES, builder.constant([[0.0, slope]]), builder.constant([0.0, intercept]))
    return builder.add("Softmax", linear, axis=1)


def _identity(builder: GraphBuilder, calibrator: Identity, n_scores: int) -> str:
    """Scores ─► Clip | Softmax."""
    if calibrator.kind == "probabilities":
        return _guard(builder, _probabilities(builder, n_scores))
    if n_scores == 1:
        return _binary_sigmoid(builder, 1.0, 0.0)
    return _guard(builder, builder.add("Softmax", SCORES, axis=1))


def _sigmoid(builder: GraphBuilder, calibrator: Sigmoid, n_scores: int) -> str:
    """Scores ─► Mul(−a) ─► Sub(b) ─► Sigmoid ─► one-vs-rest; for two classes see `_binary_sigmoid`."""
    if n_scores == 1:
        return _binary_sigmoid(builder, -float(calibrator.a[0]), -float(calibrator.b[0]))
    scaled = builder.add("Mul", SCORES, builder.constant(-calibrator.a))
    linear = builder.add("Sub", scaled, builder.constant(calibrator.b))
    linear = builder.add("Clip", linear, builder.constant(-SATURATED), builder.constant(SATURATED))
    odds = builder.add("Exp", linear)
    columns = builder.add("Div", odds, builder.add("Add", odds, builder.constant(1.0)))
    return _guard(builder, _one_vs_rest(builder, columns, n_scores))


def _temperature(builder: GraphBuilder, calibrator: Temperature, n_scores: int) -> str:
    """Logits ─► Mul(beta) ─► Softmax; two scores are made of one by Mul([−beta, beta])."""
    if calibrator.kind == "probabilities":
        probabilities = _guard(builder, _probabilities(builder, n_scores))
        logits = builder.add("Log", builder.add("Add", probabilities, builder.constant(LOG_FLOOR)))
        return builder.add("Softmax", builder.add("Mul", logits, builder.constant(calibrator.beta)), axis=1)
    if n_scores == 1:  # both columns are infinite or NaN if the score is: no guard is needed
        beta = builder.constant([-calibrator.beta, calibrator.beta])
        return builder.add("Softmax", builder.add("Mul", SCORES, beta), axis=1)
    scaled = builder.add("Mul", SCORES, builder.constant(calibrator.beta))
    return _guard(builder, builder.add("Softmax", scaled, axis=1))


def _isotonic(builder: GraphBuilder, calibrator: Isotonic, n_scores: int) -> str:
    """Scores ─► per column: interpolation ─► Concat ─► one-vs-rest."""
    columns = []
    for k, (x, y) in enumerate(zip(calibrator.x, calibrator.y, strict=True)):
        score = SCORES
        if n_scores > 1:
            score = builder.add("Gather", SCORES, builder.constant([k], np.int64), axis=1)
        interpolate = _interpolate_at_once if len(x) <= _MAX_KNOTS_AT_ONCE else _interpolate_by_tree
        columns.append(interpolate(builder, score, x, y))
    joined = columns[0] if len(columns) == 1 else builder.add("Concat", *columns, axis=1)
    return _guard(builder, _one_vs_rest(builder, joined, n_scores))


def _interpolate_at_once(builder: GraphBuilder, score: str, x: Array, y: Array) -> str:
    """Score [n, 1] ─► Sub(x) ─► Div(widths) ─► Clip(0, 1) ─► MatMul(rises) ─► Add(y₀)."""
    if len(x) == 1:
        x, y = np.array([x[0], x[0] + 1.0]), np.repeat(y, 2)
    offset = builder.add("Sub", score, builder.constant(x[None, :-1]))
    share = builder.add("Div", offset, builder.constant(np.diff(x)[None, :]))
    clipped = builder.add("Clip", share, builder.constant(0.0), builder.constant(1.0))
    risen = builder.add("MatMul", clipped, builder.constant(np.diff(y)[:, None]))
    return builder.add("Add", risen, builder.constant(y[0]))


def _interpolate_by_tree(builder: GraphBuilder, score: str, x: Array, y: Array) -> str:
    """Score [n, 1] ─► tree: number of its segment ─► Gather(x), Gather(y), Gather(slope) ─► y + slope (clip(score) − x)."""
    found = append_trees(builder, [_search_tree(x[1:-1])], score, 1, rounds_to_float32=False)
    segment = builder.cast(found, TensorProto.INT64)
    start, value, slope = (
        builder.add("Gather", builder.constant(table), segment)
        for table in (x[:-1], y[:-1], np.diff(y) / np.diff(x))
    )
    clipped = builder.add("Clip", score, builder.constant(x[0]), builder.constant(x[-1]))
    return builder.add("Add", value, builder.add("Mul", slope, builder.add("Sub", clipped, start)))


def _search_tree(thresholds: Array) -> Tree:
    """Return a balanced tree that gives the number of thresholds below a value."""
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []
    value: list[list[float]] = []

    def grow(low: int, high: int) -> int:
        node = len(threshold)
        middle = (low + high) // 2
        is_leaf = low == high
        threshold.append(0.0 if is_leaf else float(thresholds[middle]))
        value.append([float(low)])
        left.append(-1)
        right.append(-1)
        if not is_leaf:
            left[node] = grow(low, middle)
            right[node] = grow(middle + 1, high)
        return node

    grow(0, len(thresholds))
    return Tree(
        feature=np.zeros(len(threshold), dtype=np.int64),
        threshold=np.array(threshold),
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        missing_left=np.zeros(len(threshold), dtype=bool),
        value=np.array(value),
    )


def _probabilities(builder: GraphBuilder, n_scores: int) -> str:
    """Scores ─► Clip(0, 1) [─► Concat(1 − p, p)]: onnxruntime's forests may give −1e-7."""
    clipped = builder.add("Clip", SCORES, builder.constant(0.0), builder.constant(1.0))
    return clipped if n_scores > 1 else _both(builder, clipped)


def _both(builder: GraphBuilder, positive: str) -> str:
    """P [n, 1] ─► Concat(1 − p, p)."""
    return builder.add("Concat", builder.add("Sub", builder.constant(1.0), positive), positive, axis=1)


def _one_vs_rest(builder: GraphBuilder, columns: str, n_scores: int) -> str:
    """Columns ─► Div(their sum); a row of zeros becomes uniform. One column: Concat(1 − p, p)."""
    if n_scores == 1:
        return _both(builder, columns)
    total = builder.add("ReduceSum", columns, builder.constant([1], np.int64), keepdims=1)
    is_zero = builder.add("Equal", total, builder.constant(0.0))
    uniform = builder.constant(1.0 / n_scores)
    return builder.add("Where", is_zero, uniform, builder.add("Div", columns, total))


_RECIPES: Final[dict[type, Callable[[GraphBuilder, Any, int], str]]] = {
    Identity: _identity,
    Sigmoid: _sigmoid,
    Isotonic: _isotonic,
    Temperature: _temperature,
}
