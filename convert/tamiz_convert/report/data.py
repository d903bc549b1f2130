"""Evidence → the numbers of a report, as they stand in report.json."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final

import numpy as np

from tamiz.dtypes import name_of
from tamiz.v1.manifest_pb2 import Manifest
from tamiz_convert.evidence import Evidence
from tamiz_convert.report.calibration_data import calibration_data
from tamiz_convert.report.cost_data import cost_data
from tamiz_convert.report.gate_data import (
    confusion_data,
    curve_data,
    gate_data,
    histogram_data,
    slice_data,
    threshold_data,
    true_class_data,
)
from tamiz_convert.report.holds import Limit, judged
from tamiz_convert.report.promise import promise_data

REPORT_VERSION: Final = 1
"""The version of the keys of report.json (docs/report.md). Raise it when a key is removed or changes its
meaning; a new key does not raise it."""


def report_data(evidence: Evidence) -> dict[str, Any]:
    """Return all that a report shows; docs/report.md describes the keys.

    It holds only dicts, lists, text, finite numbers, booleans and None. The same evidence gives the same
    numbers: all random draws use the manifest's seed.
    """
    manifest, rows = evidence.manifest, evidence.certification
    promise, gate = promise_data(manifest), gate_data(rows)
    limits = Limit.of(promise["max_error"], gate)
    data = {
        "report_version": REPORT_VERSION,
        "model": _model(manifest) | {"version": evidence.version or None},
        "promise": promise,
        "gate": gate,
        "risk_coverage": curve_data(rows),
        "thresholds": threshold_data(rows, manifest),
        "attainable": [dataclasses.asdict(each) for each in evidence.attainable],
        "calibration": calibration_data(rows, manifest.calibrator, manifest.seed),
        "cost": cost_data(rows, evidence.cost),
        "confidence_histogram": histogram_data(rows),
        "confusion": confusion_data(rows),
        "slices": [judged(each, limits) for each in slice_data(rows, manifest)],
        "true_classes": judged(true_class_data(rows, manifest), limits),
        "checks": [dataclasses.asdict(each) for each in evidence.checks],
        "baselines": [dataclasses.asdict(each) for each in evidence.baselines],
        "parity": _parity(manifest),
        "latency": [dataclasses.asdict(each) for each in evidence.latency],
        "row_sets": [
            {
                "role": each.role,
                "n_rows": each.n_rows,
                "n_worth": each.worth or None,
                "digest": each.digest,
            }
            for each in manifest.row_sets
        ],
        "library_versions": dict(sorted(manifest.library_versions.items())),
        "notes": list(evidence.notes),
    }
    plain: dict[str, Any] = _plain(data)
    return plain


def _model(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "created_at": manifest.created_at.ToJsonString(),
        "estimator": manifest.estimator,
        "scores_kind": manifest.scores_kind,
        "classes": list(manifest.classes.integers or manifest.classes.strings),
        "inputs": [
            {
                "name": each.name,
                "dtype": name_of(each.dtype),
                "shape": list(each.shape),
                "column_names": list(each.column_names),
                "missing_values_allowed": each.missing_values_allowed,
            }
            for each in manifest.inputs
        ],
        "format_version": manifest.format_version,
        "graph_digest": manifest.graph_digest,
        "seed": manifest.seed,
    }


def _parity(manifest: Manifest) -> dict[str, Any]:
    parity = manifest.parity
    return {
        "n_rows": parity.n_rows,
        "batch_sizes": list(parity.batch_sizes),
        "max_probability_difference": parity.max_probability_difference,
        "probability_tolerance": parity.probability_tolerance,
        "label_flips": parity.label_flips,
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; a number that is not finite becomes None."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
