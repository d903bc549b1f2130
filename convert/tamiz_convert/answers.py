"""What a bundle answers, given what its graph computed: the gate's rules, offline, as the server applies them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import InputSpec, Manifest
from tamiz_convert.parity import Feed

NO_CLASS: Final = -1
"""The prediction for a row that has none."""

_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class Answers:
    """One entry per row.

    Attributes:
        probabilities: (n_rows, n_classes), float64, as the graph gives them.
        predicted: (n_rows,), int64, the index of the most probable class; `NO_CLASS` where the row has none, because its
            inputs or its probabilities are no values that the gate lets through.
        confidence: (n_rows,), float64; 0 where the row has none.
        accepted: (n_rows,), bool, whether the row is answered.
    """

    probabilities: NDArray[np.float64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accepted: NDArray[np.bool_]


def judged(
    manifest: Manifest,
    feed: Feed,
    probabilities: NDArray[np.float64],
    subset: NDArray[np.int64] | None = None,
) -> Answers:
    """Return what a bundle answers, given what its graph computed.

    Args:
        manifest: what the bundle says of itself; its thresholds are applied.
        feed: input name → (n_rows, …), what the graph computed from.
        probabilities: (n_rows, n_classes), float64.
        subset: (n_rows,), the graph's output of that name, where the thresholds differ by slice.
    """
    with np.errstate(invalid="ignore"):
        proper = np.abs(probabilities.sum(axis=1) - 1.0) <= _TOLERANCE
        proper &= probabilities.min(axis=1) >= -_TOLERANCE
    scored = proper & valid_rows(manifest.inputs, feed)
    predicted = np.where(scored, probabilities.argmax(axis=1), NO_CLASS)
    confidence = np.where(scored, probabilities.max(axis=1), 0.0)
    thresholds = Thresholds(manifest.threshold).of_rows(probabilities, subset)
    return Answers(probabilities, predicted, confidence, scored & (confidence >= thresholds))


def valid_rows(inputs: Iterable[InputSpec], feed: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which rows hold only values that the model can handle: no infinity, and NaN only where it is allowed.

    Args:
        inputs: the manifest's descriptions.
        feed: input name → (n_rows, …).
    """
    valid = np.ones(len(next(iter(feed.values()))), dtype=bool)
    for spec in inputs:
        array = feed[spec.name]
        if array.dtype.kind == "f":
            bad = np.isinf(array) if spec.missing_values_allowed else ~np.isfinite(array)
            valid &= ~bad.reshape(len(array), -1).any(axis=1)
    return valid
