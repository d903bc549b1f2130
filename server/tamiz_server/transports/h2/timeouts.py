"""`grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, "Timeout")."""

from __future__ import annotations

from typing import Final

from tamiz_server.errors import InvalidRequest

_SECONDS: Final = {b"H": 3_600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST_DIGITS: Final = 8


def timeout_s(value: bytes) -> float:
    """Return the time that a call may take, in seconds.

    Raises:
        InvalidRequest: if it is not a number with a unit.
    """
    digits, unit = value[:-1], _SECONDS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        shown = value[:20].decode("latin-1")
        raise InvalidRequest(
            f"grpc-timeout is {shown!r}: expected up to 8 digits and one of H, M, S, m, u, n"
        )
    return int(digits) * unit
