"""Counting processors and open files as the kernel allots them."""

from __future__ import annotations

import math
import os
import resource

import pytest

from tamiz_server.system.resources import available_cpus, room_for_connections

SCHEDULED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "expected"), [(math.inf, SCHEDULED), (1.0, 1), (0.5, 1), (0.01, 1), (9_900, SCHEDULED)]
)
def test_a_limit_bounds_the_count_and_one_processor_is_always_there(limit, expected):
    assert available_cpus(lambda: limit) == expected


@pytest.mark.parametrize(
    ("soft", "hard", "n_sockets", "room", "raised"),
    [
        (1_024, 100_000, 1, 4_096, 4_608),
        (1_024, 100_000, 2, 4_096, 8_704),
        (100_000, 100_000, 2, 4_096, None),
        (1_024, 4_608, 1, 4_096, 4_608),
        (1_024, 4_608, 2, 2_048, 4_608),
        (600, 600, 2, 44, None),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2, 4_096, None),
    ],
)
def test_all_sockets_together_leave_files_for_everything_else(
    monkeypatch, soft, hard, n_sockets, room, raised
):
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    assert room_for_connections(4_096, n_sockets) == room
    assert set_to == ([(raised, hard)] if raised else [])
