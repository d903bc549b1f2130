"""XGBoost: trees from its JSON model. "Introduction to Model IO" in its manual documents the schema.

XGBoost rounds features to float32 and goes left if x < threshold (float32). Our nodes compare with <=, so
they hold the next float32 below the threshold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.graphs.trees import Tree
from tamiz_convert.sources.booster import Booster, Library, as_features, as_scores

_OBJECTIVES: Final[dict[str, ScoresKind]] = {
    "binary:logistic": "logits",
    "binary:logitraw": "logits",
    "multi:softprob": "logits",
    "multi:softmax": "logits",
}
_NUMERICAL: Final = 0


def read(model: Any) -> Booster:
    """Return the trees of an XGBClassifier or of a Booster.

    Raises:
        EstimatorError: if it is not trained, or not a classifier of trees with numerical splits.
    """
    is_native = not hasattr(model, "get_booster")
    booster = model if is_native else model.get_booster()
    learner = _learner(booster)
    kind = _kind(learner)
    gradient_booster = learner["gradient_booster"]
    if gradient_booster["name"] == "gblinear":
        raise EstimatorError(
            "XGBoost with booster='gblinear' is a linear model and not supported; train a"
            " LogisticRegression, or booster='gbtree'"
        )
    forest = gradient_booster.get("gbtree", gradient_booster)["model"]
    n_rounds, notes = _rounds(booster, forest, is_native=is_native)
    trees = _trees(gradient_booster, forest, n_rounds)
    return Booster(
        library="XGBoost",
        distribution="xgboost",
        trees=trees,
        bias=_bias(learner),
        kind=kind,
        classes=None,
        rounds_to_float32=True,
        n_features=int(learner["learner_model_param"]["num_feature"]),
        column_names=tuple(learner["feature_names"]),
        raw=_raw(model, is_native=is_native),
        missing=_missing(model),
        share_missing=_share_missing(trees),
        sparse_zeros_are_missing=True,
        is_single_precision=True,
        notes=notes,
    )


def _trees(gradient_booster: dict[str, Any], forest: dict[str, Any], n_rounds: int) -> list[Tree]:
    n_trees = forest["iteration_indptr"][n_rounds]
    weights = gradient_booster.get("weight_drop")  # only DART has them; its trees are in an inner model
    targets = zip(forest["trees"][:n_trees], forest["tree_info"][:n_trees], strict=True)
    return [
        _tree(tree, target, 1.0 if weights is None else weights[index])
        for index, (tree, target) in enumerate(targets)
    ]


def _raw(model: Any, *, is_native: bool) -> Callable[[Any], NDArray[np.float64]]:
    """Return the model's own prediction, so that a mistake of `read` about its settings shows."""

    def raw(features: Any) -> NDArray[np.float64]:
        rows = as_features(features)
        if is_native:
            margins = model.inplace_predict(rows, predict_type="margin", validate_features=False)
        else:
            margins = model.predict(rows, output_margin=True, validate_features=False)
        return as_scores(margins)

    return raw


def _missing(model: Any) -> float | None:
    missing = getattr(model, "missing", None)
    return None if missing is None or np.isnan(missing) else float(missing)


def _share_missing(trees: list[Tree]) -> float:
    """Return the share of splits that show missing values in training.

    Without any, XGBoost sends them the same way at every split: right, or left with tree_method="exact".
    """
    left = np.concatenate([tree.missing_left[~tree.is_leaf] for tree in trees])
    return float(min(left.mean(), 1.0 - left.mean())) if len(left) else 0.0


def _learner(booster: Any) -> dict[str, Any]:
    try:
        learner: dict[str, Any] = json.loads(booster.save_raw("json").decode())["learner"]
    except Exception as error:  # XGBoostError, which cannot be named without importing xgboost
        raise EstimatorError(f"the XGBoost model is not trained: {str(error).splitlines()[0]}") from error
    return learner


def _kind(learner: dict[str, Any]) -> ScoresKind:
    objective = learner["objective"]["name"]
    if objective not in _OBJECTIVES:
        raise EstimatorError(
            f"XGBoost with objective {objective!r} is not a classifier with probabilities; supported are"
            f" {', '.join(_OBJECTIVES)}"
        )
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise EstimatorError("XGBoost with several targets is not supported; train one classifier per target")
    return _OBJECTIVES[objective]


def _rounds(booster: Any, forest: dict[str, Any], *, is_native: bool) -> tuple[int, tuple[str, ...]]:
    """Return how many boosting rounds XGBoost itself predicts with, and a note if that may surprise."""
    n_rounds = len(forest["iteration_indptr"]) - 1
    best = booster.attr("best_iteration")
    if n_rounds == 0:
        raise EstimatorError("the XGBoost model is not trained: it has no trees")
    if best is None or int(best) + 1 >= n_rounds:
        return n_rounds, ()
    if is_native:
        note = (
            f"XGBoost: the booster found its best iteration at {best}, but Booster.predict, and so the"
            f" bundle, uses all {n_rounds}; pass booster[: {int(best) + 1}] to export the best ones only"
        )
        return n_rounds, (note,)
    return int(best) + 1, (
        f"XGBoost: the trees up to the best iteration ({best}) are exported: XGBoost predicts with these",
    )


def _bias(learner: dict[str, Any]) -> NDArray[np.float64]:
    """Return base_score as scores; binary:logistic stores it as a probability."""
    stored = json.loads(learner["learner_model_param"]["base_score"].lower())
    n_classes = int(learner["learner_model_param"]["num_class"])
    base = np.float32(np.ravel(stored)).astype(np.float64)
    if learner["objective"]["name"] == "binary:logistic":
        base = logit(base)
    return np.array(np.broadcast_to(base, (max(1, n_classes),)))


def _tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise EstimatorError(
            "XGBoost with multi_strategy='multi_output_tree' is not supported; train it with"
            " 'one_output_per_tree'"
        )
    left = np.asarray(tree["left_children"], dtype=np.int64)
    is_inner = left >= 0
    if (np.asarray(tree["split_type"])[is_inner] != _NUMERICAL).any():
        raise EstimatorError(
            "XGBoost with categorical splits is not supported; encode those columns in a Pipeline, with"
            " OneHotEncoder, and train it with enable_categorical=False"
        )
    condition = np.asarray(tree["split_conditions"], dtype=np.float32)  # in a leaf: its value
    leaf = np.where(is_inner, 0.0, condition.astype(np.float64) * np.float64(np.float32(weight)))
    return Tree(
        feature=np.asarray(tree["split_indices"], dtype=np.int64),
        threshold=np.nextafter(condition, np.float32(-np.inf)).astype(np.float64),
        left=left,
        right=np.asarray(tree["right_children"], dtype=np.int64),
        missing_left=np.asarray(tree["default_left"], dtype=bool),
        value=leaf[:, None],
        target=int(target),
    )


def _load(package: Any, path: Path) -> Any:
    booster = package.Booster()
    booster.load_model(str(path))
    return booster


LIBRARY: Final = Library("xgboost", "XGBClassifier", "Booster", read, (".json", ".ubj"), _load)
