"""Answers before and after a change of the rows: labels that change, and rows that are no longer accepted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import t as student

from tamiz.gate import NO_CLASS
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.checks.betting import MeanAtMost
from tamiz_convert.checks.claims import AtMost
from tamiz_convert.checks.context import count
from tamiz_convert.checks.finding import Claimed, Finding, Heading
from tamiz_convert.metrics.top_label import Array


def label_flips(
    heading: Heading, before: Answers, after: Sequence[Answers], limit: float
) -> Iterator[Finding]:
    """Bound the share of rows whose label changes in any of the repeats.

    Over all rows, a label counts as changed if both labels exist and differ, whatever the gate says. Over
    accepted rows, it counts if both labels were answered and differ. Rows that are answered before and
    abstain after are a finding of their own, which only warns.

    Args:
        heading: of the check.
        before: what was answered for the rows as they are.
        after: what was answered for the changed rows, one entry per repeat.
        limit: the largest share.
    """
    has_label = before.predicted != NO_CLASS
    flipped, answered_other, abstained = (np.zeros(len(has_label), dtype=bool) for _ in range(3))
    for each in after:
        differs = has_label & (each.predicted != NO_CLASS) & (each.predicted != before.predicted)
        flipped |= differs
        answered_other |= differs & before.accepted & each.accepted
        abstained |= before.accepted & ~each.accepted
    n_accepted = count(before.accepted)
    quantity = "share of changed labels"
    yield Claimed(
        heading.part("all rows"), quantity, "at most", AtMost(count(flipped), count(has_label), limit)
    )
    yield Claimed(
        heading.part("accepted rows"), quantity, "at most", AtMost(count(answered_other), n_accepted, limit)
    )
    yield Claimed(
        heading.part("accepted, then abstained", "warn"),  # an abstention is not a wrong answer
        "share of accepted rows that abstain after the change",
        "at most",
        AtMost(count(abstained), n_accepted, limit),
    )


def probability_changes(
    heading: Heading, before: Answers, after: Answers, limit: float, random: np.random.Generator
) -> Iterator[Finding]:
    """Bound the mean absolute change of the probability of the class that was predicted before.

    Args:
        heading: of the check.
        before: what was answered for the rows as they are.
        after: what was answered for the changed rows.
        limit: the largest mean.
        random: shuffles the rows, because their order must say nothing about them.
    """
    scored = (before.predicted != NO_CLASS) & (after.predicted != NO_CLASS)
    at = np.arange(len(scored)), np.where(scored, before.predicted, 0)
    change = np.abs(after.probabilities[at] - before.probabilities[at])
    for name, rows in (("all rows", scored), ("accepted rows", scored & before.accepted)):
        values = random.permutation(np.clip(change[rows], 0.0, 1.0))
        yield Claimed(
            heading.part(f"probability, {name}"),
            "mean change of the probability",
            "at most",
            MeanAtMost(values, limit),
        )


def mean_and_p_value(changes: Array, tolerance: float = 0.0) -> tuple[float, float]:
    """Return the mean of changes, and the p-value of a one-sided t-test that it is at most `tolerance`."""
    mean = float(changes.mean()) if len(changes) else 0.0
    error = float(changes.std(ddof=1)) / math.sqrt(len(changes)) if len(changes) > 1 else 0.0
    if error > 0.0:
        return mean, float(student.sf((mean - tolerance) / error, len(changes) - 1))
    return mean, float(mean <= tolerance)
