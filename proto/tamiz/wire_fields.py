"""The fields of a protobuf message, found without copying them.

A model is one field of its file. Reading the message with protobuf's own parser copies it twice, and holds Python's
interpreter lock meanwhile: 0.15 s for 100 MB, in which a server answers nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES: Final = 10
_MAX_TAG: Final = 2**32


class WireError(ValueError):
    """Some bytes are no protobuf message, or one that was cut off."""


def bytes_fields(content: bytes) -> Iterator[tuple[int, memoryview]]:
    """Return the number and the content of each field of bytes, strings or messages, in their order.

    Numbers are passed over. (https://protobuf.dev/programming-guides/encoding, "Message Structure". Groups, which proto3
    does not have, are refused.)

    Raises:
        WireError: if the content is no message, once the fields before the mistake have been returned.
    """
    view = memoryview(content)
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= _MAX_TAG:
            raise WireError(f"field number {number} at byte {position}")
        if kind == _VARINT:
            _, position = _varint(content, position)
            continue
        if kind == _BYTES:
            size, position = _varint(content, position)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise WireError(f"wire type {kind} at byte {position}")
        if position + size > len(content):
            raise WireError(f"field {number} ends at byte {position + size}, the file at {len(content)}")
        if kind == _BYTES:
            yield number, view[position : position + size]
        position += size


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = 0
    for k, byte in enumerate(content[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:  # noqa: PLR2004  the highest bit says that more follow
            return value, position + k + 1
    raise WireError(f"an unfinished number at byte {position}")
