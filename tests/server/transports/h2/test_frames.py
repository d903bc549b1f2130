"""Frames by hand: what RFC 9113 says a server must do, one section after the other, in memory."""

from __future__ import annotations

import math
import struct
from collections import Counter
from typing import NamedTuple

import pytest
from ngh2 import ErrorCode
from tests.faults.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    call_headers,
    field,
    frame,
    message,
)
from tests.server.transports.h2.in_memory import ROUTES, SMALL, Recorder

from tamiz_server.transports.h2.connection import Connection, Shared
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.reception import Reception
from tamiz_server.transports.room import Room

PRIORITY, PUSH_PROMISE, PADDED, HAS_PRIORITY = 2, 5, 8, 32
MAX_FRAME_SIZE, INITIAL_WINDOW_SIZE, ENABLE_PUSH, MAX_WINDOW = 5, 4, 2, 2**31 - 1
BLOCK = call_headers("/s/One")
ASKED = frame(HEADERS, END_HEADERS, 1, BLOCK)
WHOLE = ASKED + frame(DATA, END_STREAM, 1, message(b"a"))


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def frames(data: bytes) -> list[Frame]:
    found = []
    while data:
        size = int.from_bytes(data[:3])
        found.append(Frame(*struct.unpack(">BBI", data[3:9]), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


class Served:
    """A connection that has greeted, and what it sends."""

    def __init__(self, greeting: bytes = PREFACE + frame(SETTINGS), **limits) -> None:
        made = Limits(**SMALL | limits)
        self.refused: Counter[str] = Counter()
        shared = Shared(
            Reception(ROUTES, made, None), made, Room(made.all_bytes), Room(made.all_bytes), self.refused
        )
        self.runner = Recorder()
        self.connection = Connection(shared, self.runner, 0.0)
        self.sent: list[Frame] = []
        self.send(greeting)

    def send(self, *parts: bytes) -> Served:
        for part in parts:
            self.connection.receive(part, 1.0)
            self.sent += frames(self.connection.to_send())
        return self

    def of(self, kind: int, stream: int | None = None) -> list[Frame]:
        return [each for each in self.sent if each.kind == kind and stream in {None, each.stream}]

    def answer(self) -> None:
        for call in self.runner.started:
            self.connection.answer(call, b"yes")
        self.sent += frames(self.connection.to_send())

    def connection_error(self) -> ErrorCode | None:
        """The code with which the connection was ended; None if it goes on."""
        codes = [ErrorCode(int.from_bytes(each.payload[4:8])) for each in self.of(GOAWAY)]
        assert bool(codes) == self.connection.is_over or self.runner.aborted
        return codes[-1] if codes else None

    def stream_error(self, stream: int) -> ErrorCode | None:
        codes = [ErrorCode(int.from_bytes(each.payload)) for each in self.of(RST_STREAM, stream)]
        return codes[-1] if codes else None

    def still_serves(self, stream: int) -> bool:
        """Whether another call is answered."""
        self.send(frame(HEADERS, END_HEADERS, stream, BLOCK) + frame(DATA, END_STREAM, stream, message(b"")))
        self.answer()
        return bool(self.of(DATA, stream))


def test_3_4_the_server_greets_with_settings_and_acknowledges_the_clients():
    served = Served()
    assert served.sent[0].kind == SETTINGS
    assert not served.sent[0].flags & ACK
    assert any(each.flags & ACK for each in served.of(SETTINGS))


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01" + bytes(100),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        bytes(24),
    ],
)
def test_3_4_a_wrong_preface_ends_the_connection(greeting):
    assert Served(greeting).runner.aborted


def test_3_4_a_preface_without_settings_is_an_error():
    assert Served(PREFACE + frame(PING, 0, 0, bytes(8))).connection_error() == ErrorCode.PROTOCOL_ERROR


def test_4_1_unknown_frames_are_ignored_and_so_are_reserved_bits():
    served = Served().send(frame(0xBE, 0xFF, 0, b"12345678"), frame(0xFF, 0, 5))
    assert served.connection_error() is None
    block = frame(HEADERS, END_HEADERS, 1 | 1 << 31, BLOCK)
    served.send(block, frame(DATA, END_STREAM, 1, message(b"a")))
    assert len(served.runner.started) == 1


def test_4_2_a_frame_larger_than_allowed_is_an_error_of_its_size():
    served = Served().send(ASKED, frame(DATA, 0, 1, bytes(16_385)))
    assert served.connection_error() == ErrorCode.FRAME_SIZE_ERROR


def test_4_3_a_header_block_that_cannot_be_decoded_ends_the_connection():
    served = Served().send(frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"))
    assert served.connection_error() == ErrorCode.COMPRESSION_ERROR


@pytest.mark.parametrize(
    "between", [frame(PING, 0, 0, bytes(8)), frame(DATA, 0, 1), frame(CONTINUATION, 4, 3)]
)
def test_4_3_a_header_block_is_not_interrupted(between):
    served = Served().send(frame(HEADERS, 0, 1, BLOCK[:10]), between)
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR


def test_4_3_a_header_block_may_come_in_pieces():
    pieces = [frame(HEADERS, 0, 1, BLOCK[:10]), frame(CONTINUATION, 0, 1, BLOCK[10:30])]
    served = Served().send(*pieces, frame(CONTINUATION, END_HEADERS, 1, BLOCK[30:]))
    served.send(frame(DATA, END_STREAM, 1, message(b"a")))
    assert len(served.runner.started) == 1


@pytest.mark.parametrize("sent", [frame(DATA, 0, 1, b"a"), frame(RST_STREAM, 0, 1, bytes(4)),
                                  frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")])  # fmt: skip
def test_5_1_on_an_idle_stream_only_headers_may_come(sent):
    assert Served().send(sent).connection_error() == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("sent", [frame(DATA, 0, 1, b"a"), ASKED])
def test_5_1_after_its_end_nothing_more_may_come_on_a_stream(sent):
    served = Served().send(WHOLE, sent)
    assert ErrorCode.STREAM_CLOSED in {served.connection_error(), served.stream_error(1)}


@pytest.mark.parametrize("stream", [2, 4, 1_000])
def test_5_1_1_streams_of_a_client_have_odd_numbers(stream):
    served = Served().send(frame(HEADERS, END_HEADERS, stream, BLOCK))
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR


def test_5_1_1_a_stream_with_a_lower_number_than_those_before_is_not_served():
    """libnghttp2 ignores it, because it may be one that was closed, instead of ending the connection."""
    served = Served().send(
        frame(HEADERS, END_HEADERS, 5, BLOCK), frame(HEADERS, END_HEADERS, 3, BLOCK),
        frame(DATA, END_STREAM, 5, message(b"a")),
    )  # fmt: skip
    assert [call.number for call in served.runner.started] == [5]
    assert served.still_serves(7)


def test_5_1_2_streams_beyond_the_limit_are_refused_and_the_others_live_on():
    served = Served(n_streams=2)
    served.send(frame(SETTINGS, ACK), *(frame(HEADERS, END_HEADERS, number, BLOCK) for number in (1, 3, 5)))
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR  # it was told, and has acknowledged that
    served = Served(n_streams=2)
    served.send(*(frame(HEADERS, END_HEADERS, number, BLOCK) for number in (1, 3, 5)))
    assert served.stream_error(5) == ErrorCode.REFUSED_STREAM
    assert served.stream_error(1) is served.stream_error(3) is None
    served.send(frame(DATA, END_STREAM, 1, message(b"a")))
    assert len(served.runner.started) == 1


def test_5_3_1_a_stream_cannot_depend_on_itself_if_priorities_are_read_at_all():
    """RFC 9113 deprecates priorities: an error or nothing, but the connection stays in step."""
    served = Served().send(frame(PRIORITY, 0, 1, b"\0\0\0\1\xff"), WHOLE)
    assert served.connection_error() in {None, ErrorCode.PROTOCOL_ERROR}


def test_5_5_unknown_settings_are_ignored():
    assert Served().send(frame(SETTINGS, 0, 0, struct.pack(">HI", 0xBEEF, 1))).connection_error() is None


def test_6_1_padding_is_taken_away_and_counts_for_the_window():
    padded = b"\x05" + message(b"abc") + bytes(5)
    served = Served().send(ASKED, frame(DATA, END_STREAM | PADDED, 1, padded))
    assert [call.body for call in served.runner.started] == [b"abc"]


@pytest.mark.parametrize("kind", [DATA, HEADERS])
def test_6_1_6_2_padding_longer_than_the_frame_is_an_error(kind):
    served = Served().send(ASKED)
    served.send(frame(kind, PADDED | END_HEADERS, 1 if kind == DATA else 3, b"\xff" + BLOCK[:20]))
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [DATA, HEADERS, RST_STREAM, CONTINUATION])
def test_6_frames_of_streams_do_not_come_on_stream_0(kind):
    payload = {HEADERS: BLOCK, RST_STREAM: bytes(4)}.get(kind, b"a")
    assert Served().send(frame(kind, END_HEADERS, 0, payload)).connection_error() == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [SETTINGS, PING, GOAWAY])
def test_6_frames_of_the_connection_do_not_come_on_a_stream(kind):
    payload = b"" if kind == SETTINGS else bytes(8)
    assert Served().send(ASKED, frame(kind, 0, 1, payload)).connection_error() == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [(RST_STREAM, (0, 3, 5)), (SETTINGS, (1, 5, 7)), (PING, (0, 7, 9)), (WINDOW_UPDATE, (0, 3, 5))],
)
def test_6_frames_of_a_fixed_size_have_it(kind, sizes):
    for size in sizes:
        stream = 1 if kind == RST_STREAM else 0
        served = Served().send(ASKED, frame(kind, 0, stream, bytes(size)))
        assert served.connection_error() == ErrorCode.FRAME_SIZE_ERROR


def test_6_5_an_acknowledgement_of_settings_is_empty():
    served = Served().send(frame(SETTINGS, ACK, 0, bytes(6)))
    assert served.connection_error() == ErrorCode.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (ENABLE_PUSH, 2, ErrorCode.PROTOCOL_ERROR),
        (INITIAL_WINDOW_SIZE, 2**31, ErrorCode.FLOW_CONTROL_ERROR),
        (MAX_FRAME_SIZE, 16_383, ErrorCode.PROTOCOL_ERROR),
        (MAX_FRAME_SIZE, 2**24, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_6_5_2_settings_out_of_range_are_an_error(name, value, code):
    assert Served().send(frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))).connection_error() == code


def test_6_5_3_every_settings_frame_is_acknowledged():
    served = Served()
    before = len(served.of(SETTINGS))
    served.send(frame(SETTINGS), frame(SETTINGS))
    assert len(served.of(SETTINGS)) == before + 2


def test_6_6_a_client_cannot_push():
    served = Served().send(ASKED, frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + BLOCK))
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR


def test_6_7_a_ping_is_answered_with_what_it_holds_and_an_answer_is_not():
    served = Served().send(frame(PING, 0, 0, b"12345678"), frame(PING, ACK, 0, b"unasked!"))
    assert [(each.flags, each.payload) for each in served.of(PING)] == [(ACK, b"12345678")]


def test_6_8_after_a_goaway_of_the_client_its_calls_are_still_answered():
    served = Served().send(WHOLE, frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
    served.answer()
    assert served.of(DATA, 1)


def test_6_9_an_increment_of_0_is_an_error_of_the_stream_or_of_the_connection():
    served = Served().send(ASKED, frame(WINDOW_UPDATE, 0, 0, bytes(4)))
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR
    served = Served().send(ASKED, frame(WINDOW_UPDATE, 0, 1, bytes(4)))
    assert ErrorCode.PROTOCOL_ERROR in {served.stream_error(1), served.connection_error()}


def test_6_9_1_a_window_does_not_grow_beyond_its_limit():
    grown = struct.pack(">I", MAX_WINDOW)
    assert Served().send(frame(WINDOW_UPDATE, 0, 0, grown)).connection_error() == ErrorCode.FLOW_CONTROL_ERROR
    served = Served().send(ASKED, frame(WINDOW_UPDATE, 0, 1, grown))
    assert ErrorCode.FLOW_CONTROL_ERROR in {served.stream_error(1), served.connection_error()}


def test_6_9_1_a_sender_that_ignores_the_window_is_stopped():
    served = Served().send(frame(HEADERS, END_HEADERS, 1, call_headers("/s/Many")))
    served.send(*(frame(DATA, 0, 1, bytes(16_000)) for _ in range(5)))
    assert ErrorCode.FLOW_CONTROL_ERROR in {served.stream_error(1), served.connection_error()}


def test_6_9_1_no_more_is_sent_than_the_window_allows_and_all_of_it_when_it_opens():
    served = Served(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 3))).send(WHOLE)
    served.answer()
    assert b"".join(each.payload for each in served.of(DATA, 1)) == message(b"yes")[:3]
    served.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 100)))
    assert b"".join(each.payload for each in served.of(DATA, 1)) == message(b"yes")


def test_6_9_2_a_changed_initial_window_changes_the_open_streams_even_below_0():
    served = Served(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 3))).send(WHOLE)
    served.answer()
    served.send(frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 1)))
    served.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2)))
    assert sum(len(each.payload) for each in served.of(DATA, 1)) == 3
    served.send(frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2)))
    assert sum(len(each.payload) for each in served.of(DATA, 1)) == 5


def test_6_10_a_continuation_follows_headers_only():
    served = Served().send(ASKED, frame(CONTINUATION, END_HEADERS, 1, BLOCK))
    assert served.connection_error() == ErrorCode.PROTOCOL_ERROR


MALFORMED = {
    "an upper-case name": field("Big", "x"),
    "a pseudo-header that is not one of a request": field(":status", "200"),
    "an unknown pseudo-header": field(":mine", "x"),
    "a pseudo-header twice": field(":path", "/other"),
    "a field of connections": field("connection", "close"),
    "another field of connections": field("transfer-encoding", "chunked"),
    "te with another value": field("te", "gzip"),
    "a name with a space": field("a b", "x"),
    "a name with a line end": field("a\n", "x"),
    "a value with a line end": field("a", "x\r\ny"),
    "a value with a zero": field("a", "x\0y"),
    "a value with a space at its end": field("a", "x "),
    "a length that is no number": field("content-length", "many"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_8_1_1_8_2_a_malformed_request_is_an_error_of_its_stream(what):
    served = Served().send(frame(HEADERS, END_HEADERS, 1, BLOCK + MALFORMED[what]))
    assert served.stream_error(1) == ErrorCode.PROTOCOL_ERROR
    assert not served.runner.started
    assert served.still_serves(3)


@pytest.mark.parametrize("left_out", [":method", ":scheme", ":path"])
def test_8_3_1_a_request_without_its_pseudo_headers_is_malformed(left_out):
    fields = {":method": "POST", ":scheme": "http", ":path": "/s/One", "content-type": "application/grpc"}
    block = b"".join(field(name, value) for name, value in fields.items() if name != left_out)
    served = Served().send(frame(HEADERS, END_HEADERS, 1, block))
    assert served.stream_error(1) == ErrorCode.PROTOCOL_ERROR
    assert served.still_serves(3)


def test_8_3_pseudo_headers_come_first():
    block = field("te", "trailers") + call_headers("/s/One")
    assert Served().send(frame(HEADERS, END_HEADERS, 1, block)).stream_error(1) == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("length", ["1", "1000"])
def test_8_1_1_a_message_that_is_not_as_long_as_its_content_length_is_malformed(length):
    block = BLOCK + field("content-length", length)
    served = Served().send(frame(HEADERS, END_HEADERS, 1, block), frame(DATA, END_STREAM, 1, message(b"a")))
    assert served.stream_error(1) == ErrorCode.PROTOCOL_ERROR
    assert not served.runner.started


def test_8_1_trailers_end_the_message_and_hold_no_pseudo_headers():
    served = Served().send(ASKED, frame(DATA, 0, 1, message(b"a")))
    served.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, field("x", "y")))
    assert len(served.runner.started) == 1
    served.send(frame(HEADERS, END_HEADERS, 3, BLOCK), frame(DATA, 0, 3, message(b"a")))
    served.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, field(":path", "/")))
    assert served.stream_error(3) == ErrorCode.PROTOCOL_ERROR
    served.send(frame(HEADERS, END_HEADERS, 5, BLOCK), frame(HEADERS, END_HEADERS, 5, field("x", "y")))
    assert ErrorCode.PROTOCOL_ERROR in {served.stream_error(5), served.connection_error()}


FLOODS = {
    "pings": frame(PING, 0, 0, b"12345678"),
    "settings": frame(SETTINGS),
    "empty DATA": frame(DATA, 0, 1),
}


@pytest.mark.parametrize("what", FLOODS)
def test_10_5_frames_that_bring_nothing_end_the_connection_if_there_are_too_many(what):
    served = Served().send(frame(HEADERS, END_HEADERS, 1, call_headers("/s/Many")))
    for _ in range(100):
        if served.connection.is_over:
            break
        served.send(FLOODS[what] * 100)
    assert served.connection.is_over
    few = Served().send(frame(HEADERS, END_HEADERS, 1, call_headers("/s/Many")), FLOODS[what] * 500)
    assert not few.connection.is_over


def test_10_5_a_ping_for_each_call_or_answer_is_no_flood():
    """Go's and Java's clients measure how far away the server is as often as answers come."""
    served = Served()
    for number in range(1, 10_001, 2):
        served.send(frame(HEADERS, END_HEADERS, number, BLOCK), FLOODS["pings"])
        served.send(frame(DATA, END_STREAM, number, message(b"a")))
        served.connection.answer(served.runner.started[-1], b"b")
        served.send(FLOODS["pings"])
    assert not served.connection.is_over


def test_10_5_1_a_block_without_end_ends_the_connection():
    served = Served().send(frame(HEADERS, 0, 1, BLOCK))
    for number in range(50):
        served.send(frame(CONTINUATION, 0, 1, field(f"x{number}", "y" * 10_000)))
    assert served.runner.aborted
    assert served.refused == {"RESOURCE_EXHAUSTED": 1}


def test_10_5_1_a_block_that_unpacks_to_much_more_ends_the_connection():
    """A large field, kept in HPACK's table and named by one byte, again and again (RFC 7541, section 7.3)."""
    kept = b"\x40" + field("x", "v" * 3_900)[1:]
    served = Served().send(frame(HEADERS, END_HEADERS, 1, BLOCK + kept + b"\xbe" * 5_000))
    assert served.runner.aborted


def test_the_clock_may_stand_still():
    assert math.isfinite(Served().connection.due_s)
