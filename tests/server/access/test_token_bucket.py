"""How much may be taken per second, with a clock that the test owns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_server.access.token_bucket import TokenBucket

RATES = st.floats(0.1, 1e5)
STEPS = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 500)), max_size=60)


def test_a_full_bucket_gives_one_second_s_worth_and_then_says_when_there_is_more():
    bucket = TokenBucket(10, now_s=100.0)
    assert [bucket.take(1, 100.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(1, 100.0) == pytest.approx(0.1)
    assert bucket.take(1, 100.05) == pytest.approx(0.05)
    assert bucket.take(1, 100.11) == 0.0


def test_a_request_larger_than_the_bucket_gets_through_and_is_paid_for_afterwards():
    bucket = TokenBucket(10, now_s=0.0)
    assert bucket.take(50, 0.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(4.1)
    assert bucket.take(1, 4.0) == pytest.approx(0.1)
    assert bucket.take(1, 4.11) == 0.0


def test_less_than_one_per_second_is_still_one_at_a_time():
    bucket = TokenBucket(0.5, now_s=0.0)
    assert bucket.take(1, 0.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(2.0)


def test_a_clock_that_goes_back_gives_nothing():
    bucket = TokenBucket(1, now_s=100.0)
    assert bucket.take(1, 100.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(1.0)
    assert bucket.take(1, 100.0) == pytest.approx(1.0)


@given(RATES, STEPS)
def test_no_stretch_of_time_sees_more_than_rate_and_capacity_allow(rate, steps):
    bucket = TokenBucket(rate, 0.0)
    capacity = max(rate, 1.0)
    now_s, taken = 0.0, []
    for pause_s, amount in steps:
        now_s += pause_s
        if bucket.take(amount, now_s) == 0:
            taken.append((now_s, amount))
    for first in range(len(taken)):
        total = 0.0
        for when_s, amount in taken[first:]:
            total += amount
            excess = max([0.0, *(each - capacity for _, each in taken[first:])])
            allowed = capacity + rate * (when_s - taken[first][0]) + excess
            assert total <= allowed * (1 + 1e-9) + 1e-6


@given(RATES, STEPS, st.integers(0, 500))
def test_who_waits_as_long_as_told_gets_it_and_who_comes_earlier_does_not(rate, steps, amount):
    bucket = TokenBucket(rate, 0.0)
    now_s = 0.0
    for pause_s, each in steps:
        now_s += pause_s
        bucket.take(each, now_s)
    wait_s = bucket.take(amount, now_s)
    if wait_s > 1e-3:
        assert bucket.take(amount, now_s + wait_s * 0.999) > 0
        assert bucket.take(amount, now_s + wait_s * 1.001) == 0
