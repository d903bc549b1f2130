"""A shadow's decisions against the live ones: every row is counted once, in the right category."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz.gate import NO_CLASS
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.serving.shadow_comparison import compare, compare_threshold
from tamiz_server.telemetry.shadow_counts import (
    NEITHER,
    ONLY_LIVE,
    ONLY_SHADOW,
    OTHER,
    OUTCOMES,
    SAME,
    Outcome,
)

LIVE, SHADOW = ("cat", "dog", "cow"), ("dog", "cat", "hen")


class Rows(NamedTuple):
    accepted: list[bool]
    class_index: list[int]
    confidence: list[float]
    reasons: list[int]


def rows(*decisions: int | None) -> Rows:
    """Each row's class, None where it abstained."""
    accepted = [each is not None for each in decisions]
    index = [NO_CLASS if each is None else each for each in decisions]
    reasons = [Reason.REASON_NONE if ok else Reason.REASON_LOW_CONFIDENCE for ok in accepted]
    return Rows(accepted, index, [0.9 if ok else 0.4 for ok in accepted], reasons)


def named(counts: tuple[int, ...]) -> dict[Outcome, int]:
    """Return the counts that are not 0."""
    return {outcome: n for outcome, n in zip(OUTCOMES, counts, strict=True) if n}


def test_labels_are_compared_and_not_their_places():
    live, shadow = rows(0, 1, 2, None, 0, None), rows(1, 1, 2, 0, None, None)
    assert named(compare(live, shadow, LIVE, SHADOW)) == {
        SAME: 1,
        OTHER: 2,
        ONLY_LIVE: 1,
        ONLY_SHADOW: 1,
        NEITHER: 1,
    }


def test_a_number_is_no_text():
    assert named(compare(rows(1), rows(1), (0, 1), ("0", "1"))) == {OTHER: 1}


@given(st.lists(st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(0, 2))))
def test_every_row_is_counted_once(pairs):
    live, shadow = rows(*(a for a, _ in pairs)), rows(*(b for _, b in pairs))
    counts = compare(live, shadow, LIVE, SHADOW)
    assert sum(counts) == len(pairs)
    assert named(counts).get(SAME, 0) == sum(
        a is not None and b is not None and LIVE[a] == SHADOW[b] for a, b in pairs
    )


def test_decisions_on_other_rows_are_not_compared():
    with pytest.raises(ValueError, match="shorter"):
        compare(rows(0, 1), rows(0), LIVE, SHADOW)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, {SAME: 2, ONLY_SHADOW: 1, NEITHER: 3}),
        (0.6, {SAME: 2, ONLY_SHADOW: 1, NEITHER: 3}),
        (0.8, {SAME: 2, NEITHER: 4}),
        (0.95, {SAME: 1, ONLY_LIVE: 1, NEITHER: 4}),
    ],
)
def test_another_threshold_accepts_what_reaches_it_and_could_be_accepted(threshold, expected):
    live = Rows(
        [True, True, False, False, False, False],
        [0, 1, *[NO_CLASS] * 4],
        [0.99, 0.8, 0.6, 0.4, 0.99, 0.0],
        [
            *[Reason.REASON_NONE] * 2,
            *[Reason.REASON_LOW_CONFIDENCE] * 2,
            Reason.REASON_INVALID_INPUT,
            Reason.REASON_INVALID_OUTPUT,
        ],
    )
    assert named(compare_threshold(live, threshold)) == expected
