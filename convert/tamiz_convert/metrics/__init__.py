"""Metrics of probabilities: proper scores, calibration, and ranking by confidence.

Every metric is a pure function of `probabilities`, (n_rows, n_classes), float64, whose rows sum to 1, and
`y`, (n_rows,), int64, the index of each row's class. There is at least one row.
"""

from __future__ import annotations

from tamiz_convert.metrics.bins import equal_mass, equal_width
from tamiz_convert.metrics.bootstrap import Interval, bootstrap
from tamiz_convert.metrics.calibration_error import (
    classwise_ece,
    debiased_l2,
    ece,
    ece_equal_mass,
    mce,
)
from tamiz_convert.metrics.if_calibrated import IfCalibrated, if_calibrated
from tamiz_convert.metrics.losses import accuracy, brier, log_loss
from tamiz_convert.metrics.paired import PairedDifference, aurc_difference
from tamiz_convert.metrics.ranking import (
    RiskCoverageCurve,
    augrc,
    aurc,
    e_aurc,
    risk_coverage_curve,
)
from tamiz_convert.metrics.reliability import ReliabilityDiagram, reliability_diagram
from tamiz_convert.metrics.spiegelhalter import CalibrationTest, spiegelhalter
from tamiz_convert.metrics.summary import METRICS, summarize
from tamiz_convert.metrics.top_label import Array, Classes, Metric

__all__ = [
    "METRICS",
    "Array",
    "CalibrationTest",
    "Classes",
    "IfCalibrated",
    "Interval",
    "Metric",
    "PairedDifference",
    "ReliabilityDiagram",
    "RiskCoverageCurve",
    "accuracy",
    "augrc",
    "aurc",
    "aurc_difference",
    "bootstrap",
    "brier",
    "classwise_ece",
    "debiased_l2",
    "e_aurc",
    "ece",
    "ece_equal_mass",
    "equal_mass",
    "equal_width",
    "if_calibrated",
    "log_loss",
    "mce",
    "reliability_diagram",
    "risk_coverage_curve",
    "spiegelhalter",
    "summarize",
]
