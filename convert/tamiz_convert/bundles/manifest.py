"""What a bundle says about itself, put together at export."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from tamiz import confidence_bins
from tamiz.v1.manifest_pb2 import (
    Calibrator as CalibratorMessage,
)
from tamiz.v1.manifest_pb2 import (
    Candidate as CandidateMessage,
)
from tamiz.v1.manifest_pb2 import (
    Classes,
    Histogram,
    InputSpec,
    Metric,
    Parameter,
    RowSet,
)
from tamiz_convert.calibrators.calibrator import Calibrator
from tamiz_convert.evidence import ScoredRows
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.metrics.if_calibrated import if_calibrated
from tamiz_convert.metrics.summary import summarize
from tamiz_convert.rows.labeled import LabeledRows, digest
from tamiz_convert.rows.raw import features
from tamiz_convert.selection import Candidate, Selection

_LIBRARIES: Final = ("tamiz", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")
_MAX_FEATURES: Final = 100
_DECILES: Final = np.linspace(0.0, 1.0, 11)


def library_versions(libraries: Sequence[str] = ()) -> dict[str, str]:
    """Return the versions of the libraries of every export, and of those that only this export used."""
    versions = {name: importlib.metadata.version(name) for name in (*_LIBRARIES, *libraries)}
    return {"python": platform.python_version()} | versions


def created_at() -> Timestamp:
    """Return the time of the export, or SOURCE_DATE_EPOCH if that is set (reproducible-builds.org)."""
    return Timestamp(seconds=int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))


def class_message(classes: Labels) -> Classes:
    """Return the classes in their own type."""
    if classes.dtype.kind == "U":
        return Classes(strings=classes.tolist())
    return Classes(integers=classes.tolist())


def calibrator_message(
    calibrator: Calibrator, selection: Selection | None, n_rows: int, certification: ScoredRows, seed: int
) -> CalibratorMessage:
    """Return a fitted calibrator, how it was chosen, and the metrics before it and with it.

    Args:
        calibrator: the fitted calibrator.
        selection: how it was chosen; None if the caller named it.
        n_rows: how many rows it was fitted on.
        certification: the rows that it is measured on; those without a predicted class are left out.
        seed: the seed of the calibration error that a perfectly calibrated model would show on as many rows.
    """
    scored = certification.scored
    y, before = certification.y[scored], certification.probabilities_before
    weights = None if certification.weights is None else certification.weights[scored]

    def measured(probabilities: NDArray[np.float64]) -> list[Metric]:
        if not len(probabilities):
            return []
        by_chance = if_calibrated(probabilities, weights=weights, seed=seed).mean
        return _metrics([*summarize(probabilities, y, weights=weights), ("ece_15_if_calibrated", by_chance)])

    return CalibratorMessage(
        method=calibrator.method,
        parameters=[Parameter(name=name, values=values) for name, values in calibrator.parameters()],
        n_rows=n_rows,
        metrics_before=[] if before is None else measured(before[scored]),
        metrics_after=measured(certification.probabilities[scored]),
        candidates=[] if selection is None else [_candidate(each) for each in selection.candidates],
        reason="" if selection is None else selection.reason,
    )


def with_seen_missing(inputs: Sequence[InputSpec], feed: Mapping[str, NDArray[Any]]) -> tuple[InputSpec, ...]:
    """Return inputs that allow missing values only if held-out rows had some; nothing is known of others.

    Args:
        inputs: the inputs of the model, which may accept NaN although it has never seen one.
        feed: what the graph reads of all held-out rows.
    """
    found = []
    for spec in inputs:
        seen = InputSpec()
        seen.CopyFrom(spec)
        array = feed[spec.name]
        seen.missing_values_allowed &= _holds_missing(array)
        found.append(seen)
    return tuple(found)


def _holds_missing(array: NDArray[Any]) -> bool:
    """Return whether an input holds NaN, or the empty text, which is the missing one on the wire."""
    if array.dtype.kind == "f":
        return bool(np.isnan(array).any())
    return array.dtype.kind not in "biu" and bool((array == "").any())


def row_sets(fitting: LabeledRows, certifying: LabeledRows) -> list[RowSet]:
    """Return the digests of the rows by their use."""
    named = {"calibration": fitting, "certification": certifying}
    return [
        RowSet(
            role=role,
            n_rows=len(rows),
            digest=digest(rows),
            worth=0.0 if rows.weights is None else rows.weights.sum(),
        )
        for role, rows in named.items()
    ]


def _candidate(candidate: Candidate) -> CandidateMessage:
    return CandidateMessage(
        method=candidate.method,
        chosen=candidate.chosen,
        status=candidate.status,
        metrics=_metrics(candidate.metrics),
    )


def _metrics(named: Sequence[tuple[str, float]]) -> list[Metric]:
    return [Metric(name=name, value=value) for name, value in named]


def reference_histograms(confidence: NDArray[np.float64], rows: Any) -> list[Histogram]:
    """Return the distributions that traffic can be compared with: of the confidence, and of numeric features.

    Args:
        confidence: (n_rows,), the confidence of all held-out rows.
        rows: the held-out rows, as the caller has them.
    """
    table = features(rows)
    numeric = table.select_dtypes("number").columns[:_MAX_FEATURES]
    scored = confidence[np.isfinite(confidence)]
    histograms = [
        Histogram(
            name="confidence", edges=confidence_bins.EDGES, counts=confidence_bins.counts(scored).tolist()
        )
    ]
    for name in numeric:
        values = table[name].to_numpy(dtype=np.float64)
        values = values[np.isfinite(values)]
        distinct = np.unique(np.quantile(values, _DECILES)) if len(values) else np.empty(0)
        if len(distinct) > 1:
            histograms.append(_histogram(str(name), values, distinct))
    return histograms


def _histogram(name: str, values: NDArray[np.float64], edges: NDArray[np.float64]) -> Histogram:
    """Count values; one on an edge belongs to the bin below it, one outside to the first or last bin."""
    bins = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    return Histogram(
        name=name, edges=edges.tolist(), counts=np.bincount(bins, minlength=len(edges) - 1).tolist()
    )
