"""How far the probabilities can be trusted, before the calibrator and with it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Calibrator
from tamiz_convert.evidence import ScoredRows
from tamiz_convert.metrics.bins import equal_mass
from tamiz_convert.metrics.bootstrap import bootstrap
from tamiz_convert.metrics.calibration_error import ece
from tamiz_convert.metrics.if_calibrated import if_calibrated
from tamiz_convert.metrics.reliability import ReliabilityDiagram, reliability_diagram
from tamiz_convert.metrics.spiegelhalter import spiegelhalter
from tamiz_convert.metrics.summary import METRICS, summarize

Array = NDArray[np.float64]

_BINS: Final = 10
_WITH_INTERVAL: Final = ("accuracy", "log_loss", "brier", "aurc", "augrc")
"""Metrics whose value does not depend on the number of rows. A calibration error is larger on few rows, and
its bootstrap interval can lie above its value, so it is compared with that of a perfectly calibrated model
instead."""
_MOST_RESAMPLES: Final = 200
_FEWEST_RESAMPLES: Final = 80
_CALIBRATION_ERRORS: Final = (
    "ece_15",
    "ece_15_equal_mass",
    "debiased_l2_15_equal_mass",
    "mce_15",
    "classwise_ece_15",
)
_FEW_RESAMPLES: Final = 40
"""A mean needs fewer than a quantile does."""
_WORK: Final = 40_000_000
"""The most probabilities that are resampled: 200 times 20,000 rows of 10 classes. More would take seconds."""


def calibration_data(rows: ScoredRows, calibrator: Calibrator, seed: int) -> dict[str, Any]:
    """Return what the certification rows say about the probabilities, and how the calibrator was chosen.

    Args:
        rows: the certification rows.
        calibrator: as in the manifest.
        seed: of the simulation of a calibrated model, and of the bootstrap.

    Returns:
        `n_rows` that have probabilities; `n_worth`, how many rows of equal weight they are worth (None: each
        counts once); `before` (None where the scores carry no probability) and `after`,
        each with `reliability`, `ece`, `spiegelhalter` and `metrics`; and `calibrator`.
    """
    usable = rows.scored
    before = rows.probabilities_before
    weights = None if rows.weights is None else rows.weights[usable]
    return {
        "n_rows": int(usable.sum()),
        "n_worth": None if weights is None else float(weights.sum()),
        "before": None if before is None else _quality(before[usable], rows.y[usable], weights, seed),
        "after": _quality(rows.probabilities[usable], rows.y[usable], weights, seed),
        "calibrator": _calibrator(calibrator),
    }


def _quality(
    probabilities: Array, y: NDArray[np.int64], weights: Array | None, seed: int
) -> dict[str, Any] | None:
    if len(y) == 0:
        return None
    test = spiegelhalter(probabilities, y, weights=weights)
    n_resamples = int(np.clip(_WORK / probabilities.size, _FEWEST_RESAMPLES, _MOST_RESAMPLES))
    calibrated = if_calibrated(probabilities, weights=weights, n_resamples=n_resamples, seed=seed)
    return {
        # With bins of equal width, most bins of a confident model would be empty.
        "reliability": _reliability(
            reliability_diagram(probabilities, y, _BINS, equal_mass, weights=weights)
        ),
        "ece": {
            "value": ece(probabilities, y, weights=weights),
            "calibrated_mean": calibrated.mean,
            "calibrated_q95": calibrated.quantile_95,
        },
        "spiegelhalter": {"z": test.z, "p_value": test.p_value},
        "metrics": _metrics(probabilities, y, weights, n_resamples, seed),
    }


def _reliability(diagram: ReliabilityDiagram) -> list[dict[str, Any]]:
    return [
        {
            "low": float(diagram.edges[i]),
            "high": float(diagram.edges[i + 1]),
            "n_rows": int(diagram.n_rows[i]),
            "mean_confidence": float(diagram.mean_confidence[i]),
            "accuracy": float(diagram.accuracy[i]),
            "accuracy_interval": [float(diagram.low[i]), float(diagram.high[i])],
        }
        for i in np.flatnonzero(diagram.n_rows)
    ]


def _metrics(
    probabilities: Array, y: NDArray[np.int64], weights: Array | None, n_resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Return every metric with an interval, or with what a calibrated model would show by chance."""
    resampled = {name: METRICS[name] for name in _WITH_INTERVAL}
    intervals = bootstrap(probabilities, y, resampled, weights=weights, n_resamples=n_resamples, seed=seed)
    by_chance = {
        name: if_calibrated(
            probabilities, METRICS[name], weights=weights, n_resamples=_FEW_RESAMPLES, seed=seed
        ).mean
        for name in _CALIBRATION_ERRORS
    }
    return [
        {
            "name": name,
            "value": value,
            "interval": [found.low, found.high] if (found := intervals.get(name)) else None,
            "calibrated_mean": by_chance.get(name),
        }
        for name, value in summarize(probabilities, y, weights=weights)
    ]


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
