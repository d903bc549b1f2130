"""Final estimators as ONNX nodes: features (n_rows, n_features), float64 → scores.

One line per estimator in `_APPENDERS`, and `boosters` for those of other libraries. Linear models and trees are nodes of our
own, in float64; the others come from skl2onnx, asked for float64 as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from onnx import TensorProto
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import ML_OPSET, OPSET, GraphBuilder
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.graphs.trees import Tree, append_overflow, append_trees, from_predictor, from_tree_
from tamiz_convert.sources.booster import Booster, append_booster
from tamiz_convert.sources.boosters import SUPPORTED, is_booster, read_booster

_BINARY: Final = 2


class Scores(NamedTuple):
    """The scores of an estimator in a graph.

    Attributes:
        name: of the scores, (n_rows, 1 or n_classes), float64.
        kind: what they are.
        refused: names of (n_rows, 1) bool: rows that the estimator would have refused.
        splits: (feature, threshold) of the inner nodes of trees.
        is_single_precision: whether the graph or the estimator computes them in float32.
        booster: where the estimator is of a booster library, which then gives the reference.
    """

    name: str
    kind: ScoresKind
    refused: tuple[str, ...] = ()
    splits: Sequence[tuple[int, float]] = ()
    is_single_precision: bool = False
    booster: Booster | None = None


def append_scores(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Append an estimator's nodes.

    Args:
        builder: where the nodes go.
        estimator: a fitted classifier, no pipeline.
        features: the name of the features, (n_rows, n_features), float64.

    Raises:
        EstimatorError: for an estimator that is not supported; the message names those that are.
    """
    for type_, append in _APPENDERS.items():
        if type(estimator) is type_:
            return append(builder, estimator, features)
    if is_booster(estimator):
        booster = read_booster(estimator)
        scores = append_booster(builder, booster, features)
        return Scores(
            scores,
            booster.kind,
            splits=booster.splits(),
            is_single_precision=booster.is_single_precision,
            booster=booster,
        )
    raise EstimatorError(
        f"{type(estimator).__name__} is not supported; supported are {', '.join(supported())}, alone or as the last step"
        " of a Pipeline"
    )


def supported() -> list[str]:
    """Return the names of the supported estimators."""
    return sorted([*(type_.__name__ for type_ in _APPENDERS), *SUPPORTED])


def _linear(builder: GraphBuilder, estimator: Any, features: str) -> str:
    """Features ─► Gemm(coefᵀ, intercept) ─► scores."""
    weights = builder.constant(np.asarray(estimator.coef_, dtype=np.float64).T)
    n_scores = estimator.coef_.shape[0]
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), (n_scores,))
    return builder.add("Gemm", features, weights, builder.constant(intercept))


def _logistic_regression(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    return Scores(_linear(builder, estimator, features), "logits")


def _linear_svc(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    return Scores(_linear(builder, estimator, features), "margins")


def _forest(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► trees ─► Div(number of trees) ─► probabilities; for two classes that of the second."""
    members = [estimator] if isinstance(estimator, DecisionTreeClassifier) else estimator.estimators_
    trees = []
    for member in members:
        value = member.tree_.value[:, 0, :]
        value = value / value.sum(axis=1, keepdims=True)
        trees.append(from_tree_(member.tree_, value[:, 1:] if value.shape[1] == _BINARY else value))
    sums = append_trees(builder, trees, features, trees[0].value.shape[1], rounds_to_float32=True)
    mean = builder.add("Div", sums, builder.constant(float(len(trees))))
    return Scores(
        mean,
        "probabilities",
        (append_overflow(builder, features),),
        _splits(trees),
        is_single_precision=trees[0].value.shape[1] > 1,
    )


def _gradient_boosting(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► trees · learning rate ─► Add(prior) ─► logits."""
    if estimator.init_ != "zero" and type(estimator.init_).__name__ != "DummyClassifier":
        raise EstimatorError(
            f"GradientBoostingClassifier(init={type(estimator.init_).__name__}) is not supported; train it with"
            " init=None or init='zero'"
        )
    prior = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))  # noqa: SLF001  no public way
    trees = [
        from_tree_(member.tree_, estimator.learning_rate * member.tree_.value[:, 0, :], target)
        for stage in estimator.estimators_
        for target, member in enumerate(stage)
    ]
    sums = append_trees(builder, trees, features, prior.shape[1], rounds_to_float32=True)
    logits = builder.add("Add", sums, builder.constant(np.asarray(prior, dtype=np.float64)))
    if estimator.loss == "exponential":  # its probability is the sigmoid of twice the score
        logits = builder.add("Mul", logits, builder.constant(2.0))
    return Scores(logits, "logits", (append_overflow(builder, features),), _splits(trees))


def _hist_gradient_boosting(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► trees ─► Add(prior) ─► logits."""
    if estimator.is_categorical_ is not None and estimator.is_categorical_.any():
        raise EstimatorError(
            "HistGradientBoostingClassifier with categorical_features is not supported; encode those columns in a"
            " Pipeline, with OneHotEncoder, and train it with categorical_features=None"
        )
    prior = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(1, -1)  # noqa: SLF001  no public way
    trees = [
        from_predictor(predictor, target)
        for stage in estimator._predictors  # noqa: SLF001  no public way
        for target, predictor in enumerate(stage)
    ]
    sums = append_trees(builder, trees, features, prior.shape[1], rounds_to_float32=False)
    return Scores(builder.add("Add", sums, builder.constant(prior)), "logits", splits=_splits(trees))


def _splits(trees: Sequence[Tree]) -> list[tuple[int, float]]:
    return [split for tree in trees for split in tree.splits()]


def _svc(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► skl2onnx ─► raw scores; for two classes [−f, f], of which the second is taken."""
    if len(estimator.classes_) > _BINARY and estimator.decision_function_shape != "ovr":
        raise EstimatorError(
            "SVC(decision_function_shape='ovo') has one score per pair of classes; set decision_function_shape='ovr'"
            " (it may be set after training)"
        )
    scores = _converted(builder, estimator, features, raw_scores=True)
    return Scores(_last_of_two(builder, scores, len(estimator.classes_)), "margins", is_single_precision=True)


def _probabilistic(builder: GraphBuilder, estimator: Any, features: str) -> Scores:
    """Features ─► skl2onnx ─► probabilities; for two classes that of the second."""
    probabilities = _converted(builder, estimator, features)
    return Scores(_last_of_two(builder, probabilities, len(estimator.classes_)), "probabilities")


def _converted(builder: GraphBuilder, estimator: Any, features: str, **options: bool) -> str:
    types = [("features", DoubleTensorType([None, estimator.n_features_in_]))]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # skl2onnx reads attributes that scikit-learn is retiring
        model = convert_sklearn(
            estimator,
            initial_types=types,
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            options={id(estimator): {"zipmap": False, **options}},
        )
    _, scores = builder.embed(model, {"features": features})  # the label comes first
    return builder.cast(scores, TensorProto.DOUBLE)


def _last_of_two(builder: GraphBuilder, scores: str, n_classes: int) -> str:
    if n_classes > _BINARY:
        return scores
    return builder.add("Gather", scores, builder.constant([1], np.int64), axis=1)


_APPENDERS: Final[dict[type, Callable[[GraphBuilder, Any, str], Scores]]] = {
    LogisticRegression: _logistic_regression,
    LinearSVC: _linear_svc,
    DecisionTreeClassifier: _forest,
    RandomForestClassifier: _forest,
    ExtraTreesClassifier: _forest,
    GradientBoostingClassifier: _gradient_boosting,
    HistGradientBoostingClassifier: _hist_gradient_boosting,
    SVC: _svc,
    GaussianNB: _probabilistic,
    MLPClassifier: _probabilistic,
    KNeighborsClassifier: _probabilistic,
}
