"""The metrics in every bundle."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tamiz_convert.metrics.calibration_error import classwise_ece, debiased_l2, ece, ece_equal_mass, mce
from tamiz_convert.metrics.losses import accuracy, brier, log_loss
from tamiz_convert.metrics.ranking import augrc, aurc, e_aurc
from tamiz_convert.metrics.spiegelhalter import spiegelhalter
from tamiz_convert.metrics.top_label import Array, Classes, Metric

METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "accuracy": accuracy,
        "log_loss": log_loss,
        "brier": brier,
        "ece_15": ece,
        "aurc": aurc,
        "ece_15_equal_mass": ece_equal_mass,
        "debiased_l2_15_equal_mass": debiased_l2,
        "mce_15": mce,
        "classwise_ece_15": classwise_ece,
        "e_aurc": e_aurc,
        "augrc": augrc,
        "spiegelhalter_z": lambda probabilities, y, weights=None: (
            spiegelhalter(probabilities, y, weights=weights).z
        ),
    }
)
"""Name → metric. A number in a name is its number of bins. Add new metrics at the end: manifests keep this
order."""


def summarize(probabilities: Array, y: Classes, *, weights: Array | None = None) -> list[tuple[str, float]]:
    """Return all metrics by name, in a fixed order."""
    return [(name, metric(probabilities, y, weights=weights)) for name, metric in METRICS.items()]
