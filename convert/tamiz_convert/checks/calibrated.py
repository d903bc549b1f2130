"""Whether the probabilities are calibrated, as far as rows can refute it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tamiz_convert.checks.changes import mean_and_p_value
from tamiz_convert.checks.context import Context
from tamiz_convert.checks.finding import Decided, Finding, Heading
from tamiz_convert.checks.sections import CalibrationCheck, EceLimit
from tamiz_convert.errors import SpecificationError
from tamiz_convert.metrics.calibration_error import ece, ece_equal_mass
from tamiz_convert.metrics.if_calibrated import if_calibrated
from tamiz_convert.metrics.losses import log_losses
from tamiz_convert.metrics.spiegelhalter import spiegelhalter
from tamiz_convert.metrics.top_label import Array, Classes


def check_calibration(check: CalibrationCheck, where: str, context: Context) -> Iterator[Finding]:
    """Try to refute the probabilities.

    Each test fails below its own `min_p`. These claims can be refuted but not proven, so the correction for
    many claims does not count them.
    """
    heading = check.heading("calibration", "calibration", context.on_inconclusive)
    rows = context.scored
    if not rows.any():
        yield Decided(
            heading, passed=False, n_rows=0, message="no row has probabilities, so nothing could be tested"
        )
        return
    probabilities, y = context.answers.probabilities[rows], context.y[rows]
    yield _spiegelhalter(heading.part("Spiegelhalter's test"), probabilities, y, check.min_p)
    if check.ece is not None:
        yield _ece(heading.part("expected error (ECE)"), probabilities, y, check.ece, context.seed)
    if check.log_loss_not_worse_than is not None:
        before = context.subject.uncalibrated(context.table.rows)
        if before is None:
            raise SpecificationError(
                f"{where}.log_loss_not_worse_than: this estimator has no probabilities of its own; remove"
                " the key"
            )
        yield _log_loss(heading.part("log loss"), probabilities, before[rows], y, check.min_p)


def _spiegelhalter(heading: Heading, probabilities: Array, y: Classes, min_p: float) -> Decided:
    test = spiegelhalter(probabilities, y)
    way = "too sure" if test.z > 0 else "not sure enough"
    return Decided(
        heading,
        test.p_value >= min_p,
        len(y),
        f"z = {test.z:+.2f} ({way}), p = {test.p_value:.3g}; fails below p = {min_p:g}",
        observed=test.p_value,
        limit=min_p,
        p_value=test.p_value,
    )


def _ece(heading: Heading, probabilities: Array, y: Classes, limit: EceLimit, seed: int) -> Decided:
    metric = ece if limit.strategy == "equal_width" else ece_equal_mass

    def error(p: Array, labels: Classes) -> float:
        return metric(p, labels, limit.bins)

    found = error(probabilities, y)
    null = if_calibrated(probabilities, error, seed=seed).quantile_95
    allowed = null + limit.max_excess_over_null_q95
    return Decided(
        heading,
        found <= allowed,
        len(y),
        f"the calibration error is {found:.4f}; a perfectly calibrated model stays below {null:.4f} in 95%"
        f" of such samples, and {limit.max_excess_over_null_q95:g} more is allowed",
        observed=found,
        limit=allowed,
    )


def _log_loss(heading: Heading, after: Array, before: Array, y: Classes, min_p: float) -> Decided:
    """Fail if the calibrator makes the log loss worse, beyond chance: a one-sided paired t-test."""
    worse = log_losses(after, y) - log_losses(before, y)
    mean, p_value = mean_and_p_value(worse)
    return Decided(
        heading,
        p_value >= min_p,
        len(y),
        f"the log loss is {np.mean(log_losses(after, y)):.4f}, and {np.mean(log_losses(before, y)):.4f}"
        f" without the calibrator; p = {p_value:.3g} if the calibrator does no harm, fails below p ="
        f" {min_p:g}",
        observed=mean,
        limit=0.0,
        p_value=p_value,
    )
