"""The statuses of gRPC, and how one ends a call on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tamiz_server.transports.h2.metadata import encoded, percent_encoded

NUMBERS: Final = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}
"""The number of each status (grpc/doc/statuscodes.md)."""

OK_TRAILERS: Final = [(b"grpc-status", b"0")]


def trailers(
    code: str, message: str, metadata: Iterable[tuple[str, str | bytes]] = ()
) -> list[tuple[bytes, bytes]]:
    """Return the trailers that end a call with a status, its message and more metadata."""
    fields = [(b"grpc-status", b"%d" % NUMBERS[code])]
    if message:
        fields.append((b"grpc-message", percent_encoded(message)))
    fields.extend(encoded(metadata))
    return fields
