"""LightGBM: trees from `Booster.dump_model`.

LightGBM compares in float64 and goes left if x <= threshold. What is within kZeroThreshold of zero counts as
zero when it predicts (RowPairFunctionFromDenseMatric in src/c_api.cpp), so a threshold within it moves to its
end. The node's missing_type says where NaN goes (NumericalDecision in include/LightGBM/tree.h). None: NaN
counts as 0. NaN: it goes the default way. Zero (zero_as_missing=True): NaN and zero go the default way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.score_graph import ScoresKind
from tamiz_convert.graphs.trees import Leaf, Split, Tree, from_nested
from tamiz_convert.sources.booster import Booster, Library, as_features, as_scores

_ZERO: Final = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold."""
_BELOW_ZERO: Final = float(np.nextafter(-_ZERO, -np.inf))

_OBJECTIVES: Final[dict[str, ScoresKind]] = {
    "binary": "logits",
    "multiclass": "logits",
    "multiclassova": "margins",
}


def read(model: Any) -> Booster:
    """Return the trees of an LGBMClassifier or of a Booster, up to its best iteration if it has one.

    Raises:
        EstimatorError: if it is not trained, or not a classifier of plain trees with numerical splits.
    """
    booster = getattr(model, "booster_", model)
    dumped = booster.dump_model()
    if not dumped["tree_info"]:
        raise EstimatorError("the LightGBM model is not trained: it has no trees")
    name, options = _objective(dumped)
    n_scores = int(dumped["num_tree_per_iteration"])
    slope = float(options.get("sigmoid", 1.0))
    n_rounds = len(dumped["tree_info"]) // n_scores
    scale = slope / n_rounds if dumped["average_output"] else slope
    trees = [
        _tree(tree["tree_structure"], index % n_scores, scale)
        for index, tree in enumerate(dumped["tree_info"])
    ]

    def raw(features: Any) -> NDArray[np.float64]:  # a random forest's raw score is the sum, not the mean
        return scale * as_scores(booster.predict(as_features(features), raw_score=True))

    names = tuple(dumped["feature_names"])
    n_features = int(dumped["max_feature_idx"]) + 1
    made_up = tuple(f"Column_{index}" for index in range(len(names)))
    return Booster(
        library="LightGBM",
        distribution="lightgbm",
        trees=trees,
        bias=np.zeros(n_scores),
        kind=_OBJECTIVES[name],
        classes=None,
        rounds_to_float32=False,
        n_features=n_features,
        column_names=() if names == made_up else names,
        raw=raw,
        missing_within=_missing_within([tree["tree_structure"] for tree in dumped["tree_info"]], n_features),
    )


def _objective(dumped: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the objective's name and its options; LightGBM writes "binary sigmoid:1"."""
    name, *options = str(dumped.get("objective", "custom")).split()
    if name not in _OBJECTIVES:
        raise EstimatorError(
            f"LightGBM with objective {name!r} is not a classifier with probabilities; supported are"
            f" {', '.join(_OBJECTIVES)}"
        )
    return name, dict(option.split(":", 1) for option in options if ":" in option)


def _tree(root: dict[str, Any], target: int, scale: float) -> Tree:
    def visit(node: dict[str, Any]) -> Split | Leaf:
        if "leaf_value" in node:
            if "leaf_coeff" in node:
                raise EstimatorError(
                    "LightGBM with linear_tree=True is not supported; train it with linear_tree=False"
                )
            return Leaf([scale * node["leaf_value"]])
        missing_left = _missing_left(node)
        return Split(
            node["split_feature"],
            _threshold(node["threshold"]),
            missing_left,
            node["left_child"],
            node["right_child"],
        )

    return from_nested(root, visit, target)


def _missing_left(node: dict[str, Any]) -> bool:
    if node["decision_type"] != "<=":
        raise EstimatorError(
            "LightGBM with categorical splits is not supported; encode those columns in a Pipeline, with"
            " OneHotEncoder, and train it without categorical_feature"
        )
    if node["missing_type"] == "None":
        return bool(node["threshold"] >= 0.0)
    return bool(node["default_left"])


def _threshold(threshold: float) -> float:
    """Return where a threshold divides the numbers, if those within `_ZERO` of zero are zero."""
    if abs(threshold) > _ZERO:
        return threshold
    return _ZERO if threshold >= 0.0 else _BELOW_ZERO


def _missing_within(roots: list[dict[str, Any]], n_features: int) -> NDArray[np.float64] | None:
    """Return (n_features,), float64: how near to zero a value is missing; NaN where zero is a number.

    None if zero is a number everywhere.
    """
    found: dict[int, set[bool]] = {}
    nodes = list(roots)
    for node in nodes:  # the loop appends to the list
        if "split_feature" in node:
            found.setdefault(node["split_feature"], set()).add(node["missing_type"] == "Zero")
            nodes += [node["left_child"], node["right_child"]]
    if any(len(each) > 1 for each in found.values()):
        raise EstimatorError(
            "LightGBM with zero_as_missing=True in a part of its trees only is not supported; train all of"
            " them with one setting"
        )
    within = np.full(n_features, np.nan)
    within[[feature for feature, (is_missing,) in found.items() if is_missing]] = _ZERO
    return None if np.isnan(within).all() else within


def _load(package: Any, path: Path) -> Any:
    return package.Booster(model_file=str(path))


LIBRARY: Final = Library("lightgbm", "LGBMClassifier", "Booster", read, (".txt",), _load)
