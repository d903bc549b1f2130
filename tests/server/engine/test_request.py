"""The answer to a request that was computed in parts: what it says of the time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tamiz_server.engine.work import Answer, Pending, Work


def joined(*times: tuple[float, float]) -> tuple[float, float]:
    """Waiting and computing of a request of one row per part: when each was begun, after its arrival, and how long it took."""
    inputs = {"x": np.zeros((len(times), 1))}
    entry = Pending(Work(inputs, len(times), 0.5), 0.0, None, None)
    entry.taken = len(times)
    for row, (begun_s, took_s) in enumerate(times):
        whole = entry.join(row, Answer([True], [0], [0], [0.9], [], [], begun_s, took_s))
    assert whole is not None
    return whole.queue_s, whole.compute_s


@pytest.mark.parametrize(
    ("times", "queue_s", "compute_s"),
    [
        ([(1.0, 2.0)], 1.0, 2.0),
        ([(1.0, 2.0), (3.0, 2.0)], 1.0, 4.0),  # one after the other
        ([(1.0, 2.0), (7.0, 2.0)], 5.0, 4.0),  # others went between
        ([(1.0, 2.0), (1.0, 2.0)], 1.0, 2.0),  # side by side
        ([(1.0, 8.0), (2.0, 1.0), (4.0, 8.0)], 1.0, 11.0),  # overlapping
        ([(0.0, 1.0), (0.5, 1.0), (9.0, 1.0)], 7.5, 2.5),
    ],
)
def test_waiting_and_computing_of_parts_add_up_to_their_end(times, queue_s, compute_s):
    for ordered in itertools.permutations(times):
        assert joined(*ordered) == pytest.approx((queue_s, compute_s))
    assert queue_s + compute_s == max(begun_s + took_s for begun_s, took_s in times)
