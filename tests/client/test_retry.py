"""When a failed call is made again."""

from __future__ import annotations

import pytest

from tamiz_client import CallFailed, RetryPolicy
from tamiz_client.errors import Fate
from tamiz_client.retry import Attempts


def pauses(policy: RetryPolicy, *fates: Fate, remaining_s: float = 60.0) -> list[float | None]:
    attempts = Attempts(policy)
    return [attempts.pause_s(CallFailed("no", "UNAVAILABLE", fate), remaining_s) for fate in fates]


def n_attempts(fate: Fate, policy: RetryPolicy) -> int:
    return 1 + pauses(policy, *[fate] * 200).index(None)


@pytest.mark.parametrize(
    ("fate", "expected"), [(Fate.ANSWERED, 1), (Fate.BROKEN, 2), (Fate.UNREACHED, 4), (Fate.NOT_TAKEN, 8)]
)
def test_what_became_of_a_call_decides_how_often_it_is_made(fate, expected):
    assert n_attempts(fate, RetryPolicy()) == expected
    assert n_attempts(fate, RetryPolicy(max_attempts=1)) == 1
    assert n_attempts(fate, RetryPolicy(max_attempts=3)) == min(3, expected)
    assert n_attempts(fate, RetryPolicy(max_attempts=100)) == (100 if fate is Fate.NOT_TAKEN else expected)


def test_a_connection_that_breaks_twice_ends_a_call_whatever_lies_between():
    between = [Fate.NOT_TAKEN, Fate.UNREACHED, Fate.NOT_TAKEN]
    told = pauses(RetryPolicy(), Fate.BROKEN, *between, Fate.BROKEN)
    assert told[-1] is None
    assert None not in told[:-1]


def test_pauses_grow_to_the_longest_and_differ_by_a_fifth():
    policy = RetryPolicy(max_attempts=9, initial_backoff_s=0.1, max_backoff_s=0.5)
    *grown, end = pauses(policy, *[Fate.NOT_TAKEN] * 9)
    assert end is None
    for pause_s, expected in zip(grown, [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5], strict=True):
        assert 0.8 * expected <= pause_s <= 1.2 * expected
    assert len(set(grown)) == len(grown)


def test_a_pause_that_the_time_out_does_not_allow_ends_the_call():
    assert pauses(RetryPolicy(), Fate.NOT_TAKEN, remaining_s=0.01) == [None]
