"""Keepalive and drain, with a clock of the test's."""

from __future__ import annotations

import math

from tamiz_server.transports.h2.drain import Drain, Step
from tamiz_server.transports.h2.keepalive import Keepalive, Pulse


def test_a_silent_peer_is_asked_and_given_up_if_it_does_not_answer():
    keepalive = Keepalive(60, 20, 0)
    assert keepalive.due_s == 60
    assert keepalive.look(59) is Pulse.NOTHING
    assert keepalive.look(60) is Pulse.ASK
    assert keepalive.due_s == 80
    assert keepalive.look(79) is Pulse.NOTHING
    assert keepalive.look(80) is Pulse.GIVE_UP


def test_whatever_comes_is_an_answer_and_the_next_question_comes_later():
    keepalive = Keepalive(60, 20, 0)
    assert keepalive.look(60) is Pulse.ASK
    keepalive.heard_s = 61
    assert keepalive.look(80) is Pulse.NOTHING
    assert keepalive.due_s == 121
    assert keepalive.look(121) is Pulse.ASK


def test_a_peer_that_speaks_is_never_asked():
    keepalive = Keepalive(60, 20, 0)
    for second in range(0, 600, 50):
        keepalive.heard_s = second
        assert keepalive.look(second + 49) is Pulse.NOTHING


def steps(drain, now_s, n_calls):
    found = []
    while (step := drain.look(now_s, n_calls)) is not Step.NOTHING:
        found.append(step)
    return found


def test_a_connection_that_serves_is_not_drained():
    assert steps(Drain(), 1e9, 0) == []
    assert Drain().due_s == math.inf


def test_after_the_notice_comes_the_last_goaway_and_after_the_last_call_the_end():
    drain = Drain()
    assert drain.begin(0, 30)
    assert not drain.begin(0, 30)
    assert steps(drain, 0.5, 2) == []
    drain.noticed(0.5)
    assert steps(drain, 0.5, 2) == [Step.LAST_GOAWAY]
    assert steps(drain, 10, 1) == []
    assert steps(drain, 11, 0) == []
    assert steps(drain, drain.due_s, 0) == [Step.CLOSE]
    assert drain.due_s > 11 or drain.due_s == math.inf


def test_a_peer_that_does_not_answer_the_notice_gets_the_last_goaway_all_the_same():
    drain = Drain()
    drain.begin(0, 30)
    assert steps(drain, drain.due_s, 1) == [Step.LAST_GOAWAY]


def test_calls_that_last_longer_than_the_grace_are_ended_and_cannot_hold_the_connection():
    drain = Drain()
    drain.begin(0, 30)
    drain.noticed(0)
    steps(drain, 0, 1)
    assert steps(drain, 29.9, 1) == []
    assert steps(drain, 30, 1) == [Step.END_CALLS]
    assert steps(drain, drain.due_s, 1) == [Step.CLOSE]


def test_without_grace_everything_ends_at_once_and_a_second_word_shortens_the_first():
    drain = Drain()
    drain.begin(0, 0)
    assert steps(drain, 0, 1) == [Step.LAST_GOAWAY, Step.END_CALLS]
    drain = Drain()
    drain.begin(0, 30)
    drain.noticed(0)
    steps(drain, 0, 1)
    drain.begin(1, 0)
    assert steps(drain, 1, 1) == [Step.END_CALLS]
    drain.begin(1.1, 0)
    assert steps(drain, drain.due_s, 1) == [Step.CLOSE]
