"""How many parts a large message has: one with too many is refused before they become objects.

Numbers in `raw` cost nothing to read, however many there are. Every other part becomes an object of at
least 16 bytes: 64 MB of empty inputs would take two seconds, in which nobody is answered, and more than two
gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tamiz.wire_fields import WireError, read_varint
from tamiz_server.errors import InvalidRequest

MOST_PARTS: Final = 2**18
"""How many fields a message may have; each string counts as one."""

_MOST_PACKED_BYTES: Final = 2**22
"""How many bytes of numbers in lists it may have, in total."""

_SMALL_BYTES: Final = 2**20
_VARINT, _EIGHT, _SIZED, _GROUP, _END_GROUP, _FOUR = range(6)
_NOT_PACKED: Final = {
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_MESSAGE,
}


def check_layout(body: bytes, type_: type[Message]) -> None:
    """Refuse a message with too many parts. Small messages are not searched; protobuf refuses malformed ones.

    Raises:
        InvalidRequest: if it has more than `MOST_PARTS` fields, or too many numbers in lists.
    """
    if len(body) <= _SMALL_BYTES:
        return
    n_packed_bytes = 0
    for n_fields, (field, n_bytes) in enumerate(_fields(body, type_), start=1):
        if n_fields > MOST_PARTS:
            raise InvalidRequest(
                f"the message has more than {MOST_PARTS} fields or strings: send its rows in several"
                " requests, and numbers as raw bytes"
            )
        if field is not None and field.type not in _NOT_PACKED:
            n_packed_bytes += n_bytes
            if n_packed_bytes > _MOST_PACKED_BYTES:
                raise InvalidRequest(
                    f"the message has more than {_MOST_PACKED_BYTES} bytes of numbers that are not raw (in"
                    f" {field.name}): send them as raw bytes, or in several requests"
                )


def _fields(body: bytes, type_: type[Message]) -> Iterator[tuple[FieldDescriptor | None, int]]:
    """Return the fields of a message and of the messages in it, one after the other, each with its size.

    The field is None if the message does not define it, or if it has no size of its own.
    """
    parts: list[tuple[int, int, Any]] = [(0, len(body), type_.DESCRIPTOR)]
    while parts:
        position, end, message = parts.pop()
        with suppress(WireError):
            while position < end:
                tag, start = read_varint(body, position)
                position = _after(body, tag & 7, start)
                field = None
                if tag & 7 == _SIZED:
                    field = message.fields_by_number.get(tag >> 3)
                    start = read_varint(body, start)[1]
                if field is not None and field.message_type is not None:
                    parts.append((start, min(position, end), field.message_type))
                yield field, position - start


def _after(body: bytes, wire_type: int, start: int) -> int:
    """Return where the value of a field ends that starts there."""
    if wire_type == _VARINT:
        return read_varint(body, start)[1]
    if wire_type == _SIZED:
        length, start = read_varint(body, start)
        return start + length
    if wire_type in (_GROUP, _END_GROUP):  # what is inside counts as fields of this message
        return start
    if wire_type in (_EIGHT, _FOUR):
        return start + (8 if wire_type == _EIGHT else 4)
    raise WireError(f"wire type {wire_type} at byte {start}")
