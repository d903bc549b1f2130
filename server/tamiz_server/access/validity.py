"""When the certificates of a PEM file are valid, read from their DER encoding (RFC 5280, section 4.1).

Python's ssl hands out the dates of a peer's certificate only.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_VERSION: Final = 0xA0
_SHORT_YEAR: Final = 0x17
_LONG: Final = 0x80
_PIVOT: Final = b"50"
"""UTCTime has two digits of the year: 50 to 99 are of the last century."""


class Validity(NamedTuple):
    """A time in seconds since 1970, from its begin to its end."""

    from_s: float
    until_s: float


def validity(pem: bytes) -> Validity | None:
    """Return when all certificates of a file are valid at once; None if that cannot be told."""
    try:
        found = [_dates(ssl.PEM_cert_to_DER_cert(each)) for each in _certificates(pem)]
    except (ValueError, IndexError):  # OpenSSL has taken the file: it is not for this to refuse it
        return None
    if not found:
        return None
    return Validity(max(each.from_s for each in found), min(each.until_s for each in found))


def _certificates(pem: bytes) -> Iterator[str]:
    for part in pem.split(_BEGIN)[1:]:
        yield (_BEGIN + part.partition(_END)[0] + _END).decode("ascii")


def _dates(certificate: bytes) -> Validity:
    to_be_signed, _ = _inside(certificate, 0)
    fields = _children(certificate, to_be_signed)
    if certificate[fields[0]] == _VERSION:
        fields = fields[1:]
    _serial, _algorithm, _issuer, dates = fields[:4]
    begin, end = _children(certificate, dates)
    return Validity(_seconds(certificate, begin), _seconds(certificate, end))


def _inside(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element at a place begins and ends."""
    length, start = data[at + 1], at + 2
    if length & _LONG:
        n_bytes = length ^ _LONG
        length, start = int.from_bytes(data[start : start + n_bytes], "big"), start + n_bytes
    return start, start + length


def _children(data: bytes, at: int) -> list[int]:
    """Return where the elements within the element at a place begin."""
    start, end = _inside(data, at)
    found = []
    while start < end:
        found.append(start)
        _, start = _inside(data, start)
    return found


def _seconds(data: bytes, at: int) -> float:
    """Return the time that the element at a place says, in seconds since 1970."""
    start, end = _inside(data, at)
    text = data[start:end]
    if data[at] == _SHORT_YEAR:
        text = (b"20" if text < _PIVOT else b"19") + text
    return datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
