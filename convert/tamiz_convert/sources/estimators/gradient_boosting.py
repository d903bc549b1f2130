"""scikit-learn's gradient boosting: nodes of our own, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.trees import append_overflow, append_trees, from_predictor, from_tree_
from tamiz_convert.sources.estimators.scores import Append, Scores, tree_splits


def _gradient_boosting(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► trees · learning rate ─► Add(prior) ─► logits."""
    if estimator.init_ != "zero" and type(estimator.init_).__name__ != "DummyClassifier":
        raise EstimatorError(
            f"GradientBoostingClassifier(init={type(estimator.init_).__name__}) is not supported; train it"
            " with init=None or init='zero'"
        )
    prior = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))  # noqa: SLF001  no public way
    trees = [
        from_tree_(member.tree_, estimator.learning_rate * member.tree_.value[:, 0, :], target)
        for stage in estimator.estimators_
        for target, member in enumerate(stage)
    ]
    sums = append_trees(builder, trees, features, prior.shape[1], rounds_to_float32=True)
    logits = builder.add("Add", sums, builder.constant(np.asarray(prior, dtype=np.float64)))
    factor = 1.0
    if estimator.loss == "exponential":  # its probability is the sigmoid of twice the score
        factor = 2.0
        logits = builder.add("Mul", logits, builder.constant(factor))
    return Scores(logits, "logits", (append_overflow(builder, features),), tree_splits(trees), factor=factor)


def refuse_categories(estimator: Any) -> None:
    """Refuse an estimator that encodes categories by itself, or has such members.

    Raises:
        EstimatorError: if it does.
    """
    members = np.ravel(getattr(estimator, "estimators_", ()))
    if any(np.any(getattr(each, "is_categorical_", None)) for each in (estimator, *members)):
        raise EstimatorError(
            "HistGradientBoostingClassifier with categorical_features is not supported; encode those columns"
            " in a Pipeline, with OneHotEncoder, and train it with categorical_features=None"
        )


def _hist_gradient_boosting(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► trees ─► Add(prior) ─► logits."""
    refuse_categories(estimator)
    prior = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(1, -1)  # noqa: SLF001  no public way
    trees = [
        from_predictor(predictor, target)
        for stage in estimator._predictors  # noqa: SLF001  no public way
        for target, predictor in enumerate(stage)
    ]
    sums = append_trees(builder, trees, features, prior.shape[1], rounds_to_float32=False)
    return Scores(builder.add("Add", sums, builder.constant(prior)), "logits", splits=tree_splits(trees))


APPENDERS: Final[Mapping[type, Append]] = {
    GradientBoostingClassifier: _gradient_boosting,
    HistGradientBoostingClassifier: _hist_gradient_boosting,
}
