"""Messages out of bytes, however they are cut; packed ones only as far as they may be large."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_server.errors import InvalidRequest, MessageTooLarge, NotOffered
from tamiz_server.transports.h2.framing import Deframer, framed

PACKING = {"gzip": gzip.compress, "deflate": zlib.compress}


def taken(deframer):
    found = []
    while (body := deframer.take()) is not None:
        found.append(body)
    return found


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(1, 20), min_size=1))
def test_messages_come_out_as_they_went_in_however_they_are_cut(bodies, cuts):
    sent = b"".join(map(framed, bodies))
    deframer, found, position, number = Deframer(50), [], 0, 0
    while position < len(sent):
        size = cuts[number % len(cuts)]
        deframer.add(sent[position : position + size])
        found += taken(deframer)
        position, number = position + size, number + 1
    assert found + taken(deframer) == bodies
    assert deframer.is_between
    assert deframer.n_bytes == 0


def test_pieces_of_two_bytes_take_hardly_more_memory_than_large_ones():
    came, pieces = Deframer(10**6), [bytes([number, 1]) for number in range(256)]
    tracemalloc.start()
    try:
        for number in range(100_000):
            came.add(pieces[number % 256])
        assert tracemalloc.get_traced_memory()[0] < 1.2 * 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("came", [b"\0", b"\0\0\0\0", b"\0\0\0\0\x05", b"\0\0\0\0\x05abcd"])
def test_half_a_message_is_not_one_yet(came):
    deframer = Deframer(100)
    deframer.add(came)
    assert deframer.take() is None
    assert not deframer.is_between


@pytest.mark.parametrize("length", [101, 5_000, 2**32 - 1])
def test_a_message_that_says_it_is_too_large_is_refused_before_it_comes(length):
    deframer = Deframer(100)
    deframer.add(b"\0" + length.to_bytes(4, "big"))
    with pytest.raises(MessageTooLarge, match=f"{length} bytes large: at most 100"):
        deframer.take()


@pytest.mark.parametrize("encoding", PACKING)
@pytest.mark.parametrize("body", [b"", b"x", bytes(10_000), bytes(range(256)) * 10])
def test_packed_messages_are_unpacked_if_that_is_allowed(encoding, body):
    packed = PACKING[encoding](body)
    deframer = Deframer(10_000, encoding, packed_allowed=True)
    deframer.add(b"\1" + len(packed).to_bytes(4, "big") + packed + framed(b"plain"))
    assert taken(deframer) == [body, b"plain"]


@pytest.mark.parametrize("encoding", PACKING)
@pytest.mark.parametrize("size", [10_001, 1_000_000, 100_000_000])
def test_what_unpacks_to_more_than_is_allowed_is_refused(encoding, size):
    packing = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    packed = b"".join([*(packing.compress(bytes(min(size, 10**6))) for _ in range(max(1, size // 10**6)))])
    packed += packing.flush()
    deframer = Deframer(max(10_000, 0), encoding, packed_allowed=True)
    if len(packed) > 10_000:
        packed = packed[:9_000]  # its beginning says enough
    deframer.add(b"\1" + len(packed).to_bytes(4, "big") + packed)
    with pytest.raises(MessageTooLarge, match="larger than 10000 bytes when it is unpacked"):
        deframer.take()


@pytest.mark.parametrize(
    ("encoding", "allowed", "packed", "error", "words"),
    [
        ("identity", True, b"", InvalidRequest, "does not say how"),
        ("gzip", False, gzip.compress(b"a", mtime=0), NotOffered, "packed with gzip: send it as it is"),
        ("br", True, b"a", NotOffered, "packed with br: expected deflate or gzip"),
        ("gzip", True, b"not gzip", InvalidRequest, "cannot be unpacked as gzip"),
        ("gzip", True, gzip.compress(b"a", mtime=0)[:-3], InvalidRequest, "not one whole piece"),
        ("gzip", True, gzip.compress(b"a", mtime=0) + b"more", InvalidRequest, "not one whole piece"),
        ("gzip", True, gzip.compress(b"a", mtime=0) * 2, InvalidRequest, "not one whole piece"),
        ("deflate", True, b"", InvalidRequest, "not one whole piece"),
    ],
)
def test_what_is_packed_otherwise_is_refused_in_words(encoding, allowed, packed, error, words):
    deframer = Deframer(100, encoding, packed_allowed=allowed)
    deframer.add(b"\1" + len(packed).to_bytes(4, "big") + packed)
    with pytest.raises(error, match=words):
        deframer.take()


@pytest.mark.parametrize("flag", [2, 3, 128, 255])
def test_another_flag_is_refused(flag):
    deframer = Deframer(100)
    deframer.add(bytes([flag, 0, 0, 0, 0]))
    with pytest.raises(InvalidRequest, match=f"begins with {flag}"):
        deframer.take()
