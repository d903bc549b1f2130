"""Room that many share, and credit on one connection."""

from __future__ import annotations

from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.credit import Credit
from tamiz_server.transports.room import Room


class Holder:
    def __init__(self, room=None):
        self.given_up, self.room = 0, room

    def give_up(self):
        self.given_up += 1
        if self.room is not None:
            self.room.hold(self, 0)


def test_beyond_the_room_those_that_moved_longest_ago_give_up():
    room = Room(100)
    old, moved, new = Holder(room), Holder(room), Holder(room)
    room.hold(old, 40)
    room.hold(moved, 40)
    room.hold(moved, 30)
    room.hold(new, 30)
    assert room.n_bytes == 100
    room.hold(new, 31)
    assert (old.given_up, moved.given_up, new.given_up) == (1, 0, 0)
    assert room.n_bytes == 61
    room.hold(new, 101)
    assert (moved.given_up, new.given_up) == (1, 1)
    assert room.n_bytes == 0


def test_one_that_moved_and_has_as_much_or_more_is_not_the_first_to_give_up():
    room = Room(100)
    busy, idle = Holder(room), Holder(room)
    room.hold(busy, 40)
    room.hold(idle, 40)
    room.hold(busy, 50, moved=True)
    room.hold(Holder(room), 20)
    assert (busy.given_up, idle.given_up) == (0, 1)


def test_one_that_has_nothing_is_forgotten():
    room = Room(10)
    holder = Holder()
    room.hold(holder, 5)
    room.hold(holder, 0)
    room.hold(holder, 0)
    assert room.n_bytes == 0
    room.hold(Holder(), 11)
    assert holder.given_up == 0


def call(number, n_bytes, credit):
    made = Call(number, (), lambda _: None)
    made.unpaid = n_bytes
    credit.hold(made, n_bytes)
    credit.want(made)
    return made


def test_within_its_share_every_call_may_send_on():
    paid = []
    credit = Credit(100, Room(1_000), lambda number, n_bytes: paid.append((number, n_bytes)))
    for number in (1, 3, 5):
        call(number, 30, credit)
    assert paid == [(1, 30), (3, 30), (5, 30)]


def test_beyond_it_one_call_at_a_time_may_send_on_until_its_message_is_whole():
    paid = []
    credit = Credit(100, Room(1_000), lambda number, n_bytes: paid.append((number, n_bytes)))
    calls = [call(number, 60, credit) for number in (1, 3, 5, 7)]
    assert paid == [(1, 60), (3, 60)]  # the third is the first that has to wait
    calls[1].unpaid = 60
    credit.hold(calls[1], 120)
    credit.want(calls[1])
    assert paid[2:] == [(3, 60)]
    credit.forget(calls[1])
    assert paid[3:] == [(5, 60)]
    credit.forget(calls[0])
    credit.forget(calls[2])
    assert paid[4:] == [(7, 60)]
    credit.forget(calls[3])
    assert credit.n_bytes == 0


def test_a_call_that_goes_lets_the_next_one_send_even_if_it_was_the_one():
    paid = []
    credit = Credit(10, Room(1_000), lambda number, _: paid.append(number))
    calls = [call(number, 20, credit) for number in (1, 3, 5)]
    assert paid == [1]
    credit.forget(calls[0])
    assert paid == [1, 3]
    credit.forget(calls[2])
    credit.forget(calls[1])
    assert credit.n_bytes == 0
