"""Find the interval that a score lies in, for all scores at once: one search tree per score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from tamiz_convert.calibrators.calibrator import Array
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import SCORES
from tamiz_convert.graphs.trees import Tree, append_trees


def append_search(builder: GraphBuilder, thresholds: Sequence[Array]) -> str:
    """Scores [n, k] ─► one tree per score ─► Cast: an index that grows with the thresholds below the score.

    The index points into one table of all scores, one after the other: score k has `len(thresholds[k]) + 1`
    entries.

    Args:
        builder: a graph that holds `SCORES`.
        thresholds: per score, ascending.

    Returns:
        The name of the indices, (n_rows, n_scores), int64.
    """
    first = np.cumsum([0] + [len(each) + 1 for each in thresholds[:-1]])
    trees = [_search_tree(each, k, int(first[k])) for k, each in enumerate(thresholds)]
    found = append_trees(builder, trees, SCORES, len(thresholds), rounds_to_float32=False)
    return builder.cast(found, TensorProto.INT64)


def append_look_up(builder: GraphBuilder, tables: Sequence[Array], numbers: str) -> str:
    """Numbers ─► Gather(tables, one after the other)."""
    return builder.add("Gather", builder.constant(np.concatenate(tables)), numbers)


def _search_tree(thresholds: Array, feature: int, first: int) -> Tree:
    """Return a balanced tree that gives `first` plus the number of thresholds below a value."""
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []
    value: list[list[float]] = []

    def grow(low: int, high: int) -> int:
        node = len(threshold)
        middle = (low + high) // 2
        is_leaf = low == high
        threshold.append(0.0 if is_leaf else float(thresholds[middle]))
        value.append([float(first + low)])
        left.append(-1)
        right.append(-1)
        if not is_leaf:
            left[node] = grow(low, middle)
            right[node] = grow(middle + 1, high)
        return node

    grow(0, len(thresholds))
    return Tree(
        feature=np.full(len(threshold), feature, dtype=np.int64),
        threshold=np.array(threshold),
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        missing_left=np.zeros(len(threshold), dtype=bool),
        value=np.array(value),
        target=feature,
    )
