"""CatBoost: trees from its JSON model. Its tutorial "model_export_in_json" documents the schema.

CatBoost rounds features to float32. It goes right if x > border (float32), so left if x <= border. An
oblivious tree has the same split at all nodes of a level. The leaf's number has one bit per split; the first
split is the lowest bit.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.score_graph import ScoresKind, class_labels
from tamiz_convert.graphs.trees import Leaf, Split, Tree, from_nested
from tamiz_convert.sources.booster import Booster, Library, as_features, as_scores
from tamiz_convert.sources.failures import reason

_HALF: Final = 0.5
_LOSSES: Final[dict[str, ScoresKind]] = {
    "Logloss": "logits",
    "CrossEntropy": "logits",
    "MultiClass": "logits",
    "MultiClassOneVsAll": "margins",
}


def read(model: Any) -> Booster:
    """Return the trees of a CatBoostClassifier or of a CatBoost.

    Raises:
        EstimatorError: if it is not trained, or not a classifier of numerical features.
    """
    if not model.is_fitted():
        raise EstimatorError(f"{type(model).__name__} is not fitted; call fit on the training rows first")
    described = _described(model)
    _check_threshold(described)
    kind = _kind(described)
    missing_left = _missing_left(described)
    scale, bias = described["scale_and_bias"]
    dimension = len(bias)
    if "oblivious_trees" in described:
        trees = [_oblivious(tree, dimension, scale, missing_left) for tree in described["oblivious_trees"]]
    else:
        trees = [_nested(tree, scale, missing_left) for tree in described["trees"]]

    def raw(features: Any) -> NDArray[np.float64]:
        return as_scores(model.predict(as_features(features), prediction_type="RawFormulaVal"))

    names = tuple(model.feature_names_)
    made_up = tuple(str(index) for index in range(len(names)))
    return Booster(
        library="CatBoost",
        distribution="catboost",
        trees=trees,
        bias=np.asarray(bias, dtype=np.float64),
        kind=kind,
        classes=class_labels(model.classes_),
        rounds_to_float32=True,
        n_features=len(names),
        column_names=() if names == made_up else names,
        raw=raw,
        is_single_precision=dimension > 1,
    )


def _check_threshold(described: dict[str, Any]) -> None:
    threshold = float(described["model_info"].get("binclass_probability_threshold", _HALF))
    if threshold != _HALF:
        raise EstimatorError(
            f"CatBoost with set_probability_threshold({threshold:g}) predicts another class than the likelier"
            " one, and a bundle answers the likelier one; call set_probability_threshold(0.5) on the"
            " CatBoostClassifier before the export"
        )


def _described(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        try:
            model.save_model(str(path), format="json")
        except Exception as error:  # CatBoostError, which cannot be named without importing catboost
            raise EstimatorError(
                f"the trees of the CatBoost model cannot be read: {reason(error)}. Train it on numbers;"
                " encode text and categories in a Pipeline, with OneHotEncoder"
            ) from error
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    extra = set(described["features_info"]) - {"float_features"}
    if extra:
        raise EstimatorError(
            f"CatBoost with {', '.join(sorted(extra - {'ctrs'})).replace('_', ' ')} is not supported; encode"
            " those columns in a Pipeline, with OneHotEncoder, and train it on numbers"
        )
    return described


def _kind(described: dict[str, Any]) -> ScoresKind:
    loss = described["model_info"]["params"]["loss_function"]["type"]
    if loss not in _LOSSES:
        raise EstimatorError(
            f"CatBoost with loss_function {loss!r} is not a classifier with probabilities; supported are"
            f" {', '.join(_LOSSES)}"
        )
    return _LOSSES[loss]


def _missing_left(described: dict[str, Any]) -> NDArray[np.bool_]:
    """Return (n_features,), bool: whether NaN goes left. It does unless CatBoost treats it as the largest."""
    treatment = {
        feature["flat_feature_index"]: feature.get("nan_value_treatment", "AsIs")
        for feature in described["features_info"]["float_features"]
    }
    return np.array([treatment.get(index) != "AsTrue" for index in range(max(treatment) + 1)])


def _oblivious(tree: dict[str, Any], dimension: int, scale: float, missing_left: NDArray[np.bool_]) -> Tree:
    """Return an oblivious tree with nodes numbered level by level. CatBoost's last split is at the root."""
    splits = (tree["splits"] or [])[::-1]
    n_inner = 2 ** len(splits) - 1
    level = np.repeat(np.arange(len(splits)), 2 ** np.arange(len(splits)))
    feature = np.zeros(2 * n_inner + 1, dtype=np.int64)
    threshold = np.zeros(2 * n_inner + 1)
    feature[:n_inner] = np.array([split["float_feature_index"] for split in splits], dtype=np.int64)[level]
    threshold[:n_inner] = np.array([np.float32(split["border"]) for split in splits], dtype=np.float64)[level]
    node = np.arange(2 * n_inner + 1)
    value = np.zeros((2 * n_inner + 1, dimension))
    value[n_inner:] = scale * np.asarray(tree["leaf_values"], dtype=np.float64).reshape(-1, dimension)
    return Tree(
        feature=feature,
        threshold=threshold,
        left=np.where(node < n_inner, 2 * node + 1, -1),
        right=np.where(node < n_inner, 2 * node + 2, -1),
        missing_left=missing_left[feature],
        value=value,
    )


def _nested(root: dict[str, Any], scale: float, missing_left: NDArray[np.bool_]) -> Tree:
    def visit(node: dict[str, Any]) -> Split | Leaf:
        if "split" not in node:
            return Leaf((scale * np.atleast_1d(np.asarray(node["value"], dtype=np.float64))).tolist())
        split = node["split"]
        feature = split["float_feature_index"]
        return Split(
            feature,
            float(np.float32(split["border"])),
            bool(missing_left[feature]),
            node["left"],
            node["right"],
        )

    return from_nested(root, visit, 0)


def _load(package: Any, path: Path) -> Any:
    return package.CatBoost().load_model(str(path))


LIBRARY: Final = Library("catboost", "CatBoostClassifier", "CatBoost", read, (".cbm",), _load)
