"""A batch waits for more requests only while that gains some."""

from __future__ import annotations

from tamiz_server.engine.patience import TRY_EVERY, TURNS, Patience


def test_who_is_alone_does_not_wait():
    patience = Patience()
    assert not patience.arrived()
    patience.computed(1)
    assert not patience.arrived()


def test_after_some_lone_batches_waiting_is_tried_once():
    patience = Patience()
    for _ in range(TRY_EVERY):
        assert not patience.arrived()
        patience.computed(1)
    assert patience.arrived()
    patience.computed(1)
    assert not patience.arrived()


def test_waiting_goes_on_while_it_gains_mates():
    patience = Patience()
    patience.computed(3)
    assert patience.arrived()
    patience.computed(2)
    assert patience.arrived()
    patience.computed(1)
    assert not patience.arrived()


def test_an_arrival_renews_the_wait_and_quiet_turns_end_it():
    patience = Patience()
    patience.computed(2)
    patience.arrived()
    for _ in range(TURNS - 1):
        assert patience.turn_over()
    assert patience.arrived()
    for _ in range(TURNS - 1):
        assert patience.turn_over()
    assert not patience.turn_over()
