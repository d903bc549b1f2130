"""Metadata of a call: header fields, of which those named -bin hold bytes (gRPC over HTTP/2, "Requests")."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final
from urllib.parse import quote

_OVERHEAD_BYTES: Final = 32
"""How many bytes a field counts in addition to its name and value (RFC 9113, section 6.5.2)."""

_BINARY: Final = b"-bin"
# Space to tilde stand for themselves, except the percent sign.
_PLAIN: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

Fields = Sequence[tuple[bytes, bytes]]


def percent_encoded(text: str) -> bytes:
    """Return a text as the value of `grpc-message`: UTF-8, where all but plain ASCII is %XX."""
    return quote(text, safe=_PLAIN, errors="replace").encode()


def size_bytes(fields: Fields) -> int:
    """Return the size of a list of fields, as HTTP/2 counts it."""
    return sum(map(len, chain.from_iterable(fields))) + _OVERHEAD_BYTES * len(fields)


def decoded(fields: Fields) -> list[tuple[str, str | bytes]]:
    """Return the metadata that a caller sent, without HTTP/2's own fields.

    Several binary values may come in one field, separated by commas. One that is not base64 is left out.
    """
    found: list[tuple[str, str | bytes]] = []
    for name, value in fields:
        if name[:1] == b":":
            continue
        key = name.decode("latin-1")
        if not name.endswith(_BINARY):
            found.append((key, value.decode("latin-1")))
            continue
        for part in value.split(b","):
            digits = part.strip().rstrip(b"=")
            try:
                found.append((key, base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)))
            except binascii.Error:
                continue
    return found


def encoded(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    """Return metadata as header fields: bytes as base64 without padding, under a name that ends with -bin."""
    return [
        (name.encode(), value.encode() if isinstance(value, str) else base64.b64encode(value).rstrip(b"="))
        for name, value in metadata
    ]
