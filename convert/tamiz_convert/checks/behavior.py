"""How a model reacts to changed rows: invariance, perturbation, direction (Ribeiro et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from tamiz.gate import NO_CLASS
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.checks.changes import label_flips, mean_and_p_value, probability_changes
from tamiz_convert.checks.claims import AtMost
from tamiz_convert.checks.context import Context, count
from tamiz_convert.checks.finding import Claimed, Decided, Finding, Heading
from tamiz_convert.checks.sections import ChangeCheck, DirectionalCheck, InvarianceCheck, PerturbationCheck
from tamiz_convert.errors import SpecificationError, did_you_mean
from tamiz_convert.report.formats import quantity

CONFIDENCE_TOLERANCE: Final = 1e-3
"""A smaller rise of the mean confidence does not count."""
_MIN_P: Final = 0.01


def check_invariance(check: InvarianceCheck, where: str, context: Context) -> Iterator[Finding]:
    """Bound how often a meaningless change changes the label, and how far it moves probabilities."""
    heading = check.heading("invariance", check.described, context.on_inconclusive)
    after = _answers(check, where, context, 1)
    yield from label_flips(heading, context.answers, after, check.max_label_flip_rate_ub)
    if check.max_mean_abs_dp is not None:
        order = context.random(f"{where}.order")
        yield from probability_changes(heading, context.answers, after[0], check.max_mean_abs_dp, order)


def check_perturbation(check: PerturbationCheck, where: str, context: Context) -> Iterator[Finding]:
    """Bound how often noise changes the label; noise must not make the model surer."""
    heading = check.heading("perturbation", check.described, context.on_inconclusive)
    after = _answers(check, where, context, check.repeats)
    yield from label_flips(heading, context.answers, after, check.max_label_flip_rate_ub)
    if check.must_not_raise_confidence:
        yield _confidence(heading.part("confidence"), context.answers, after)


def check_directional(check: DirectionalCheck, where: str, context: Context) -> Iterator[Finding]:
    """Bound how often a change moves the probability of a class the wrong way."""
    heading = check.heading("directional", check.described, context.on_inconclusive)
    column = _class_index(check.target, f"{where}.target", context)
    before = context.answers
    (after,) = _answers(check, where, context, 1)
    moved = after.probabilities[:, column] - before.probabilities[:, column]
    violated = (moved if check.direction == "decrease" else -moved) > check.tolerance
    scored = context.scored & (after.predicted != NO_CLASS)
    for name, rows in (("all rows", scored), ("accepted rows", scored & before.accepted)):
        claim = AtMost(count(violated & rows), count(rows), check.max_violation_rate_ub)
        yield Claimed(
            heading.part(name),
            f"share of rows where the probability of {check.target!r} does not {check.direction}",
            "at most",
            claim,
        )


def _answers(check: ChangeCheck, where: str, context: Context, repeats: int) -> list[Answers]:
    random = context.random(where)
    return [
        context.subject.predict(check.transform.apply(context.table, check.columns, random, where).rows)
        for _ in range(repeats)
    ]


def _confidence(heading: Heading, before: Answers, after: Sequence[Answers]) -> Decided:
    """Fail if a one-sided t-test shows that the mean confidence rises by more than the tolerance."""
    scored = np.logical_and.reduce([each.predicted != NO_CLASS for each in (before, *after)])
    rise = np.mean([each.confidence for each in after], axis=0)[scored] - before.confidence[scored]
    mean, p_value = mean_and_p_value(rise, CONFIDENCE_TOLERANCE)
    return Decided(
        heading,
        p_value >= _MIN_P,
        len(rise),
        f"the mean confidence {'rises' if mean > 0 else 'falls'} by {quantity(abs(mean))}; it may not rise"
        f" by more than {CONFIDENCE_TOLERANCE:g}",
        observed=mean,
        limit=CONFIDENCE_TOLERANCE,
        p_value=p_value,
    )


def _class_index(target: str | int, where: str, context: Context) -> int:
    classes: list[str | int] = context.subject.classes.tolist()
    if target not in classes:
        names = [str(each) for each in classes]
        raise SpecificationError(
            f"{where}: there is no class {target!r}{did_you_mean(str(target), names)}; the classes are"
            f" {', '.join(map(repr, classes))}"
        )
    return classes.index(target)
