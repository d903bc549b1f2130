"""Decision trees as ONNX nodes in float64, so that no row takes another branch.

skl2onnx writes thresholds and leaves as float32. Then a value between the float64 threshold and its float32
neighbor takes the other branch. These nodes compare exactly as scikit-learn does:

    DecisionTree, RandomForest, ExtraTrees, GradientBoosting    float32(x) <= threshold (float64)
    HistGradientBoosting                                        float64(x) <= threshold (float64)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz_convert.graphs.builder import GraphBuilder, attribute_tensor

_ML: Final = "ai.onnx.ml"
_SUM: Final = 1
_LEAF: Final = -1
_OLDER: Final = "TreeEnsembleRegressor"
_RETIRED: Final = (_OLDER, "TreeEnsembleClassifier")
"""Retired by the version of ai.onnx.ml that introduced TreeEnsemble, so a graph cannot hold both kinds."""


@dataclass(frozen=True)
class Tree:
    """One tree; node 0 is the root.

    Attributes:
        feature: (n_nodes,), int64: the column that a node reads.
        threshold: (n_nodes,), float64: go left if the value is at most this.
        left, right: (n_nodes,), int64: the children; -1 in a leaf.
        missing_left: (n_nodes,), bool: whether NaN goes left.
        value: (n_nodes, n_values), float64: what a leaf adds.
        target: the first score that the leaf adds to.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    target: int = 0

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """(n_nodes,), bool."""
        return np.equal(self.left, _LEAF)

    def splits(self) -> list[tuple[int, float]]:
        """Return (feature, threshold) of every inner node with a finite threshold."""
        inner = ~self.is_leaf & np.isfinite(self.threshold)
        return list(zip(self.feature[inner].tolist(), self.threshold[inner].tolist(), strict=True))


def from_tree_(tree_: Any, value: NDArray[np.float64], target: int = 0) -> Tree:
    """Return scikit-learn's `tree_` as a Tree; `value`, (n_nodes, n_values), replaces its leaves."""
    missing_left = getattr(tree_, "missing_go_to_left", np.zeros(tree_.node_count))
    return Tree(
        feature=np.asarray(tree_.feature, dtype=np.int64),
        threshold=np.asarray(tree_.threshold, dtype=np.float64),
        left=np.asarray(tree_.children_left, dtype=np.int64),
        right=np.asarray(tree_.children_right, dtype=np.int64),
        missing_left=np.asarray(missing_left, dtype=bool),
        value=value,
        target=target,
    )


def from_predictor(predictor: Any, target: int) -> Tree:
    """Return a tree of HistGradientBoosting as a Tree."""
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=np.where(leaf, _LEAF, nodes["left"].astype(np.int64)),
        right=np.where(leaf, _LEAF, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=nodes["value"].astype(np.float64)[:, None],
        target=target,
    )


class Split(NamedTuple):
    """An inner node of a nested tree: go left if the feature's value is at most the threshold."""

    feature: int
    threshold: float
    missing_left: bool
    left: Any
    right: Any


class Leaf(NamedTuple):
    """A leaf of a nested tree, with the values that it adds."""

    values: list[float]


def from_nested(root: Any, visit: Callable[[Any], Split | Leaf], target: int) -> Tree:
    """Return a nested tree, whose nodes hold their children, as a Tree.

    Args:
        root: the root, of any type.
        visit: node → its split or leaf.
        target: the first score that the leaves add to.
    """
    nodes: list[Split | Leaf] = [visit(root)]
    children: list[tuple[int, int]] = []
    for node in nodes:  # the loop appends to the list: breadth first
        if isinstance(node, Leaf):
            children.append((_LEAF, _LEAF))
        else:
            children.append((len(nodes), len(nodes) + 1))
            nodes += [visit(node.left), visit(node.right)]
    n_values = next(len(node.values) for node in nodes if isinstance(node, Leaf))
    left, right = np.array(children, dtype=np.int64).T
    return Tree(
        feature=np.array([node.feature if isinstance(node, Split) else 0 for node in nodes]),
        threshold=np.array([node.threshold if isinstance(node, Split) else 0.0 for node in nodes]),
        left=left,
        right=right,
        missing_left=np.array([isinstance(node, Split) and node.missing_left for node in nodes]),
        value=np.array([node.values if isinstance(node, Leaf) else [0.0] * n_values for node in nodes]),
        target=target,
    )


def append_trees(
    builder: GraphBuilder, trees: Sequence[Tree], features: str, n_scores: int, *, rounds_to_float32: bool
) -> str:
    """Append the sum of trees; return the name of its output, (n_rows, n_scores), float64.

    features (double) ─► [Cast float ─► Cast double] ─► TreeEnsemble | TreeEnsembleRegressor ─► sums

    Leaves with one value become a TreeEnsemble (ai.onnx.ml 5), which onnxruntime sums in float64. Leaves with
    several values need the older TreeEnsembleRegressor, whose sums onnxruntime rounds to float32.

    Args:
        builder: where the nodes go.
        trees: at least one.
        features: the name of the features, (n_rows, n_features), float64.
        n_scores: how many scores there are.
        rounds_to_float32: whether the estimator rounds features to float32 before it compares.
    """
    if rounds_to_float32:
        features = builder.cast(builder.cast(features, TensorProto.FLOAT), TensorProto.DOUBLE)
    if trees[0].value.shape[1] == 1 and not any(map(builder.has, _RETIRED)):
        attributes = _single_value_attributes(trees)
        return builder.add(
            "TreeEnsemble",
            features,
            domain=_ML,
            ml_opset=5,
            n_targets=n_scores,
            aggregate_function=_SUM,
            post_transform=0,
            **attributes,
        )
    attributes = _several_values_attributes(trees)
    sums = builder.add(
        _OLDER,
        features,
        domain=_ML,
        n_targets=n_scores,
        aggregate_function="SUM",
        post_transform="NONE",
        **attributes,
    )
    return builder.cast(sums, TensorProto.DOUBLE)


def append_overflow(builder: GraphBuilder, features: str) -> str:
    """Append nodes that find rows with a value beyond float32: scikit-learn's trees refuse them.

    features (double) ─► Cast float ─► IsInf ─► Cast float ─► ReduceMax ─► Cast bool [n, 1]
    """
    is_infinite = builder.add("IsInf", builder.cast(features, TensorProto.FLOAT))
    number = builder.cast(is_infinite, TensorProto.FLOAT)
    any_of_row = builder.add("ReduceMax", number, builder.constant([1], np.int64), keepdims=1)
    return builder.cast(any_of_row, TensorProto.BOOL)


def _single_value_attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """Attributes of TreeEnsemble: inner nodes and leaves are numbered separately, each across all trees."""
    columns: dict[str, list[NDArray[Any]]] = {}
    n_nodes = n_leaves = 0
    roots = []
    for tree in map(_with_an_inner_node, trees):
        inner, leaf = ~tree.is_leaf, tree.is_leaf
        node_id = n_nodes + np.cumsum(inner) - 1
        leaf_id = n_leaves + np.cumsum(leaf) - 1
        roots.append(n_nodes)
        n_nodes += int(inner.sum())
        n_leaves += int(leaf.sum())
        part = {
            "nodes_featureids": tree.feature[inner],
            "nodes_splits": tree.threshold[inner],
            "nodes_missing_value_tracks_true": tree.missing_left[inner].astype(np.int64),
            "leaf_targetids": np.full(int(leaf.sum()), tree.target),
            "leaf_weights": tree.value[leaf, 0],
        }
        for side, children in (("true", tree.left[inner]), ("false", tree.right[inner])):
            part[f"nodes_{side}leafs"] = leaf[children].astype(np.int64)
            part[f"nodes_{side}nodeids"] = np.where(leaf[children], leaf_id[children], node_id[children])
        for name, column in part.items():
            columns.setdefault(name, []).append(column)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    tensors = {name: attribute_tensor(joined.pop(name)) for name in ("nodes_splits", "leaf_weights")}
    modes = attribute_tensor(np.zeros(n_nodes, dtype=np.uint8))  # 0: at most
    return {"tree_roots": roots, "nodes_modes": modes} | tensors | {n: c.tolist() for n, c in joined.items()}


def _with_an_inner_node(tree: Tree) -> Tree:
    """Return the tree. A single leaf gets a node above it, whose two branches lead to its value."""
    if not tree.is_leaf[0]:
        return tree
    return Tree(
        feature=np.zeros(3, dtype=np.int64),
        threshold=np.zeros(3),
        left=np.array([1, _LEAF, _LEAF]),
        right=np.array([2, _LEAF, _LEAF]),
        missing_left=np.zeros(3, dtype=bool),
        value=np.repeat(tree.value[:1], 3, axis=0),
        target=tree.target,
    )


def _several_values_attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """Attributes of TreeEnsembleRegressor: nodes and leaves are numbered together, within each tree."""
    sizes = [len(tree.feature) for tree in trees]
    tree_id = np.repeat(np.arange(len(trees)), sizes)
    node_id = np.concatenate([np.arange(size) for size in sizes])
    leaf = np.concatenate([tree.is_leaf for tree in trees])
    values = np.concatenate([tree.value for tree in trees])[leaf]
    n_values = values.shape[1]
    target = np.repeat([tree.target for tree in trees], sizes)[leaf]
    children = {side: np.concatenate([getattr(tree, side) for tree in trees]) for side in ("left", "right")}
    missing = np.concatenate([tree.missing_left for tree in trees])
    return {
        "nodes_treeids": tree_id.tolist(),
        "nodes_nodeids": node_id.tolist(),
        "nodes_featureids": np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values_as_tensor": attribute_tensor(np.concatenate([tree.threshold for tree in trees])),
        "nodes_truenodeids": np.where(leaf, 0, children["left"]).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, children["right"]).tolist(),
        "nodes_missing_value_tracks_true": (missing & ~leaf).astype(int).tolist(),
        "target_treeids": np.repeat(tree_id[leaf], n_values).tolist(),
        "target_nodeids": np.repeat(node_id[leaf], n_values).tolist(),
        "target_ids": (target[:, None] + np.arange(n_values)).ravel().tolist(),
        "target_weights_as_tensor": attribute_tensor(values.ravel()),
    }
