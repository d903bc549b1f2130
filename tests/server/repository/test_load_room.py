"""How many versions load side by side."""

from __future__ import annotations

import pytest

from tamiz_server.repository.load_room import LoadRoom

MB = 2**20


def taken(room, *sizes):
    """Return which of so many versions of these sizes have room, in this order."""
    return [room.take(("m", version), size) for version, size in enumerate(sizes, 1)]


@pytest.mark.parametrize(("processors", "most"), [(1, 2), (2, 2), (3, 3), (64, 64)])
def test_as_many_load_as_there_are_processors_and_at_least_two(processors, most):
    room = LoadRoom(processors, 10**12)
    assert taken(room, *[MB] * (most + 2)) == [True] * most + [False] * 2


def test_files_take_a_multiple_of_their_size_of_a_quarter_of_the_memory():
    room = LoadRoom(64, 4 * 8 * 10 * MB)  # files of 10 MB in all
    assert taken(room, 6 * MB, 5 * MB, 4 * MB, 1) == [True, False, True, False]
    room.give_back(("m", 1))
    assert room.take(("m", 2), 5 * MB)
    assert not room.take(("m", 4), 2 * MB)


@pytest.mark.parametrize("size", [0, -1, MB, 2**40])
def test_a_lone_load_has_room_whatever_its_size(size):
    room = LoadRoom(4, MB)
    for _ in range(3):
        assert room.take(("m", 1), size)
        room.give_back(("m", 1))


def test_a_file_too_large_for_the_room_loads_alone_and_delays_only_while_it_does():
    room = LoadRoom(4, MB)
    assert taken(room, 2**40, 1, 1) == [True, False, False]
    room.give_back(("m", 1))
    assert taken(room, 1, 2**40, 1) == [True, False, True]
