"""`scores` as ONNX nodes, and the guard that turns a row with a score that is not finite into NaN."""

from __future__ import annotations

import numpy as np

from tamiz_convert.calibrators.calibrator import Array
from tamiz_convert.calibrators.scores import HALF, LOG_FLOOR
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES, ScoresKind


def append_guard(builder: GraphBuilder, probabilities: str) -> str:
    """Scores ─► Mul(0) ─► ReduceSum ─► Add(probabilities): adds NaN if a score is NaN or infinite, else 0."""
    zeros = builder.add("Mul", SCORES, builder.constant(0.0))
    return builder.add("Add", probabilities, append_row_sum(builder, zeros))


def append_row_sum(builder: GraphBuilder, columns: str) -> str:
    """Columns [n, k] ─► ReduceSum [n, 1]."""
    return builder.add("ReduceSum", columns, builder.constant([1], np.int64), keepdims=1)


def append_binary(builder: GraphBuilder, features: str, weights: Array, intercept: float) -> str:
    """Features [n, f] ─► Gemm([0 | weights], [0, intercept]) ─► Softmax: its second column is the sigmoid."""
    matrix = np.column_stack([np.zeros_like(weights), weights])
    linear = builder.add("Gemm", features, builder.constant(matrix), builder.constant([0.0, intercept]))
    return builder.add("Softmax", linear, axis=1)


def append_probabilities(builder: GraphBuilder, kind: ScoresKind, n_scores: int) -> str:
    """Scores ─► Softmax | Clip(0, 1) [─► Concat(1 − p, p)]. Clip, as onnxruntime's forests may give −1e-7."""
    if kind == "probabilities":
        clipped = builder.add("Clip", SCORES, builder.constant(0.0), builder.constant(1.0))
        return clipped if n_scores > 1 else append_both(builder, clipped)
    if n_scores == 1:
        return append_binary(builder, SCORES, np.ones(1), 0.0)
    return builder.add("Softmax", SCORES, axis=1)


def append_log(builder: GraphBuilder, probabilities: str) -> str:
    """P ─► Add(floor) ─► Log."""
    return builder.add("Log", builder.add("Add", probabilities, builder.constant(LOG_FLOOR)))


def append_log_complements(builder: GraphBuilder, probabilities: str) -> str:
    """P ─► Where(p > ½, sum of the p up to ½, 1 − p) ─► Log. See `scores.log_complements`."""
    is_large = builder.add("Greater", probabilities, builder.constant(HALF))
    small = builder.add("Where", is_large, builder.constant(0.0), probabilities)
    others = append_row_sum(builder, small)
    rest = builder.add("Sub", builder.constant(1.0), probabilities)
    return append_log(builder, builder.add("Where", is_large, others, rest))


def append_logits(builder: GraphBuilder, kind: ScoresKind, n_scores: int) -> str:
    """Scores ─► Log | Mul([−1, 1]) | as they are."""
    if kind == "probabilities":
        return append_log(builder, append_probabilities(builder, kind, n_scores))
    return SCORES if n_scores > 1 else builder.add("Mul", SCORES, builder.constant([-1.0, 1.0]))


def append_both(builder: GraphBuilder, positive: str) -> str:
    """P [n, 1] ─► Concat(1 − p, p)."""
    return builder.add("Concat", builder.add("Sub", builder.constant(1.0), positive), positive, axis=1)
