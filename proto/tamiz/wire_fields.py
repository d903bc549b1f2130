"""Protobuf's wire format, where its own parser would cost too much: fields found without copying them.

A model is one field of its file. Protobuf's own parser copies it twice, and holds Python's interpreter lock
while it does: 0.15 s for 100 MB, in which a server answers nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES: Final = 10
_MAX_TAG: Final = 2**32


class WireError(ValueError):
    """Some bytes are not a protobuf message, or only the beginning of one."""


def bytes_fields(content: bytes) -> Iterator[tuple[int, memoryview]]:
    """Return the number and the content of each field of bytes, strings or messages, in their order.

    Numbers are skipped. Groups, which proto3 does not have, are refused.
    (https://protobuf.dev/programming-guides/encoding, "Message Structure")

    Raises:
        WireError: if the content is not a message. The fields before the mistake have been returned by then.
    """
    view = memoryview(content)
    position = 0
    while position < len(content):
        tag, position = read_varint(content, position)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= _MAX_TAG:
            raise WireError(f"field number {number} at byte {position}")
        if kind == _VARINT:
            _, position = read_varint(content, position)
            continue
        if kind == _BYTES:
            size, position = read_varint(content, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise WireError(f"wire type {kind} at byte {position}")
        if position + size > len(content):
            raise WireError(f"field {number} ends at byte {position + size}, the file at {len(content)}")
        if kind == _BYTES:
            yield number, view[position : position + size]
        position += size


def read_varint(content: bytes, position: int) -> tuple[int, int]:
    """Return the number of variable length at a position, and where it ends.

    Raises:
        WireError: if it does not end.
    """
    value = 0
    for k in range(_MAX_VARINT_BYTES):
        if position + k >= len(content):
            break
        byte = content[position + k]
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:  # noqa: PLR2004  the highest bit says that more follow
            return value, position + k + 1
    raise WireError(f"an unfinished number at byte {position}")


def write_varint(number: int) -> bytes:
    """Return a number that is not negative as protobuf writes it: seven bits per byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004  seven bits
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
