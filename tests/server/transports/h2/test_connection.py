"""One connection, both ends in memory: no socket, no task, and a clock that the test moves."""

from __future__ import annotations

import gzip
import struct

import pytest
from ngh2 import ErrorCode, GoAwayReceived, PingReceived, Setting
from tests.faults.http2 import END_HEADERS, HEADERS, RST_STREAM, call_headers, frame
from tests.server.transports.h2.in_memory import Pair, Recorder, headers, message

from tamiz_server.access.access import Access
from tamiz_server.errors import InvalidRequest, ModelNotFound, Unavailable
from tamiz_server.transports.h2.connection import Connection
from tamiz_server.transports.h2.limits import MOST_RESETS

INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = 3, 4, 8, 12, 14, 16


def answered(pair, number, body=b"answer"):
    (call,) = [each for each in pair.runner.started if each.number == number]
    pair.server.answer(call, body)
    pair.exchange()
    return call


# One message


@pytest.mark.parametrize("size", [0, 1, 100, 16_379, 70_000, 1_000_000])
def test_a_call_with_one_message_is_started_once_it_is_whole_and_answered(size):
    pair = Pair()
    number = pair.call(message(bytes(size)), end=False)
    assert not pair.runner.started
    pair.client.send_data(number, b"", end_stream=True)
    pair.exchange()
    assert [call.body for call in pair.runner.started] == [bytes(size)]
    answered(pair, number, b"yes")
    assert pair.bytes[number] == message(b"yes")
    assert pair.fields[number][b"content-type"] == b"application/grpc"
    assert pair.status(number) == (0, "")
    assert pair.resets[number] == ErrorCode.NO_ERROR
    assert not pair.refused
    assert pair.shared.incoming.n_bytes == 0


def test_the_end_may_come_in_trailers_too():
    pair = Pair()
    number = pair.call(message(b"abc"), end=False)
    pair.client.send_trailers(number, [(b"x", b"y")])
    pair.exchange()
    assert [call.body for call in pair.runner.started] == [b"abc"]


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (None, INVALID, "the call has no message"),
        (b"", INVALID, "the call has no message"),
        (b"\0\0", INVALID, "ends within its message"),
        (message(b"abc", length=4), INVALID, "ends within its message"),
        (message(b"a") + message(b"b"), INVALID, "more than one message"),
        (message(b"a") + b"\0", INVALID, "more than one message"),
        (message(b"", length=1_000_001), EXHAUSTED, "1000001 bytes large: at most 1000000"),
        (message(gzip.compress(b"a", mtime=0), flag=1), INVALID, "does not say how"),
        (message(b"a", flag=9), INVALID, "begins with 9"),
    ],
)
def test_what_is_not_one_message_is_refused_and_counted(sent, status, words):
    pair = Pair()
    number = pair.client.send_request(headers(), end_stream=sent is None)
    if sent is not None:
        pair.client.send_data(number, sent, end_stream=True)
    pair.exchange()
    assert pair.status(number)[0] == status
    assert words in pair.status(number)[1]
    assert not pair.runner.started
    assert sum(pair.refused.values()) == 1
    assert pair.shared.incoming.n_bytes == 0


@pytest.mark.parametrize("path", ["/s/One", "/s/Small"])
def test_a_sender_is_told_as_soon_as_its_message_cannot_be_taken_and_stopped_if_it_does_not(path):
    pair = Pair()
    number = pair.call(message(bytes(50), length=2**32 - 1), path, end=False)
    assert pair.status(number)[0] == EXHAUSTED
    assert number not in pair.resets
    pair.client.send_data(number, bytes(500_000))
    pair.exchange()
    assert pair.client.stream_remote_window_size(number) == 0  # nobody reads it
    pair.pass_time(2)
    assert pair.resets[number] == ErrorCode.NO_ERROR  # RFC 9113, section 8.1
    assert pair.server.to_send() == b""


def test_frames_that_were_cut_by_resets_do_not_use_up_the_window_and_many_end_the_connection():
    pair = Pair(n_streams=1)
    for _ in range(MOST_RESETS):
        assert pair.client.remote_window_size > 65_535
        number = pair.client.send_request(headers("/s/None"))
        pair.client.send_data(number, bytes(20_000))
        sent = pair.client.data_to_send()
        pair.server.receive(sent[:-1], pair.now_s)
        pair.exchange().pass_time(2)
        pair.server.receive(sent[-1:], pair.now_s)
        pair.exchange()
        assert pair.resets[number] == ErrorCode.NO_ERROR
    pair.pass_time(2)
    assert pair.server.is_over
    assert {each.error_code for each in pair.events if isinstance(each, GoAwayReceived)} == {0}


def test_a_second_message_ends_the_call_before_it_is_whole():
    pair = Pair()
    number = pair.call(message(b"a"), end=False)
    pair.client.send_data(number, message(bytes(9_000), length=500_000))
    pair.exchange()
    assert "more than one message" in pair.status(number)[1]


def test_packed_messages_are_taken_if_that_is_allowed():
    packed = message(gzip.compress(bytes(500_000)), flag=1)
    refused, allowed = Pair(), Pair(packed_allowed=True)
    for pair in (refused, allowed):
        pair.number = pair.call(packed, more=[("grpc-encoding", "gzip")])
    assert refused.status(refused.number)[0] == UNIMPLEMENTED
    assert [call.body for call in allowed.runner.started] == [bytes(500_000)]


# Header fields


@pytest.mark.parametrize(
    ("more", "path", "status", "words", "counted"),
    [
        ([("big", "x" * 8_000)], "/s/One", EXHAUSTED, "metadata is larger than 8192", True),
        ([(f"k{n}", "") for n in range(250)], "/s/One", EXHAUSTED, "metadata is larger than 8192", True),
        ([], "/s/None", UNIMPLEMENTED, "no such method", False),
        ([], "/", UNIMPLEMENTED, "no such method", False),
        ([("grpc-timeout", "banana")], "/s/One", INVALID, "grpc-timeout is 'banana'", True),
        ([("grpc-timeout", "")], "/s/One", INVALID, "grpc-timeout is ''", True),
    ],
)
def test_calls_are_refused_by_their_header_fields(more, path, status, words, counted):
    pair = Pair()
    number = pair.call(message(b"a"), path, more)
    assert pair.status(number)[0] == status
    assert words in pair.status(number)[1]
    assert sum(pair.refused.values()) == counted
    assert not pair.runner.started


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({b":method": b"GET"}, b"405"),
        ({b":method": b"HEAD"}, b"405"),
        ({b"content-type": b"application/json"}, b"415"),
        ({b"content-type": b""}, b"415"),
        ({b"content-type": b"application/grpc-web+proto"}, b"415"),
    ],
)
def test_what_is_no_call_is_answered_as_http_says(changed, status):
    pair = Pair()
    fields = [(name, changed.get(name, value)) for name, value in headers()]
    number = pair.client.send_request(fields, end_stream=True)
    pair.exchange()
    assert pair.fields[number][b":status"] == status


def test_metadata_far_beyond_the_limit_end_the_connection():
    pair = Pair()
    pair.call(message(b"a"), more=[(f"k{n}", "x" * 10_000) for n in range(7)])
    assert pair.runner.aborted
    assert pair.refused == {"RESOURCE_EXHAUSTED": 1}


def test_without_a_token_a_call_is_refused_before_its_message_comes_and_access_counts_it():
    access = Access(None)
    pair = Pair(access=access)
    number = pair.call(message(b"a", length=900_000), end=False)
    assert pair.status(number)[0] == UNAUTHENTICATED
    assert access.refused == {"UNAUTHENTICATED": 1}
    assert not pair.refused
    pair.pass_time(2)
    assert pair.resets[number] == ErrorCode.NO_ERROR


def test_bounds_come_before_access():
    access = Access(None)
    pair = Pair(access=access)
    assert pair.status(pair.call(more=[("big", "x" * 9_000)]))[0] == EXHAUSTED
    assert not access.refused


# Ends


@pytest.mark.parametrize(("path", "counted"), [("/s/One", 1), ("/s/Counted", 0)])
def test_an_error_of_a_method_reaches_the_caller(path, counted):
    pair = Pair()
    number = pair.call(message(b"a"), path)
    pair.server.fail(pair.runner.started[0], ModelNotFound("no model 'é'"))
    pair.exchange()
    assert pair.status(number) == (5, "no model '%C3%A9'")
    assert sum(pair.refused.values()) == counted


def test_an_answer_larger_than_a_message_may_be_becomes_a_status():
    pair = Pair()
    number = pair.call(message(b"a"))
    answered(pair, number, bytes(1_000_001))
    assert pair.status(number)[0] == EXHAUSTED


def test_unavailable_says_that_the_call_was_not_taken():
    pair = Pair()
    number = pair.call(message(b"a"))
    pair.server.fail(pair.runner.started[0], Unavailable("not yet"))
    pair.exchange()
    assert pair.fields[number][b"tamiz-not-taken"] == b"1"


@pytest.mark.parametrize("body", [None, message(b"a", length=10), message(b"a")])
def test_a_call_ends_at_its_deadline_wherever_it_stands(body):
    pair = Pair()
    number = pair.call(body, more=[("grpc-timeout", "2S")], end=body == message(b"a"))
    pair.pass_time(1.9)
    assert pair.status(number) is None
    pair.pass_time(0.2)
    assert pair.status(number)[0] == DEADLINE
    assert pair.runner.cancelled == pair.runner.started or not pair.runner.started
    assert pair.shared.incoming.n_bytes == 0


def test_the_answer_after_the_deadline_is_not_sent_and_one_before_it_disarms_it():
    pair = Pair()
    late, early = (pair.call(message(b"a"), more=[("grpc-timeout", "1S")]) for _ in range(2))
    answered(pair, early)
    pair.pass_time(2)
    answered(pair, late)
    assert pair.status(early)[0] == 0
    assert pair.status(late)[0] == DEADLINE


@pytest.mark.parametrize("path", ["/s/One", "/s/Many"])
def test_a_call_is_cancelled_when_its_caller_resets_it_or_is_gone(path):
    pair = Pair()
    one, other = (pair.call(message(b"a"), path) for _ in range(2))
    pair.client.reset_stream(one, ErrorCode.CANCEL)
    pair.exchange()
    assert [call.number for call in pair.runner.cancelled] == [one]
    pair.server.lost()
    assert [call.number for call in pair.runner.cancelled] == [one, other]
    for call in pair.runner.started:
        pair.server.answer(call, b"too late")
    assert pair.server.to_send() == b""


# Streams


def test_messages_of_a_stream_are_taken_one_by_one_and_answered_one_by_one():
    pair = Pair()
    number = pair.call(message(b"1") + message(b"2"), "/s/Many", end=False)
    (call,) = pair.runner.started
    assert [pair.server.take(call) for _ in range(3)] == [b"1", b"2", None]
    assert pair.server.send(call, b"one")
    pair.exchange()
    assert pair.bytes[number] == message(b"one")
    pair.client.send_data(number, message(b"3"), end_stream=True)
    pair.exchange()
    assert pair.runner.readable_[-1] is call
    assert [pair.server.take(call) for _ in range(2)] == [b"3", None]
    assert call.has_ended_sending
    pair.server.end(call)
    pair.exchange()
    assert pair.status(number) == (0, "")


def test_a_sender_is_held_back_while_nobody_takes_its_messages():
    pair = Pair()
    body = message(bytes(995))
    number = pair.call(body * 1_000, "/s/Many")
    (call,) = pair.runner.started
    assert call.came.n_bytes == 65_535
    taken = 0
    while pair.server.take(call) is not None:
        taken += 1
        pair.exchange()
        assert pair.shared.incoming.n_bytes <= 65_535 + 16_384
    assert taken == 1_000
    assert pair.status(number) is None


@pytest.mark.parametrize("sent", [b"\0", message(b"abc", length=5)])
def test_a_stream_that_ends_within_a_message_is_an_error(sent):
    pair = Pair()
    pair.call(sent, "/s/Many")
    with pytest.raises(Exception, match="ends within a message"):
        pair.server.take(pair.runner.started[0])


def test_a_message_larger_than_the_window_comes_if_it_is_wanted():
    pair = Pair()
    pair.call(message(bytes(700_000)), "/s/Many")
    (call,) = pair.runner.started
    for _ in range(100):
        if (body := pair.server.take(call)) is not None:
            break
        pair.exchange()
    assert body == bytes(700_000)


def test_a_writer_waits_while_the_peer_takes_nothing_and_goes_on_when_it_does():
    pair = Pair(client={Setting.INITIAL_WINDOW_SIZE: 0})
    number = pair.call(message(b"a"), "/s/Many")
    (call,) = pair.runner.started
    assert pair.server.send(call, bytes(60_000))
    assert not pair.server.send(call, bytes(60_000))
    pair.exchange()
    assert not pair.runner.writable_
    pair.client.set_local_window_size(100_000, stream_id=number)
    pair.exchange()
    assert pair.runner.writable_ == [call]


# Flow: nobody moves


def test_large_messages_on_one_connection_wait_for_one_another_and_all_become_whole():
    pair = Pair(connection_bytes=200_000)
    numbers = [pair.call(message(bytes(900_000)), end=True) for _ in range(20)]
    assert [call.number for call in pair.runner.started] == numbers
    assert pair.shared.incoming.n_bytes == 0
    assert not pair.refused


def test_beyond_the_room_of_all_connections_the_oldest_incomplete_message_goes():
    first = Pair(all_bytes=200_000)
    second = Pair(shared=first.shared)
    slow = first.call(message(bytes(60_000), length=900_000), end=False)
    others = [second.call(message(bytes(60_000), length=70_000), end=False) for _ in range(2)]
    assert first.status(slow) is None
    another = second.call(message(bytes(60_000), length=70_000), end=False)
    first.exchange()
    assert first.status(slow)[0] == EXHAUSTED
    assert [second.status(each) for each in (*others, another)] == [None] * 3
    assert first.shared.incoming.n_bytes <= 200_000


def test_beyond_the_room_for_answers_the_connection_that_takes_nothing_for_longest_goes():
    first = Pair(all_bytes=1_000_000, client={Setting.INITIAL_WINDOW_SIZE: 0})
    second = Pair(shared=first.shared, client={Setting.INITIAL_WINDOW_SIZE: 0})
    for pair in (first, second, first):
        answered(pair, pair.call(message(b"a")), bytes(350_000))
    assert first.runner.aborted
    assert not second.runner.aborted


def test_a_connection_that_takes_answers_moves_also_if_more_come_than_it_takes():
    first = Pair(all_bytes=1_000_000, client={Setting.INITIAL_WINDOW_SIZE: 0})
    second, third = (Pair(shared=first.shared, client={Setting.INITIAL_WINDOW_SIZE: 0}) for _ in range(2))
    number, another = (first.call(message(b"a")) for _ in range(2))
    answered(first, number, bytes(350_000))
    answered(second, second.call(message(b"a")), bytes(350_000))
    first.client.set_local_window_size(100_000, stream_id=number)
    first.server.receive(first.client.data_to_send(), first.now_s)
    answered(first, another, bytes(200_000))
    assert first.shared.outgoing.n_bytes == 350_005 - 65_535 + 200_005 + 350_005
    answered(third, third.call(message(b"a")), bytes(350_000))
    assert second.runner.aborted
    assert not first.runner.aborted


@pytest.mark.parametrize("path", ["/s/One", "/s/Many"])
def test_half_a_message_of_which_nothing_more_comes_ends_its_call(path):
    pair = Pair(stall_s=40, keepalive_s=1_000)
    number = pair.call(message(b"a", length=9), path, end=False)
    if path == "/s/Many":
        assert pair.server.take(pair.runner.started[0]) is None
        pair.exchange()
    pair.pass_time(39)
    pair.client.send_data(number, b"b")
    pair.exchange()
    if path == "/s/Many":
        assert pair.server.take(pair.runner.started[0]) is None
    pair.pass_time(39)
    assert pair.status(number) is None
    pair.pass_time(30)
    assert pair.status(number)[0] == DEADLINE
    assert "nothing of the call moved" in pair.status(number)[1]


def test_a_stream_may_be_silent_between_messages():
    pair = Pair(stall_s=40, keepalive_s=1_000)
    number = pair.call(message(b"a"), "/s/Many", end=False)
    assert pair.server.take(pair.runner.started[0]) == b"a"
    pair.pass_time(900)
    assert pair.status(number) is None


@pytest.mark.parametrize("path", ["/s/One", "/s/Many"])
def test_an_answer_that_nobody_takes_ends_its_call_and_frees_its_bytes(path):
    pair = Pair(stall_s=40, keepalive_s=1_000, client={Setting.INITIAL_WINDOW_SIZE: 0})
    number = pair.call(message(b"a"), path)
    (call,) = pair.runner.started
    if path == "/s/Many":
        pair.server.send(call, bytes(50_000))
    else:
        pair.server.answer(call, bytes(50_000))
    pair.exchange()
    assert pair.shared.outgoing.n_bytes == 50_005
    pair.pass_time(80)
    assert pair.resets[number] == ErrorCode.CANCEL
    assert pair.shared.outgoing.n_bytes == 0


@pytest.mark.parametrize("ends", ["answer", "fail", "end"])
def test_what_was_asked_is_let_go_of_while_the_answer_is_not_taken(ends):
    pair = Pair(client={Setting.INITIAL_WINDOW_SIZE: 0})
    pair.call(message(bytes(60_000)))
    (call,) = pair.runner.started
    assert call.body == bytes(60_000)
    error = (InvalidRequest("x"),) if ends == "fail" else (b"x",) if ends == "answer" else ()
    getattr(pair.server, ends)(call, *error)
    assert call.body is None


def test_a_slow_reader_that_takes_a_little_now_and_then_is_let_be():
    pair = Pair(stall_s=40, keepalive_s=1_000, client={Setting.INITIAL_WINDOW_SIZE: 0})
    number = pair.call(message(b"a"))
    answered(pair, number, bytes(100))
    for taken in range(1, 10):
        pair.pass_time(35)
        pair.client.set_local_window_size(10 * taken, stream_id=number)
        pair.exchange()
    assert number not in pair.resets
    pair.client.set_local_window_size(1_000, stream_id=number)
    pair.exchange()
    assert pair.status(number) == (0, "")


# The connection


def test_a_connection_has_at_most_so_many_calls():
    pair = Pair(n_streams=3)
    assert pair.client.remote_settings[Setting.MAX_CONCURRENT_STREAMS] == 3
    numbers = [pair.call(message(b"a")) for _ in range(4)]
    assert len(pair.runner.started) == 3
    answered(pair, numbers[0])
    assert len(pair.runner.started) == 4  # the client had held it back


def test_a_peer_that_does_not_greet_is_cut_off_and_one_that_does_is_not():
    pair = Pair(keepalive_s=10_000)
    pair.pass_time(1_000)
    assert not pair.runner.aborted
    runner = Recorder()
    silent = Connection(pair.shared, runner, 0.0)
    assert silent.to_send()  # it greets first
    silent.look(9.9)
    assert not runner.aborted
    silent.look(10)
    assert runner.aborted


def test_a_silent_peer_is_pinged_and_one_that_answers_stays():
    pair = Pair(keepalive_s=60, answer_s=20)
    pair.pass_time(300)
    assert sum(isinstance(event, PingReceived) for event in pair.events) >= 4
    assert not pair.runner.aborted
    pair.client = None
    pair.exchange = pair.server.to_send
    pair.pass_time(90)
    assert pair.runner.aborted


def goaways(pair):
    return [event for event in pair.events if isinstance(event, GoAwayReceived)]


def test_a_drain_tells_it_twice_and_waits_for_the_calls():
    pair = Pair()
    number = pair.call(message(b"a"))
    pair.server.drain(pair.now_s, 30)
    pair.exchange()
    pair.server.look(pair.now_s)
    pair.exchange()
    first, last = goaways(pair)
    assert (first.last_stream_id, last.last_stream_id) == (2**31 - 1, number)
    pair.pass_time(5)
    assert not pair.server.is_over
    answered(pair, number)
    assert pair.status(number)[0] == 0
    assert not pair.server.is_over
    pair.pass_time(1)
    assert pair.server.is_over


def test_calls_that_do_not_end_in_time_are_told_unavailable():
    pair = Pair()
    number = pair.call(message(b"a"))
    pair.server.drain(pair.now_s, 3)
    pair.exchange()
    pair.pass_time(4)
    assert pair.status(number)[0] == UNAVAILABLE
    assert pair.runner.cancelled == pair.runner.started
    assert pair.server.is_over


def test_an_old_connection_is_drained():
    pair = Pair(age_s=100)
    pair.pass_time(99)
    assert not goaways(pair)
    pair.pass_time(3)
    assert goaways(pair)
    assert pair.server.is_over


def test_calls_opened_and_reset_without_end_end_the_connection():
    """CVE-2023-44487. libnghttp2 has its own clock, so this has to be fast."""
    pair = Pair()
    block, cancel = call_headers("/s/One"), struct.pack(">I", ErrorCode.CANCEL)
    for start in range(1, 60_001, 2_000):
        numbers = range(start, start + 2_000, 2)
        pair.server.receive(
            b"".join(
                frame(HEADERS, END_HEADERS, number, block) + frame(RST_STREAM, 0, number, cancel)
                for number in numbers
            ),
            pair.now_s,
        )
        pair.exchange()
        if goaways(pair):
            break
    assert goaways(pair)
    assert not pair.runner.started
