"""The model and its rivals on the same rows: the bundle in production, and simpler rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import NO_CLASS
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.checks.baselines import column_baseline
from tamiz_convert.checks.context import Context, count
from tamiz_convert.checks.differences import GainAtLeast, LossAtMost, RiseAtMost
from tamiz_convert.checks.finding import Claimed, Finding, Heading
from tamiz_convert.checks.sections import BaselineCheck, ComparisonCheck
from tamiz_convert.errors import BundleError, RowsError, SpecificationError, did_you_mean


def check_comparison(check: ComparisonCheck, where: str, context: Context) -> Iterator[Finding]:
    """Bound what gets worse against the bundle in production, over all rows and in every slice.

    The loss of accuracy is paired (`LossAtMost`). The rise of the error among accepted rows is not: the two
    models accept different rows, and each is bounded on its own (`RiseAtMost`).
    """
    path = context.folder / check.compare_to
    try:
        other = Subject.read(path)
        answers = other.predict(context.table.rows)
    except (BundleError, RowsError) as error:
        raise SpecificationError(f"{where}.compare_to: {error}") from None
    other_right = _translated(answers.predicted, other, context.subject, where) == context.y
    heading = check.heading("comparison", f"{check.metric} against production", context.on_inconclusive)
    slices = [*context.table.slices((), where)]
    if check.every_slice and check.by:
        slices += context.table.slices(check.by, f"{where}.by")
    for name, rows in slices:
        part = replace(heading, name=f"{heading.name}, {name}")
        if check.metric == "accuracy":
            yield _loss(part, context.right, other_right, rows, check)
        else:
            yield _rise(part, context, answers, other_right, rows, check)


def check_baseline(check: BaselineCheck, where: str, context: Context) -> Iterator[Finding]:
    """Bound the gain over a simpler rule from below; paired (`GainAtLeast`)."""
    if check.column is not None:
        predicted = column_baseline(context.table.column(check.column, where), context.subject.classes, where)
    else:
        predicted = _known(context, check.against or "", where)
    name = f"against {check.against or f'column {check.column}'}"
    right, rule_right = context.right, predicted == context.y
    claim = GainAtLeast(count(right & ~rule_right), count(rule_right & ~right), len(right), check.min_gain)
    heading = check.heading("baseline", name, context.on_inconclusive)
    yield Claimed(heading, "gain of accuracy", "at least", claim)


def _loss(
    heading: Heading,
    right: NDArray[np.bool_],
    other_right: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    check: ComparisonCheck,
) -> Claimed:
    lost, won = count(rows & other_right & ~right), count(rows & right & ~other_right)
    claim = LossAtMost(lost, won, count(rows), check.max_regression)
    return Claimed(heading, "loss of accuracy", "at most", claim, check.min_n)


def _rise(
    heading: Heading,
    context: Context,
    other: Answers,
    other_right: NDArray[np.bool_],
    rows: NDArray[np.bool_],
    check: ComparisonCheck,
) -> Claimed:
    accepted, other_accepted = rows & context.answers.accepted, rows & other.accepted
    claim = RiseAtMost(
        count(accepted & ~context.right),
        count(accepted),
        count(other_accepted & ~other_right),
        count(other_accepted),
        check.max_regression,
    )
    return Claimed(heading, "rise of the error among accepted rows", "at most", claim, check.min_n)


def _translated(
    predicted: NDArray[np.int64], other: Subject, subject: Subject, where: str
) -> NDArray[np.int64]:
    """Return predictions of another bundle as indices into the subject's classes."""
    ours, theirs = subject.classes.tolist(), other.classes.tolist()
    if set(ours) != set(theirs):
        raise SpecificationError(
            f"{where}.compare_to: that bundle has the classes {', '.join(map(repr, theirs))}, this one"
            f" {', '.join(map(repr, ours))}; only bundles with the same classes can be compared"
        )
    position = np.array([*(ours.index(label) for label in theirs), NO_CLASS])
    return np.asarray(position.take(predicted, mode="clip"))  # NO_CLASS points beyond the end, at NO_CLASS


def _known(context: Context, name: str, where: str) -> NDArray[np.int64]:
    if name not in context.baselines:
        known = list(context.baselines)
        raise SpecificationError(
            f"{where}.against: there is no rule {name!r}{did_you_mean(name, known)}; known rules are"
            f" {', '.join(known)}"
        )
    return context.baselines[name]
