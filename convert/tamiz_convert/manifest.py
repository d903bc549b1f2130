"""What a bundle says of itself, put together at export."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from typing import Any, Final

import numpy as np
import pandas as pd
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import (
    Calibrator as CalibratorMessage,
)
from tamiz.v1.manifest_pb2 import (
    Classes,
    Histogram,
    Metric,
    Parameter,
    RowSet,
)
from tamiz_convert.calibrators import Calibrator
from tamiz_convert.rows import LabeledRows, digest
from tamiz_convert.score_graph import Labels

CONFIDENCE_BINS: Final = 20

_LIBRARIES: Final = ("tamiz", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy")
_MAX_FEATURES: Final = 100
_DECILES: Final = np.linspace(0.0, 1.0, 11)


def library_versions() -> dict[str, str]:
    """Return the versions of what takes part in an export."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version()} | versions


def created_at() -> Timestamp:
    """Return the time of the export; SOURCE_DATE_EPOCH, if set, takes its place (reproducible-builds.org)."""
    return Timestamp(seconds=int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))


def class_message(classes: Labels) -> Classes:
    """Return the classes in their own type."""
    if classes.dtype.kind == "U":
        return Classes(strings=classes.tolist())
    return Classes(integers=classes.tolist())


def calibrator_message(
    calibrator: Calibrator,
    n_rows: int,
    before: list[tuple[str, float]],
    after: list[tuple[str, float]],
) -> CalibratorMessage:
    """Return a fitted calibrator with the metrics before it and with it."""
    return CalibratorMessage(
        method=calibrator.method,
        parameters=[Parameter(name=name, values=values) for name, values in calibrator.parameters()],
        n_rows=n_rows,
        metrics_before=[Metric(name=name, value=value) for name, value in before],
        metrics_after=[Metric(name=name, value=value) for name, value in after],
    )


def row_set(role: str, rows: LabeledRows) -> RowSet:
    """Return which rows were used for something."""
    return RowSet(role=role, n_rows=len(rows), digest=digest(rows))


def reference_histograms(confidence: NDArray[np.float64], rows: Any) -> list[Histogram]:
    """Return the distributions that traffic can be compared with: of the confidence, and of numeric features.

    Args:
        confidence: (n_rows,), of all held-out rows.
        rows: (n_rows, n_features), the held-out rows, ndarray or DataFrame.
    """
    edges = np.linspace(0.0, 1.0, CONFIDENCE_BINS + 1)
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
    numeric = table.select_dtypes("number").columns[:_MAX_FEATURES]
    histograms = [_histogram("confidence", confidence[np.isfinite(confidence)], edges)]
    for name in numeric:
        values = table[name].to_numpy(dtype=np.float64)
        values = values[np.isfinite(values)]
        distinct = np.unique(np.quantile(values, _DECILES)) if len(values) else np.empty(0)
        if len(distinct) > 1:
            histograms.append(_histogram(str(name), values, distinct))
    return histograms


def _histogram(name: str, values: NDArray[np.float64], edges: NDArray[np.float64]) -> Histogram:
    """Count values into bins; one on an edge belongs to the bin below, one outside to the first or the last."""
    bins = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    return Histogram(
        name=name, edges=edges.tolist(), counts=np.bincount(bins, minlength=len(edges) - 1).tolist()
    )
