"""The batching policy, on a virtual clock."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tamiz_server.engine.batch import Slice
from tamiz_server.engine.batching import NORMAL_FIRST, BatchQueue
from tamiz_server.engine.request import Request
from tamiz_server.errors import InvalidRequest, QueueFull


def make_queue(
    max_batch_size: int = 8, max_queue_delay_s: float = 0.0, max_queue_size: int = 100
) -> BatchQueue:
    return BatchQueue(
        max_batch_size=max_batch_size, max_queue_delay_s=max_queue_delay_s, max_queue_size=max_queue_size
    )


def test_what_waits_is_limited_in_bytes_too():
    queue = BatchQueue(max_batch_size=2, max_queue_delay_s=0.0, max_queue_size=100, max_bytes=1_000)
    put(queue, 5, n_bytes=5_000)  # nothing else waits: or it could never be asked
    with pytest.raises(QueueFull, match="requests of 5000 bytes are waiting, there is room for 1000"):
        put(queue, 1, n_bytes=1)
    assert [len(batch) for batch in batches(queue)] == [1, 1, 1]
    dropped = put(queue, 1, n_bytes=600)
    put(queue, 1, n_bytes=400)
    with pytest.raises(QueueFull):
        put(queue, 1, n_bytes=600)
    queue.drop(dropped)
    put(queue, 1, n_bytes=600)


def put(
    queue: BatchQueue,
    n_rows: int,
    arrived_s: float = 0.0,
    deadline_s: float = math.inf,
    key: object = None,
    *,
    low_priority: bool = False,
    n_bytes: int = 0,
) -> Request:
    request = Request({}, n_rows, deadline_s=deadline_s, low_priority=low_priority, n_bytes=n_bytes)
    queue.append(request, arrived_s, key=key)
    return request


def batches(queue: BatchQueue, now_s: float = 0.0) -> Iterator[list[Slice]]:
    while batch := queue.take(now_s):
        yield batch


def test_an_empty_queue_gives_no_batch_and_wakes_never():
    queue = make_queue()
    assert queue.take(1.0) == []
    assert queue.wake_s() == math.inf


def test_without_delay_what_waits_is_due_at_once():
    queue = make_queue()
    first, second = put(queue, 1), put(queue, 2)
    assert queue.take(0.0) == [(first, 0, 1), (second, 0, 2)]
    assert queue.n_rows == 0


def test_with_delay_a_lone_request_waits_until_its_delay_is_over():
    queue = make_queue(max_queue_delay_s=0.5)
    request = put(queue, 1, arrived_s=1.0)
    assert queue.take(1.25) == []
    assert queue.wake_s() == 1.5
    assert queue.take(1.5) == [(request, 0, 1)]


def test_with_delay_a_full_batch_does_not_wait():
    queue = make_queue(max_batch_size=4, max_queue_delay_s=10.0)
    first, second = put(queue, 2), put(queue, 2)
    assert queue.take(0.0) == [(first, 0, 2), (second, 0, 2)]


def test_a_request_that_fits_into_a_batch_is_not_torn_apart():
    queue = make_queue(max_batch_size=4)
    first, second = put(queue, 3), put(queue, 3)
    assert list(batches(queue)) == [[(first, 0, 3)], [(second, 0, 3)]]


def test_a_request_larger_than_a_batch_goes_in_parts_and_its_rest_takes_mates():
    queue = make_queue(max_batch_size=4)
    large, small = put(queue, 9), put(queue, 2)
    assert list(batches(queue)) == [[(large, 0, 4)], [(large, 4, 8)], [(large, 8, 9), (small, 0, 2)]]


def test_requests_with_different_keys_never_share_a_batch():
    queue = make_queue()
    first, second, third = put(queue, 1, key="a"), put(queue, 1, key="b"), put(queue, 1, key="b")
    assert list(batches(queue)) == [[(first, 0, 1)], [(second, 0, 1), (third, 0, 1)]]


def test_a_full_queue_refuses_exactly_what_does_not_fit():
    queue = make_queue(max_queue_size=8)
    put(queue, 6)
    with pytest.raises(QueueFull, match="6 rows are waiting, there is room for 8"):
        put(queue, 3)
    put(queue, 2)
    assert queue.n_rows == 8


def test_a_request_that_can_never_fit_is_invalid_even_when_the_queue_is_empty():
    with pytest.raises(InvalidRequest, match="9 rows; at most 8"):
        put(make_queue(max_queue_size=8), 9)


def test_expired_requests_leave_the_queue_and_are_never_taken():
    queue = make_queue()
    late, soon, never = put(queue, 1, deadline_s=5.0), put(queue, 2, deadline_s=1.0), put(queue, 3)
    assert queue.expiry_s() == 1.0
    assert queue.expire(1.0) == [soon]
    assert queue.n_rows == 4
    assert queue.take(1.0) == [(late, 0, 1), (never, 0, 3)]
    assert queue.expire(100.0) == []


def test_expiry_wakes_before_the_delay_is_over():
    queue = make_queue(max_queue_delay_s=10.0)
    put(queue, 1, deadline_s=3.0)
    assert queue.wake_s() == 3.0


def test_a_dropped_request_frees_its_room_once():
    queue = make_queue(max_queue_size=4)
    request = put(queue, 4)
    assert queue.drop(request)
    assert not queue.drop(request)
    assert queue.n_rows == 0
    put(queue, 4)


def test_a_request_dropped_between_its_parts_gives_no_further_part():
    queue = make_queue(max_batch_size=4)
    request = put(queue, 9)
    queue.take(0.0)
    assert queue.drop(request)
    assert queue.take(0.0) == []
    assert queue.n_rows == 0


def test_a_batch_that_was_taken_cannot_be_dropped_any_more():
    queue = make_queue()
    request = put(queue, 2)
    queue.take(0.0)
    assert not queue.drop(request)


def test_deadlines_of_finished_requests_do_not_pile_up():
    queue = make_queue()
    for _ in range(10_000):
        put(queue, 1, deadline_s=1e9)
        queue.take(0.0)
    assert len(queue._deadlines) < 200


@given(st.lists(st.integers(1, 30), max_size=50), st.integers(1, 16))
def test_every_row_is_taken_once_in_order_in_batches_no_larger_than_allowed(sizes, max_batch_size):
    queue = make_queue(max_batch_size=max_batch_size, max_queue_size=10_000)
    requests = [put(queue, size) for size in sizes]
    taken = {id(request): 0 for request in requests}
    order = []
    for batch in batches(queue):
        assert sum(part.stop - part.start for part in batch) <= max_batch_size
        for part in batch:
            assert part.start == taken[id(part.request)]
            taken[id(part.request)] = part.stop
            order.append(requests.index(part.request))
            if part.request.n_rows <= max_batch_size:
                assert (part.start, part.stop) == (0, part.request.n_rows)
    assert order == sorted(order)
    assert [taken[id(request)] for request in requests] == sizes
    assert queue.n_rows == 0


def test_low_priority_is_taken_after_the_others_in_the_room_that_they_leave():
    queue = make_queue(max_batch_size=4)
    low, normal, other = put(queue, 2, low_priority=True), put(queue, 3), put(queue, 1, low_priority=True)
    assert list(batches(queue)) == [[(normal, 0, 3)], [(low, 0, 2), (other, 0, 1)]]
    assert queue.n_rows == 0


def test_low_priority_may_fill_half_of_the_queue_and_leaves_the_rest_to_the_others():
    queue = make_queue(max_queue_size=8)
    first = put(queue, 4, low_priority=True)
    with pytest.raises(QueueFull, match="low priority: 4 of their rows are waiting, there is room for 4"):
        put(queue, 1, low_priority=True)
    put(queue, 4)
    with pytest.raises(QueueFull, match="8 rows are waiting"):
        put(queue, 1)
    queue.drop(first)
    put(queue, 4, low_priority=True)


def test_a_large_request_of_low_priority_is_taken_into_a_queue_without_others_of_its_kind():
    queue = make_queue(max_queue_size=8)
    put(queue, 8, low_priority=True)
    assert queue.n_rows == 8


def test_the_delay_counts_from_the_oldest_of_both_levels():
    queue = make_queue(max_queue_delay_s=1.0)
    put(queue, 1, arrived_s=0.0, low_priority=True)
    put(queue, 1, arrived_s=0.5)
    assert queue.wake_s() == 1.0
    assert queue.take(0.9) == []
    assert len(queue.take(1.0)) == 2


@given(
    low=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    max_batch_size=st.integers(1, 8),
    normal=st.lists(st.integers(1, 9), min_size=1, max_size=30),
)
def test_low_priority_never_starves_however_many_others_come(low, max_batch_size, normal):
    queue = make_queue(max_batch_size=max_batch_size, max_queue_size=100_000)
    requests = [put(queue, size, low_priority=True) for size in low]
    n_batches = 0
    for position, request in enumerate(requests):
        # At worst one batch in so many takes only them, and each of them needs batches of its own.
        bound = (NORMAL_FIRST + 1) * sum(-(-size // max_batch_size) for size in low[: position + 1])
        while request.taken < request.n_rows:
            while queue.n_rows - sum(e.n_rows - e.taken for e in requests) < 2 * max_batch_size:
                put(queue, normal[n_batches % len(normal)])
            assert queue.take(0.0)
            n_batches += 1
            assert n_batches <= bound, f"request {position} still waits after {n_batches} batches"


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.sampled_from("ab")), max_size=40))
def test_within_a_level_first_come_is_first_served(arrivals):
    queue = make_queue(max_batch_size=8, max_queue_size=10_000)
    requests = [put(queue, size, low_priority=low, key=key) for size, low, key in arrivals]
    order = [part.request for batch in batches(queue) for part in batch]
    for level in (False, True):
        taken = [requests.index(request) for request in order if request.low_priority is level]
        assert taken == sorted(taken)
    assert sum(e.taken for e in requests) == sum(size for size, _, _ in arrivals)


@pytest.mark.parametrize("low_priority", [False, True])
def test_what_was_dropped_is_let_go_of_while_nothing_is_taken(low_priority):
    queue = make_queue()
    first = put(queue, 1, deadline_s=100.0, low_priority=low_priority)
    dropped = []
    for _ in range(1_000):
        held = Held()
        dropped.append(weakref.ref(held))
        queue.drop(put(queue, 1, deadline_s=100.0, key=held, low_priority=low_priority))
        del held
    assert sum(each() is not None for each in dropped) < 200
    assert queue.take(0.0) == [(first, 0, 1)]


def test_what_was_taken_is_not_kept_until_its_deadline():
    queue = make_queue()
    held = Held()
    reference = weakref.ref(held)
    put(queue, 1, deadline_s=1e9, key=held)
    del held
    assert queue.take(0.0)
    assert reference() is None


class Held:
    """What a request holds on to."""


class QueueMachine(RuleBasedStateMachine):
    """Any interleaving of arrivals, batches, expiries and withdrawals conserves rows."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.queue = make_queue(max_batch_size=5, max_queue_delay_s=2.0, max_queue_size=20)
        self.requests: list[Request] = []
        self.computed: dict[int, int] = {}
        self.gone: set[int] = set()

    @rule(n_rows=st.integers(1, 12), patience_s=st.sampled_from([0.5, 1.0, 3.0, math.inf]), low=st.booleans())
    def arrive(self, n_rows: int, patience_s: float, *, low: bool) -> None:
        waiting = self.queue.n_rows
        try:
            request = put(self.queue, n_rows, self.now_s, self.now_s + patience_s, low_priority=low)
        except QueueFull:
            assert waiting + n_rows > (10 if low else 20)
        else:
            self.requests.append(request)

    @rule(seconds=st.sampled_from([0.25, 1.0, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        for request in self.queue.expire(self.now_s):
            assert request.deadline_s <= self.now_s
            self.gone.add(id(request))

    @rule()
    def take(self) -> None:
        waiting = [e for e in self.requests if id(e) not in self.gone and e.taken < e.n_rows]
        is_full = sum(e.n_rows - e.taken for e in waiting) >= 5
        is_due = bool(waiting) and (is_full or self.now_s >= waiting[0].arrived_s + 2.0)
        batch = self.queue.take(self.now_s)
        assert bool(batch) == is_due
        for part in batch:
            assert id(part.request) not in self.gone
            assert part.request.deadline_s > self.now_s
            assert self.computed.get(id(part.request), 0) == part.start
            self.computed[id(part.request)] = part.stop

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.requests))
        if self.queue.drop(request):
            self.gone.add(id(request))

    @invariant()
    def the_count_of_waiting_rows_is_right(self) -> None:
        waiting = sum(e.n_rows - e.taken for e in self.requests if id(e) not in self.gone)
        assert self.queue.n_rows == waiting <= 20


TestQueueMachine = QueueMachine.TestCase
