from __future__ import annotations

from tamiz_server.telemetry.repeats import RepeatLimit


def test_so_many_of_a_kind_pass_in_a_second_and_the_others_are_counted():
    limit = RepeatLimit(2)
    assert [limit.lets_through("a", t) for t in (10.0, 10.1, 10.2, 10.3)] == [True, True, False, False]
    assert limit.lets_through("b", 10.4)
    assert limit.held_back(10.9) == {}
    assert limit.held_back(11.0) == {"a": 2}
    assert limit.held_back(11.0) == {}


def test_the_next_second_begins_anew():
    limit = RepeatLimit(1)
    assert [limit.lets_through("a", t) for t in (0.0, 0.5, 1.0, 1.5)] == [True, False, True, False]
