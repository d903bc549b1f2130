"""Counting processors as the kernel allots them."""

from __future__ import annotations

import math
import os

import pytest

from tamiz_server.system.resources import available_cpus

SCHEDULED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "expected"), [(math.inf, SCHEDULED), (1.0, 1), (0.5, 1), (0.01, 1), (9_900, SCHEDULED)]
)
def test_a_limit_bounds_the_count_and_one_processor_is_always_there(limit, expected):
    assert available_cpus(lambda: limit) == expected
