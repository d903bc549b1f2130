"""What header fields say: metadata, statuses and time-outs."""

from __future__ import annotations

import math
from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_server.errors import InvalidRequest
from tamiz_server.transports.h2.metadata import decoded, encoded, percent_encoded, size_bytes
from tamiz_server.transports.h2.statuses import NUMBERS, trailers
from tamiz_server.transports.h2.timeouts import timeout_s


def test_the_statuses_have_the_numbers_of_grpc():
    assert {status.name: status.value[0] for status in grpc.StatusCode} == NUMBERS


@given(st.text())
def test_any_message_comes_back_from_its_percent_encoding(text):
    told = percent_encoded(text)
    assert all(0x20 <= byte <= 0x7E for byte in told)
    assert unquote(told.decode()) == text.encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain, with (all) 'kinds' of signs~!", b"plain, with (all) 'kinds' of signs~!"),
        ("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n",
         b"%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A"),
        ("100 %", b"100 %25"),
        ("\x7f", b"%7F"),
    ],
)  # fmt: skip
def test_a_message_is_encoded_as_the_interoperability_tests_want_it(text, told):
    assert percent_encoded(text) == told


def test_trailers_hold_status_message_and_metadata():
    assert trailers("NOT_FOUND", "no é", [("a", "b"), ("c-bin", b"\0\xff")]) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"no %C3%A9"),
        (b"a", b"b"),
        (b"c-bin", b"AP8"),
    ]
    assert trailers("OK", "") == [(b"grpc-status", b"0")]


@given(st.binary(max_size=40))
def test_bytes_come_back_from_their_field(value):
    assert decoded(encoded([("x-bin", value)])) == [("x-bin", value)]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"AP8", [b"\0\xff"]),
        (b"AP8=", [b"\0\xff"]),
        (b"AP8,YQ==", [b"\0\xff", b"a"]),
        (b"AP8, YQ", [b"\0\xff", b"a"]),
        (b"", [b""]),
        (b"!!", []),
        (b"A", []),
    ],
)
def test_binary_metadata_are_read_with_and_without_padding(value, found):
    assert decoded([(b"x-bin", value)]) == [("x-bin", each) for each in found]


def test_metadata_leave_out_what_is_http2s_own_and_keep_repeats():
    fields = [(b":path", b"/a"), (b"k", b"1"), (b"k", b"2"), (b"odd", b"\xff")]
    assert decoded(fields) == [("k", "1"), ("k", "2"), ("odd", "\xff")]


def test_the_size_of_fields_is_what_http2_counts():
    assert size_bytes([(b"abc", b"de"), (b"", b"x" * 10)]) == 3 + 2 + 32 + 10 + 32


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3_600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"7u", 7e-6), (b"9n", 9e-9),
        (b"0S", 0), (b"99999999S", 99_999_999), (b"00000010m", 0.01),
    ],
)  # fmt: skip
def test_a_timeout_is_read(value, seconds):
    assert math.isclose(timeout_s(value), seconds)


@pytest.mark.parametrize(
    "value",
    [b"", b"S", b"1", b"1s", b"-1S", b"+1S", b"1.5S", b" 1S", b"1 S", b"100000000S", b"\xb2S", b"banana"],
)
def test_another_timeout_is_refused_in_words(value):
    with pytest.raises(InvalidRequest, match="expected up to 8 digits"):
        timeout_s(value)
