"""Gradient-boosted trees of any library in one form, and that form as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.score_graph import Labels, ScoresKind
from tamiz_convert.graphs.trees import Tree, append_trees

_MANY_MISSING: Final = 0.1
"""Of the splits. Trained on a sparse matrix, they were 0.37 to 0.47; with NaN in one of 8 features, 0.06."""


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
        missing_within: (n_features,), float64: values this near to zero are missing, too; NaN for none. None
            if that is so for all features.
        missing: a number that is missing, too, in float32; None if there is none.
        share_missing: the share of splits that show that the training rows had missing values; 0 if unknown.
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
    missing_within: NDArray[np.float64] | None = None
    missing: float | None = None
    share_missing: float = 0.0
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

    features ─► [Where(missing, NaN, features)] ─► trees ─► Add(bias) ─► scores

    Args:
        builder: where the nodes go.
        booster: what to append.
        features: the name of the features, (n_rows, n_features), float64.
    """
    n_scores = len(booster.bias)
    if booster.missing_within is not None:
        distance = builder.add("Abs", features)
        is_missing = builder.add("LessOrEqual", distance, builder.constant(booster.missing_within))
        features = builder.add("Where", is_missing, builder.constant(np.nan), features)
    if booster.missing is not None:
        rounded = builder.cast(features, TensorProto.FLOAT)
        is_missing = builder.add("Equal", rounded, builder.constant(booster.missing, np.float32))
        features = builder.add("Where", is_missing, builder.constant(np.nan), features)
    sums = append_trees(
        builder, booster.trees, features, n_scores, rounds_to_float32=booster.rounds_to_float32
    )
    return builder.add("Add", sums, builder.constant(booster.bias.reshape(1, -1)))


def missing_note(booster: Booster, features: Any) -> tuple[str, ...]:
    """Return a note if the training rows had missing values and the held-out rows have none.

    The library does not remember which values were missing to it: NaN, what a sparse matrix leaves out, or
    `missing=` of a native data set.

    Args:
        booster: the trees.
        features: all held-out rows, as the trees read them.

    Raises:
        EstimatorError: if it shows at so many splits that most features had missing values.
    """
    if booster.share_missing == 0.0 or hasattr(features, "toarray"):
        return ()
    rows = np.asarray(features, dtype=np.float32)
    if np.isnan(rows).any() or (booster.missing is not None and (rows == np.float32(booster.missing)).any()):
        return ()
    text = (
        f"{booster.library}: the model was trained on rows with missing values, and no held-out row has any."
        " If it was trained on a sparse matrix, what that leaves out is missing to it, not 0; if it was"
        " trained with missing=…, that number is. The bundle reads missing values as NaN: put NaN in their"
        " place in the held-out rows, and in requests"
    )
    if booster.share_missing >= _MANY_MISSING:
        raise EstimatorError(f"{text}. If it was trained on NaN, let some held-out rows have NaN, too")
    return (text,)


def as_features(features: Any) -> Any:
    """Return preprocessed features as a float64 ndarray; a sparse matrix stays as it is."""
    return features if hasattr(features, "toarray") else np.asarray(features, dtype=np.float64)


def as_scores(scores: Any) -> NDArray[np.float64]:
    """Return a library's scores as (n_rows, n_scores), float64."""
    array = np.asarray(scores, dtype=np.float64)
    return array.reshape(len(array), -1)
