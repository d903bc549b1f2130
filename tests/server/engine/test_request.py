"""The times in the answer to a request that was computed in parts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import InvalidRequest


def joined(*times: tuple[float, float]) -> tuple[float, float]:
    """Return how long a request waited and computed, from when its parts began and how long each took."""
    request = Request({"x": np.zeros((len(times), 1))}, len(times))
    for row, (begun_s, took_s) in enumerate(times):
        assert request.answer is None, "it is not whole yet"
        request.answered(row, Answer([True], [0], [0], [0.9], [], 0.5, [], True, [], begun_s, took_s))
    assert request.answer is not None
    return request.answer.queue_s, request.answer.compute_s


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


@pytest.mark.parametrize("wanted", [-0.1, 1.1, math.nan, math.inf])
def test_a_threshold_that_is_not_a_confidence_is_refused(wanted):
    with pytest.raises(InvalidRequest, match=f"threshold is {wanted}: expected a confidence from 0 to 1"):
        Request({}, 1, wanted=wanted)
