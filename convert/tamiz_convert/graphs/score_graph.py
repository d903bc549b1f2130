"""An ONNX graph that ends in raw scores: estimators produce it, calibrators are appended to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from tamiz.rows.cast import is_unicode
from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_convert.errors import EstimatorError

SCORES: Final = "scores"
"""The one output of a score graph: (n_rows, 1) for two classes, else (n_rows, n_classes), float64."""

ScoresKind = Literal["logits", "margins", "probabilities"]
"""What the scores are.

logits: their softmax (two classes: sigmoid) is the estimator's own probability.
margins: distances that do not give probabilities, such as those of a support vector machine.
probabilities: the estimator's own; for two classes, the probability of `classes[1]`.
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
        reference: the caller's rows → the estimator's own scores, in the shape of `SCORES`.
        feed: the caller's rows → arrays for onnxruntime, by input name.
        reference_name: the name of the reference: "scikit-learn", "XGBoost", "PyTorch", "onnxruntime".
        splits: (feature, threshold) of tree nodes that read the rows directly; empty if there is
            preprocessing.
        is_single_precision: whether the graph or the reference computes scores in float32; then they differ
            in their last digits.
        compares_anywhere: whether graph and reference agree far away from the training rows. A neural network
            in float32 has no accurate digits left there.
        libraries: the distributions that computed the reference, for the manifest.
        notes: what the caller should know.
        passed_over: columns of the caller's rows that are not features, if features are known only by their
            order.
        faulty_step: the caller's rows → the step before the estimator that the graph does not follow there;
            "" if there is none, or none is known.
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
    faulty_step: Callable[[Any], str] = lambda _rows: ""


def class_labels(classes: Any) -> Labels:
    """Return classes as int64 or str; bool, unsigned numbers and whole floats become int64.

    Args:
        classes: (n_classes,), in the order of the scores' columns.

    Raises:
        EstimatorError: if there are fewer than two, or any is repeated, an empty string or a fraction, or
            types are mixed.
    """
    labels = np.asarray(classes)
    shown = labels.tolist()
    if labels.ndim != 1 or len(labels) < 2:  # noqa: PLR2004  no classifier has fewer
        raise EstimatorError(f"the classes are {shown}: expected a list of at least two")
    if labels.dtype.kind in "OUT":
        values = list(classes)  # NumPy would have turned a number among strings into a string
        if all(isinstance(label, (int, np.integer, np.bool_)) for label in values):
            return class_labels(np.array([int(label) for label in values], dtype=np.int64))
        if not all(isinstance(label, str) and label and is_unicode(label) for label in values):
            raise EstimatorError(
                f"the classes are {shown}: expected integers, or strings that are not empty and are Unicode"
            )
        labels = np.asarray(values, dtype=np.str_)
    elif labels.dtype.kind not in "biuf" or not _are_whole(labels):
        raise EstimatorError(f"the classes are {shown}: expected strings, or whole numbers that int64 holds")
    else:
        labels = labels.astype(np.int64)
    if len(np.unique(labels)) != len(labels):
        raise EstimatorError(f"the classes are {shown}: one of them is repeated; expected distinct labels")
    return labels


def _are_whole(labels: NDArray[Any]) -> bool:
    """Return whether int64 holds each number exactly."""
    with np.errstate(invalid="ignore"):
        as_read = labels.astype(np.int64)
    # -1 in int64 comes from a larger number of uint64
    return bool((as_read == labels).all() and ((as_read < 0) == (labels < 0)).all())


def public_name(type_: type) -> str:
    """Return the name that users import a class by, without private modules."""
    public = [part for part in type_.__module__.split(".") if not part.startswith("_")]
    return ".".join([*public, type_.__name__])
