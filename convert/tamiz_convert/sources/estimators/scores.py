"""The scores of an estimator in a graph, and the type of the functions that append them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.graphs.trees import Tree
from tamiz_convert.sources.booster import Booster

BINARY: Final = 2


class Scores(NamedTuple):
    """The scores of an estimator in a graph.

    Attributes:
        name: of the scores, (n_rows, 1 or n_classes), float64.
        kind: what they are.
        refused: names of (n_rows, 1) bool: rows that the estimator would have refused.
        splits: (feature, threshold) of the inner nodes of trees.
        is_single_precision: whether the graph or the estimator computes them in float32.
        booster: the trees, if the estimator comes from a booster library; then they give the reference.
        own: the features of the final estimator → its own scores, (n_rows, n_scores), float64; None if they
            are its probabilities or its decision function.
        check: looks at the features of the held-out rows, and raises EstimatorError if the graph could not
            follow the estimator there.
        factor: the scores are the estimator's own decision function times this.
    """

    name: str
    kind: ScoresKind
    refused: tuple[str, ...] = ()
    splits: Sequence[tuple[int, float]] = ()
    is_single_precision: bool = False
    booster: Booster | None = None
    own: Callable[[Any], NDArray[np.float64]] | None = None
    check: Callable[[Any], None] | None = None
    factor: float = 1.0


Append = Callable[[GraphBuilder, Any, str], Scores]
"""Appends the nodes of a fitted estimator to its features, (n_rows, n_features), float64."""


def tree_splits(trees: Sequence[Tree]) -> list[tuple[int, float]]:
    """Return (feature, threshold) of the inner nodes of all trees."""
    return [split for tree in trees for split in tree.splits()]


def last_of_two(builder: GraphBuilder, scores: str, n_classes: int) -> str:
    """Scores [n, 2] ─► Gather(1); the scores of more classes as they are."""
    if n_classes > BINARY:
        return scores
    return builder.add("Gather", scores, builder.constant([1], np.int64), axis=1)
