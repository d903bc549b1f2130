from __future__ import annotations

from tamiz_server.telemetry.repeats import Flood


def test_so_many_of_a_kind_pass_in_a_second_and_the_others_are_counted():
    flood = Flood(2)
    assert [flood.lets_through("a", t) for t in (10.0, 10.1, 10.2, 10.3)] == [True, True, False, False]
    assert flood.lets_through("b", 10.4)
    assert flood.held_back(10.9) == {}
    assert flood.held_back(11.0) == {"a": 2}
    assert flood.held_back(11.0) == {}


def test_the_next_second_begins_anew():
    flood = Flood(1)
    assert [flood.lets_through("a", t) for t in (0.0, 0.5, 1.0, 1.5)] == [True, False, True, False]
