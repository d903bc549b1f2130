"""Which requests are refused because earlier ones take too long, on a virtual clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiz_server.engine.batching import BatchQueue
from tamiz_server.engine.request import Request
from tamiz_server.engine.shedding import CALM_AFTER_S, REQUESTS_AHEAD, Shedding
from tamiz_server.errors import QueueFull

BATCH = 64


def make_shedding(
    *, max_wait_s: float = 0.0, batch_s: float = 0.01, max_queue_size: int = 16_384
) -> Shedding:
    return Shedding(
        max_batch_size=BATCH, max_queue_size=max_queue_size, max_wait_s=max_wait_s, batch_s=batch_s
    )


def make_queue(*, max_queue_delay_s: float = 0.0, **options: float) -> BatchQueue:
    return BatchQueue(
        max_batch_size=BATCH,
        max_queue_delay_s=max_queue_delay_s,
        max_queue_size=16_384,
        shedding=make_shedding(**options),
    )


def offer(queue: BatchQueue, n_rows: int, now_s: float, **options: object) -> Request | None:
    """Append a request; return it, or None if it was refused."""
    request = Request({}, n_rows, **options)
    try:
        queue.append(request, now_s)
    except QueueFull:
        return None
    return request


def test_a_burst_of_2000_rows_is_taken_in_by_a_calm_queue():
    queue = make_queue()
    assert all(offer(queue, 1, 0.0) for _ in range(2_000))


def test_a_few_large_requests_are_never_too_many():
    queue = make_queue()
    assert all(offer(queue, 1_000, 0.0) for _ in range(16))


def test_streams_and_requests_of_low_priority_are_neither_refused_nor_counted():
    queue = make_queue()
    assert all(offer(queue, 64, 0.0, held_back=True) for _ in range(100))
    assert all(offer(queue, 64, 0.0, low_priority=True) for _ in range(100))
    assert offer(queue, 1, 0.0)


def test_after_the_first_refusal_no_more_than_four_batches_wait_until_it_is_calm():
    queue = make_queue(batch_s=0.01)
    while offer(queue, 1, 0.0):
        pass
    assert queue.n_rows == 2_048
    while queue.n_rows > 100:
        queue.take(0.1)
    while offer(queue, 1, 0.5):
        pass
    assert queue.n_rows == 4 * BATCH
    while queue.n_rows > 100:
        queue.take(0.6)
    calm_s = 0.5 + CALM_AFTER_S
    assert all(offer(queue, 1, calm_s) for _ in range(500))


def test_a_burst_on_a_very_slow_model_is_bounded_in_time():
    queue = make_queue(batch_s=0.1)
    while offer(queue, 1, 0.0):
        pass
    assert queue.n_rows == pytest.approx(5 * BATCH, abs=1)


def test_a_bound_in_time_follows_what_was_measured():
    shedding = make_shedding(max_wait_s=0.1, batch_s=0.01)
    assert shedding.refuses(10_000, 0.0)
    assert not shedding.refuses(10 * BATCH - 1, 0.0)
    assert shedding.refuses(10 * BATCH + 1, 0.0)
    for step in range(200):
        shedding.taken(BATCH, 1_000, step * 0.02)  # twice as slow as in the warm-up
    assert shedding.wait_s(BATCH) == pytest.approx(0.02, rel=1e-6)
    assert shedding.refuses(5 * BATCH + 1, 0.0)
    assert not shedding.refuses(5 * BATCH - 1, 0.0)


def test_time_in_which_nothing_waited_says_nothing():
    shedding = make_shedding()
    for step in range(100):
        shedding.taken(1, 0, step * 10.0)
    assert shedding.wait_s(BATCH) == pytest.approx(0.01)


@pytest.mark.parametrize("ends", ["expired", "cancelled"])
def test_a_queue_whose_last_requests_left_it_uncomputed_was_empty_meanwhile(ends):
    queue = make_queue(batch_s=0.01)
    assert offer(queue, BATCH, 0.0)
    last = offer(queue, 1, 0.0, deadline_s=1.0)
    assert queue.take(0.0)
    assert queue.expire(1.0) == [last] if ends == "expired" else queue.drop(last)
    assert offer(queue, BATCH, 3_600.0)  # an hour of silence is not what a batch took
    assert queue.take(3_600.0)
    assert offer(queue, BATCH, 3_600.0)
    assert offer(queue, 1, 3_600.0, deadline_s=3_600.1)


def test_time_in_which_rows_waited_for_others_is_not_what_a_batch_took():
    queue = make_queue(batch_s=0.001, max_queue_delay_s=0.02)
    assert offer(queue, 1, 0.0)
    for step in range(50):
        now_s = step * 0.02
        assert all(offer(queue, 1, now_s) for _ in range(BATCH))
        assert queue.take(now_s)
        assert queue.n_rows == 1, "it waits for others"
    assert all(offer(queue, 1, now_s) for _ in range(9 * BATCH))
    assert offer(queue, 1, now_s, deadline_s=now_s + 0.05)


def test_a_request_whose_caller_will_be_gone_before_its_turn_is_not_queued():
    queue = make_queue(batch_s=0.01)
    assert all(offer(queue, BATCH, 0.0) for _ in range(4))
    assert offer(queue, 1, 0.0, deadline_s=0.03) is None
    with pytest.raises(QueueFull, match="the rows before it take about 40 ms, and the caller waits 30 ms"):
        queue.append(Request({}, 1, deadline_s=0.03), 0.0)
    assert offer(queue, 1, 0.0, deadline_s=0.05)
    assert offer(queue, 1, 0.0)


def test_the_refusal_says_how_long_it_would_have_waited():
    queue = make_queue()
    for _ in range(2_048):
        queue.append(Request({}, 1), 0.0)
    with pytest.raises(QueueFull, match="wait about 320 ms behind 2048 rows; try another replica, or later"):
        queue.append(Request({}, 1), 0.0)


@pytest.mark.parametrize("n_rows", [1, 16, 64])
def test_at_five_times_saturation_the_wait_is_bounded_and_the_model_never_idle(n_rows):
    batch_s, seconds = 0.01, 10.0
    queue, waits, served = make_queue(batch_s=batch_s), [], 0
    gap_s = n_rows / (5 * BATCH / batch_s)
    now_s, next_arrival_s = 0.0, 0.0
    while now_s < seconds:
        while next_arrival_s <= now_s:
            offer(queue, n_rows, next_arrival_s)
            next_arrival_s += gap_s
        batch = queue.take(now_s)
        waits += [(part.request.arrived_s, now_s - part.request.arrived_s) for part in batch]
        served += sum(part.stop - part.start for part in batch)
        now_s += batch_s
    assert served >= 0.99 * seconds / batch_s * BATCH
    later = [wait_s for arrived_s, wait_s in waits if arrived_s > 1.0]
    assert max(later) <= max(5, REQUESTS_AHEAD * n_rows / BATCH + 1) * batch_s * 1.01
    assert max(wait_s for _, wait_s in waits) < 0.5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["offer", "take", "drop", "expire"]),
            st.integers(1, 200),
            st.booleans(),
            st.booleans(),
        ),
        max_size=150,
    )
)
def test_what_is_counted_is_what_waits(steps):
    queue, requests, now_s = make_queue(), [], 0.0
    for step, number, low_priority, held_back in steps:
        now_s += 0.003
        if step == "offer":
            deadline_s = now_s + number * 1e-3 if number % 3 == 0 else math.inf
            request = offer(
                queue, number, now_s, low_priority=low_priority, held_back=held_back, deadline_s=deadline_s
            )
            requests += [request] if request else []
        elif step == "take":
            queue.take(now_s)
        elif step == "expire":
            queue.expire(now_s)
        elif requests:
            queue.drop(requests[number % len(requests)])
        free = [e for e in requests if not (e.held_back or e.dropped) and e.taken < e.n_rows]
        assert (queue._n_free, queue._n_free_rows) == (len(free), sum(e.n_rows - e.taken for e in free))


def test_what_arrives_expired_is_told_so_and_not_that_others_are_before_it():
    queue = make_queue()
    while offer(queue, 1, 0.0):
        pass
    late = offer(queue, 1, 0.2, deadline_s=0.1)
    assert late is not None
    assert queue.expire(0.2) == [late]
