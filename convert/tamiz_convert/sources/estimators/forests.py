"""Decision trees and forests of them: nodes of our own, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.trees import append_overflow, append_trees, from_tree_
from tamiz_convert.sources.estimators.scores import BINARY, Append, Scores, tree_splits


def _forest(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► trees ─► Div(number of trees) ─► probabilities. For two classes, only the second one's."""
    members = [estimator] if isinstance(estimator, DecisionTreeClassifier) else estimator.estimators_
    trees = []
    for member in members:
        value = member.tree_.value[:, 0, :]
        value = value / value.sum(axis=1, keepdims=True)
        trees.append(from_tree_(member.tree_, value[:, 1:] if value.shape[1] == BINARY else value))
    sums = append_trees(builder, trees, features, trees[0].value.shape[1], rounds_to_float32=True)
    mean = builder.add("Div", sums, builder.constant(float(len(trees))))
    return Scores(
        mean,
        "probabilities",
        (append_overflow(builder, features),),
        tree_splits(trees),
        is_single_precision=trees[0].value.shape[1] > 1,
    )


APPENDERS: Final[Mapping[type, Append]] = {
    DecisionTreeClassifier: _forest,
    RandomForestClassifier: _forest,
    ExtraTreesClassifier: _forest,
}
