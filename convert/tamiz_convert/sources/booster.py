"""Gradient-boosted trees of any library in one form, and that form as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import Labels, ScoresKind
from tamiz_convert.graphs.trees import Tree, append_trees


@dataclass(frozen=True)
class Booster:
    """Boosted trees: scores = bias + the sum of the leaves.

    Attributes:
        library: the library's name for people: "XGBoost", "LightGBM", "CatBoost".
        distribution: the library's name in package indexes, for the manifest.
        trees: at least one.
        bias: (n_scores,), float64; one score for two classes.
        kind: what the scores are.
        classes: the labels; None if the library does not know them.
        rounds_to_float32: whether the library rounds features to float32 before it compares.
        n_features: how many features it reads.
        column_names: their names; empty if the library made them up.
        raw: features (n_rows, n_features), float64 or sparse → the library's own scores, (n_rows, n_scores),
            float64.
        sparse_zeros_are_missing: whether the library takes zeros of a sparse matrix for missing values.
        is_single_precision: whether the library or the graph adds up the leaves in float32.
        notes: what the caller should know.
    """

    library: str
    distribution: str
    trees: list[Tree]
    bias: NDArray[np.float64]
    kind: ScoresKind
    classes: Labels | None
    rounds_to_float32: bool
    n_features: int
    column_names: tuple[str, ...]
    raw: Callable[[Any], NDArray[np.float64]]
    sparse_zeros_are_missing: bool = False
    is_single_precision: bool = False
    notes: tuple[str, ...] = ()

    @property
    def n_classes(self) -> int:
        """How many classes the scores tell apart."""
        return max(2, len(self.bias))

    def splits(self) -> list[tuple[int, float]]:
        """Return (feature, threshold) of the inner nodes of all trees."""
        return [split for tree in self.trees for split in tree.splits()]


@dataclass(frozen=True)
class Library:
    """A library of boosted trees.

    Attributes:
        package: the name to import.
        classifier: the name of its scikit-learn estimator.
        native: the name of its own class.
        read: returns the trees of a model of either class.
        suffixes: of files in its own format, which does not hold code.
        load: the imported package and a file → a native model.
    """

    package: str
    classifier: str
    native: str
    read: Callable[[Any], Booster]
    suffixes: tuple[str, ...]
    load: Callable[[Any, Path], Any]


def append_booster(builder: GraphBuilder, booster: Booster, features: str) -> str:
    """Append boosted trees; return the name of the scores, (n_rows, n_scores), float64.

    features ─► trees ─► Add(bias) ─► scores

    Args:
        builder: where the nodes go.
        booster: what to append.
        features: the name of the features, (n_rows, n_features), float64.
    """
    n_scores = len(booster.bias)
    sums = append_trees(
        builder, booster.trees, features, n_scores, rounds_to_float32=booster.rounds_to_float32
    )
    return builder.add("Add", sums, builder.constant(booster.bias.reshape(1, -1)))


def as_features(features: Any) -> Any:
    """Return preprocessed features as a float64 ndarray; a sparse matrix stays as it is."""
    return features if hasattr(features, "toarray") else np.asarray(features, dtype=np.float64)


def as_scores(scores: Any) -> NDArray[np.float64]:
    """Return a library's scores as (n_rows, n_scores), float64."""
    array = np.asarray(scores, dtype=np.float64)
    return array.reshape(len(array), -1)
