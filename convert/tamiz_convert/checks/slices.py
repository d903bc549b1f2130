"""Rates in every slice, and over all rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.checks.claims import AtLeast, AtMost
from tamiz_convert.checks.context import Context, count
from tamiz_convert.checks.finding import Claimed, Finding, Heading
from tamiz_convert.checks.sections import SelectiveCheck, SliceCheck, TrueClassCheck
from tamiz_convert.errors import SpecificationError, did_you_mean

_QUANTITIES = {"accuracy": "accuracy", "coverage": "coverage", "selective_risk": "error among accepted rows"}


def check_slices(check: SliceCheck, where: str, context: Context) -> Iterator[Finding]:
    """Compare a rate with its limit in every slice."""
    for name, rows in context.table.slices(check.by, f"{where}.by"):
        heading = check.heading("slices", check.metric, context.on_inconclusive)
        limit = check.max_upper_bound if check.metric == "selective_risk" else check.min_lower_bound
        yield _rate(
            replace(heading, name=f"{heading.name}, {name}"),
            check.metric,
            limit or 0.0,
            rows,
            context,
            check.min_n,
        )


def check_true_class(check: TrueClassCheck, where: str, context: Context) -> Iterator[Finding]:
    """Compare a rate with its limit among the rows that truly belong to a class, for each class."""
    classes: list[str | int] = context.subject.classes.tolist()
    unknown = [each for each in check.classes if each not in classes]
    if unknown:
        names = [str(each) for each in classes]
        raise SpecificationError(
            f"{where}.classes: there is no class {unknown[0]!r}{did_you_mean(str(unknown[0]), names)}; the"
            f" classes are {', '.join(map(repr, classes))}"
        )
    limit = check.max_upper_bound if check.metric == "selective_risk" else check.min_lower_bound
    for label in check.classes or classes:
        heading = check.heading("true_class", check.metric, context.on_inconclusive)
        yield _rate(
            replace(heading, name=f"{heading.name}, true class = {label}"),
            check.metric,
            limit or 0.0,
            context.y == classes.index(label),
            context,
            check.min_n,
        )


def check_selective(check: SelectiveCheck, where: str, context: Context) -> Iterator[Finding]:  # noqa: ARG001  one signature for all
    """Compare coverage and selective risk of all rows with their limits."""
    rows = np.ones(len(context.y), dtype=bool)
    limits = {"coverage": check.min_coverage, "selective_risk": check.max_selective_risk}
    for metric, limit in limits.items():
        if limit is not None:
            heading = check.heading("selective", "gate", context.on_inconclusive)
            yield _rate(heading.part(_QUANTITIES[metric]), metric, limit, rows, context, 1)


def _rate(
    heading: Heading, metric: str, limit: float, rows: NDArray[np.bool_], context: Context, min_n: int
) -> Claimed:
    accepted = rows & context.answers.accepted
    if metric == "selective_risk":
        claim = AtMost(count(accepted & ~context.right), count(accepted), limit)
        return Claimed(heading, _QUANTITIES[metric], "at most", claim, min_n)
    hits = accepted if metric == "coverage" else rows & context.right
    return Claimed(heading, _QUANTITIES[metric], "at least", AtLeast(count(hits), count(rows), limit), min_n)
