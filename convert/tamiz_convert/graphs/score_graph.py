"""The meeting point of estimators and calibrators: an ONNX graph that ends in raw scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_convert.errors import EstimatorError

SCORES: Final = "scores"
"""The one output of a score graph: (n_rows, 1) for two classes, else (n_rows, n_classes), float64."""

ScoresKind = Literal["logits", "margins", "probabilities"]
"""What the scores are.

logits: softmax of them (two classes: the sigmoid) is the estimator's own probability.
margins: distances that carry no probability of their own, as of a support vector machine.
probabilities: the estimator's own; for two classes that of `classes[1]`.
"""

Labels = NDArray[np.int64] | NDArray[np.str_]


@dataclass(frozen=True)
class ScoreGraph:
    """A fitted estimator as a graph from features to scores, and the estimator itself as the reference.

    Attributes:
        model: the graph; its only output is `SCORES`.
        inputs: the graph's inputs, as the manifest will list them.
        classes: (n_classes,), int64 or str, in the order of the scores' columns.
        kind: what the scores are.
        estimator: the class of the estimator, for the manifest.
        reference: rows as the caller has them → the estimator's own scores, in the shape of `SCORES`.
        feed: rows as the caller has them → what onnxruntime reads, by input name.
        reference_name: what to call the reference: "scikit-learn", "XGBoost", "PyTorch", "onnxruntime".
        splits: (feature, threshold) of the nodes of trees that look at the rows as they come; empty behind
            preprocessing.
        is_single_precision: whether the graph or the reference computes scores in float32, so that they
            differ in their last digits.
        compares_anywhere: whether they agree far outside of what the model was trained on; a neural network
            in float32 has no digits left there.
        libraries: the distributions that computed the reference, for the manifest.
        notes: what the caller should know.
        passed_over: columns of the caller's rows that are not features, where features are known
            by their order only.
    """

    model: onnx.ModelProto
    inputs: tuple[InputSpec, ...]
    classes: Labels
    kind: ScoresKind
    estimator: str
    reference: Callable[[Any], NDArray[np.float64]]
    feed: Callable[[Any], dict[str, NDArray[Any]]]
    reference_name: str = "scikit-learn"
    splits: Sequence[tuple[int, float]] = ()
    is_single_precision: bool = False
    compares_anywhere: bool = True
    libraries: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


def class_labels(classes: Any) -> Labels:
    """Return classes as int64 or str; bool and whole floats become int64.

    Args:
        classes: (n_classes,), in the order of the scores' columns.

    Raises:
        EstimatorError: for fewer than two, repeated ones, empty strings, fractions, or a mixture of types.
    """
    labels = np.asarray(classes)
    shown = labels.tolist()
    if labels.ndim != 1 or len(labels) < 2:  # noqa: PLR2004  no classifier has fewer
        raise EstimatorError(f"the classes are {shown}: expected a list of at least two")
    if labels.dtype.kind in "OU":
        values = list(classes)  # numpy would have turned a number among strings into a string
        if not all(isinstance(label, str) and label for label in values):
            raise EstimatorError(
                f"the classes are {values}: expected integers, or strings that are not empty"
            )
        labels = np.asarray(values, dtype=np.str_)
    elif labels.dtype.kind not in "bif" or (labels != np.round(labels)).any():
        raise EstimatorError(f"the classes are {shown}: expected whole numbers or strings")
    else:
        labels = labels.astype(np.int64)
    if len(np.unique(labels)) != len(labels):
        raise EstimatorError(f"the classes are {shown}: one of them is there twice")
    return labels


def public_name(type_: type) -> str:
    """Return a class's name as one imports it: without the private modules that hold it."""
    public = [part for part in type_.__module__.split(".") if not part.startswith("_")]
    return ".".join([*public, type_.__name__])
