"""Packed messages, unpacked only as far as a message may be large."""

from __future__ import annotations

import zlib
from typing import Final

from tamiz_server.errors import InvalidRequest, MessageTooLarge

_WINDOWS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

ENCODINGS: Final = frozenset(_WINDOWS)
"""What a message may be packed with, if that is allowed at all; `deflate` is zlib's format (RFC 1950)."""


def unpacked(packed: bytes, encoding: str, most_bytes: int) -> bytes:
    """Return a message that was packed.

    Raises:
        InvalidRequest: if it cannot be unpacked, or if more follows it.
        MessageTooLarge: if it is larger than allowed; nothing beyond that is unpacked.
    """
    unpacking = zlib.decompressobj(_WINDOWS[encoding])
    try:
        message = unpacking.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the message cannot be unpacked as {encoding}: {error}") from error
    if len(message) > most_bytes:
        raise MessageTooLarge(f"the message is larger than {most_bytes} bytes when it is unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise InvalidRequest(f"the message is not one whole piece of {encoding}")
    return message
