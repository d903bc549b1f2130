"""How far the probabilities can be believed, before the calibrator and with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Calibrator
from tamiz_convert.evidence import ScoredRows
from tamiz_convert.metrics import ece
from tamiz_convert.report.measures import bootstrap, null_ece, reliability_bins


def calibration_data(rows: ScoredRows, calibrator: Calibrator, seed: int) -> dict[str, Any]:
    """Return what the certification rows say of the probabilities, and how the calibrator was chosen.

    Args:
        rows: the certification rows.
        calibrator: as in the manifest.
        seed: of the simulation of a calibrated model, and of the bootstrap.

    Returns:
        `n_rows` whose probabilities are numbers; `before` (None where the scores carry no probability) and `after`, each with
        `reliability`, `ece` and `metrics`; and `calibrator`.
    """
    usable = np.isfinite(rows.probabilities).all(axis=1)
    before = rows.probabilities_before
    return {
        "n_rows": int(usable.sum()),
        "before": None if before is None else _quality(before[usable], rows.y[usable], seed),
        "after": _quality(rows.probabilities[usable], rows.y[usable], seed),
        "calibrator": _calibrator(calibrator),
    }


def _quality(probabilities: NDArray[np.float64], y: NDArray[np.int64], seed: int) -> dict[str, Any] | None:
    if len(y) == 0:
        return None
    mean, limit = null_ece(probabilities, seed)
    return {
        "reliability": [
            {
                "low": low,
                "high": high,
                "n_rows": n,
                "mean_confidence": confidence,
                "accuracy": right,
                "accuracy_interval": bounds,
            }
            for low, high, n, confidence, right, bounds in reliability_bins(probabilities, y)
        ],
        "ece": {"value": ece(probabilities, y), "calibrated_mean": mean, "calibrated_q95": limit},
        "metrics": [
            {"name": name, "value": value, "interval": bounds}
            for name, value, bounds in bootstrap(probabilities, y, seed)
        ],
    }


def _calibrator(calibrator: Calibrator) -> dict[str, Any]:
    return {
        "method": calibrator.method,
        "n_rows": calibrator.n_rows,
        "reason": calibrator.reason or None,
        "parameters": {each.name: list(each.values) for each in calibrator.parameters},
        "candidates": [
            {
                "method": each.method,
                "chosen": each.chosen,
                "status": each.status,
                "metrics": {metric.name: metric.value for metric in each.metrics},
            }
            for each in calibrator.candidates
        ],
    }
