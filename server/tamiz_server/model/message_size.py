"""How many parts a large message has: one with too many is refused before they become objects.

Numbers in `raw` cost nothing to read, however many there are. Every other part becomes an object of at
least 16 bytes: 64 MB of empty inputs would take two seconds, in which nobody is answered, and more than two
gigabytes. Counting must cost less than reading, so what no honest sender makes many of is refused early.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tamiz.wire_fields import WireError, read_varint
from tamiz_server.errors import InvalidRequest

MOST_STRINGS: Final = 2**18
"""How many strings a message may have in lists."""

MOST_FIELDS: Final = 2**16
"""How many other fields it may have."""

_MOST_UNKNOWN: Final = 1_000
"""How many of those its contract may not know. A sender with a later contract has few."""

_MOST_PACKED_BYTES: Final = 2**22
"""How many bytes of numbers in lists it may have, in total."""

_SMALL_BYTES: Final = 2**20
_VARINT, _EIGHT, _SIZED, _GROUP, _END_GROUP, _FOUR = range(6)
_LONG: Final = 0x80
"""A byte of at least this says that the number goes on."""

_WIRE_TYPES: Final = {
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64), _EIGHT),
    **dict.fromkeys((FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32), _FOUR),
}
_TEXTS: Final = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}


class _Field(NamedTuple):
    """What matters about a field that a message defines."""

    name: str
    within: Descriptor | None
    """What its messages are."""

    holds_strings: bool
    holds_numbers: bool


def check_layout(body: bytes, type_: type[Message]) -> None:
    """Refuse a message with too many parts. Small messages are not searched; protobuf refuses malformed ones.

    Raises:
        InvalidRequest: if it has more than `MOST_STRINGS` strings in lists, more than `MOST_FIELDS` other
            fields, many unknown ones, or too many numbers in lists.
    """
    if len(body) <= _SMALL_BYTES:
        return
    n_strings = n_fields = n_unknown = n_packed_bytes = 0
    for field, size in _fields(body, cast("Descriptor", type_.DESCRIPTOR)):
        if field is not None and field.holds_strings:
            n_strings += size
            n_fields -= 1
        elif field is not None and field.holds_numbers:
            n_packed_bytes += size
        n_fields += 1
        n_unknown += field is None
        if n_strings > MOST_STRINGS or n_fields > MOST_FIELDS or n_unknown > _MOST_UNKNOWN:
            raise InvalidRequest(
                f"the message has more than {MOST_STRINGS} strings, {MOST_FIELDS} other fields or"
                f" {_MOST_UNKNOWN} unknown ones: send its rows in several requests, and numbers as raw bytes"
            )
        if n_packed_bytes > _MOST_PACKED_BYTES:
            raise InvalidRequest(
                f"the message has more than {_MOST_PACKED_BYTES} bytes of numbers that are not raw (in"
                f" {field.name if field else ''}): send them as raw bytes, or in several requests"
            )


def _fields(body: bytes, type_: Descriptor) -> Iterator[tuple[_Field | None, int]]:
    """Return the fields of a message and of the messages in it, one after the other, each with its size.

    The field is None if the message does not define it. Strings of a list that follow one another are one
    field, and their number is its size. It ends where the message is malformed.
    """
    parts: list[tuple[int, int, Descriptor]] = [(0, len(body), type_)]
    while parts:
        position, end, message = parts.pop()
        known = _by_tag(message)
        with suppress(WireError, IndexError):
            while position < end:
                tag = body[position]  # most numbers have one byte; a call for each would take twice as long
                start = position + 1
                if tag >= _LONG:
                    tag, start = read_varint(body, position)
                field = known.get(tag)
                if tag & 7 != _SIZED:
                    position = _after(body, tag & 7, start)
                    yield field, 0
                    continue
                size = body[start]
                start += 1
                if size >= _LONG:
                    size, start = read_varint(body, start - 1)
                position = start + size
                if field is not None and field.holds_strings:
                    size, position = _after_strings(body, position, end, tag)
                elif size and field is not None and field.within is not None:
                    parts.append((start, min(position, end), field.within))
                yield field, size


@cache
def _by_tag(message: Descriptor) -> dict[int, _Field]:
    """Return the fields of a message by the tags that they may have: numbers may be packed, or one by one."""
    by_tag = {}
    for each in message.fields:
        is_text = each.type in _TEXTS
        is_sized = is_text or each.message_type is not None
        holds = (is_text and each.is_repeated, not is_sized)
        field = _Field(each.name, each.message_type, *holds)
        by_tag[each.number << 3 | _SIZED] = field
        if not is_sized:
            by_tag[each.number << 3 | _WIRE_TYPES.get(each.type, _VARINT)] = field
    return by_tag


def _after_strings(body: bytes, position: int, end: int, tag: int) -> tuple[int, int]:
    """Return how many strings with this tag follow one another, and where they end.

    The first ends at this position. There may be very many, so a string takes few steps. A tag that is
    written in several bytes is left to the caller.
    """
    n_strings = 1
    while position < end and body[position] == tag < _LONG and n_strings <= MOST_STRINGS:
        size = body[position + 1]
        position += 2
        if size >= _LONG:
            size, position = read_varint(body, position - 1)
        position += size
        n_strings += 1
    return n_strings, position


def _after(body: bytes, wire_type: int, start: int) -> int:
    """Return where the value of a field ends that starts there."""
    if wire_type == _VARINT:
        return read_varint(body, start)[1]
    if wire_type == _SIZED:
        length, start = read_varint(body, start)
        return start + length
    if wire_type in (_GROUP, _END_GROUP):  # proto3 has none: it, and what is inside, are unknown fields
        return start
    if wire_type in (_EIGHT, _FOUR):
        return start + (8 if wire_type == _EIGHT else 4)
    raise WireError(f"wire type {wire_type} at byte {start}")
