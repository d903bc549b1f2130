"""Limits of what is measured on the graph itself: agreement with the estimator, and time."""

from __future__ import annotations

from collections.abc import Iterator

from tamiz_convert.checks.context import Context
from tamiz_convert.checks.finding import Decided, Finding
from tamiz_convert.checks.sections import LatencyCheck, ParityCheck
from tamiz_convert.report.formats import plural, quantity


def check_parity_limits(check: ParityCheck, where: str, context: Context) -> Iterator[Finding]:  # noqa: ARG001  one signature for all
    """Compare the agreement that the export measured with the limits of the specification."""
    parity = context.subject.manifest.parity
    heading = check.heading("parity", "parity", context.on_inconclusive)
    difference = parity.max_probability_difference
    yield Decided(
        heading.part("probabilities"),
        difference <= check.max_abs_prob,
        parity.n_rows,
        f"the largest difference of a probability is {quantity(difference)}; at most"
        f" {quantity(check.max_abs_prob)} is allowed",
        observed=difference,
        limit=check.max_abs_prob,
    )
    yield Decided(
        heading.part("labels"),
        parity.label_flips <= check.label_flips,
        parity.n_rows,
        f"{plural(parity.label_flips, 'label differs', 'labels differ')}; at most {check.label_flips:,} may",
        observed=float(parity.label_flips),
        limit=float(check.label_flips),
    )


def check_latency(check: LatencyCheck, where: str, context: Context) -> Iterator[Finding]:  # noqa: ARG001  one signature for all
    """Compare the median time of a batch with its limit."""
    heading = check.heading("latency", "latency", context.on_inconclusive)
    for n_rows, limit in ((1, check.max_us_1_row), (64, check.max_us_64_rows)):
        if limit is not None:
            median = context.subject.median_us(context.table.rows, n_rows)
            yield Decided(
                heading.part(plural(n_rows, "row")),
                median <= limit,
                n_rows,
                f"the median time of a batch is {quantity(median)} µs; at most {quantity(limit)} µs is"
                " allowed",
                observed=median,
                limit=limit,
            )
