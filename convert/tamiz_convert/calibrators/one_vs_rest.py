"""More classes with a calibrator for two: calibrate each class against the rest, then divide by the sum."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import expit

from tamiz_convert.calibrators.calibrator import Array, ClassIndices
from tamiz_convert.calibrators.score_nodes import append_both, append_row_sum
from tamiz_convert.calibrators.scores import both
from tamiz_convert.graphs.builder import GraphBuilder

SATURATED: Final = 500.0
"""The sigmoid's argument is cut off here. So no column is 0, and columns can be divided by their sum."""


def targets(scores: Array, y: ClassIndices) -> list[Array]:
    """Return one 0/1 target per score, (n_rows,). A single score has the target of class 1."""
    positive = [1] if scores.shape[1] == 1 else range(scores.shape[1])
    return [(y == k).astype(np.float64) for k in positive]


def sigmoids(linear: Array) -> Array:
    """Return the sigmoid of each column, above 0."""
    return np.asarray(expit(np.clip(linear, -SATURATED, SATURATED)))


def one_vs_rest(columns: Array) -> Array:
    """Return probabilities that sum to 1, (n_rows, n_classes).

    Args:
        columns: (n_rows, n_scores), float64, each above 0; one score means two classes.
    """
    return both(columns) if columns.shape[1] == 1 else columns / columns.sum(axis=1, keepdims=True)


def append_sigmoids(builder: GraphBuilder, linear: str) -> str:
    """Linear ─► Clip ─► Exp ─► Div(1 + itself). Not Sigmoid: onnxruntime's gives 0 instead of 1e-200."""
    cut = builder.add("Clip", linear, builder.constant(-SATURATED), builder.constant(SATURATED))
    odds = builder.add("Exp", cut)
    return builder.add("Div", odds, builder.add("Add", odds, builder.constant(1.0)))


def append_one_vs_rest(builder: GraphBuilder, columns: str, n_scores: int) -> str:
    """Columns ─► Div(their sum). One column: Concat(1 − p, p)."""
    if n_scores == 1:
        return append_both(builder, columns)
    return builder.add("Div", columns, append_row_sum(builder, columns))
