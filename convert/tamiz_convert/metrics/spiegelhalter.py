"""A test of calibration without bins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tamiz_convert.metrics.top_label import Array, Classes


@dataclass(frozen=True)
class CalibrationTest:
    """A test of whether the labels could come from the probabilities.

    Attributes:
        z: how many standard deviations the Brier score is above its mean under calibration. Above 0 the model
            is overconfident, below 0 underconfident.
        p_value: two-sided; a small value is evidence against calibration.
    """

    z: float
    p_value: float


def spiegelhalter(probabilities: Array, y: Classes, *, weights: Array | None = None) -> CalibrationTest:
    """Test the Brier score against its mean and variance under calibration (Spiegelhalter 1986).

    If labels are drawn from p, a row's score has the mean 1 − Σ p² and the variance 4 (Σ p³ − (Σ p²)²). For
    two classes this is his statistic. If the variance is 0 (all probabilities are 0 and 1, or all are equal),
    z is 0 if the score is as expected, else infinite. A probability that is NaN makes both NaN. Weights count
    rows, so they should add up to as many rows as they are worth (`tamiz_convert.rows.weights`).
    """
    if np.isnan(probabilities).any():
        return CalibrationTest(math.nan, math.nan)
    square = (probabilities**2).sum(axis=1)
    right = probabilities[np.arange(len(y)), y]
    times = np.ones(len(y)) if weights is None else weights
    excess = float((times * 2.0 * (square - right)).sum())
    variance = float((times * (4.0 * ((probabilities**3).sum(axis=1) - square**2)).clip(0.0)).sum())
    rounding = np.finfo(np.float64).eps * times.sum()
    if variance <= rounding:
        z = 0.0 if abs(excess) <= rounding else float(np.copysign(np.inf, excess))
    else:
        z = excess / float(np.sqrt(variance))
    return CalibrationTest(z, float(2.0 * norm.sf(abs(z))))
