"""What one connection, and all together, may ask for: the settings, and what follows from them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Self

from tamiz_server.config.config import Config

_ALL_BYTES: Final = 256 * 2**20
_OVERHEAD_BYTES: Final = 32
_BLANK_LINE: Final = re.compile(b"\n\r?\n")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of connections.

    Attributes:
        body_bytes: the largest body, either way.
        header_bytes: the largest header, request line and all; each field counts 32 bytes more, as in HTTP/2.
        packed_allowed: whether bodies may be packed.
        header_s: how long a request may take from its first byte to the end of its header; also the first
            request of a connection to begin, and a TLS handshake.
        idle_s: how long a connection may be idle between requests. Longer than load balancers keep one, so
            that they do not send a request into a connection that is being closed.
        least_bytes_per_s: the slowest that a body may come, after the first `header_s`.
        stall_s: how long a peer may take nothing of an answer.
        linger_s: how long the rest of a request is read, and forgotten, that was refused before its end. If
            the connection were closed at once, the peer might never see why.
        age_s: when a connection is ended, between two requests; infinite: never.
        ahead_bytes: how much of the next requests is read while one is being answered.
        all_bytes: how many bytes of incomplete requests all connections may hold.
    """

    body_bytes: int
    header_bytes: int
    packed_allowed: bool = False
    header_s: float = 10.0
    idle_s: float = 75.0
    least_bytes_per_s: float = 16 * 1024
    stall_s: float = 30.0
    linger_s: float = 2.0
    age_s: float = math.inf
    ahead_bytes: int = 65_536
    all_bytes: int = _ALL_BYTES

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the limits that the settings ask for."""
        return cls(
            body_bytes=config.max_message_bytes,
            header_bytes=config.max_metadata_bytes,
            packed_allowed=config.take_compressed,
            age_s=config.max_connection_age_s or math.inf,
            all_bytes=max(_ALL_BYTES, 2 * config.max_message_bytes),
        )


def fits(came: bytes, most_bytes: int) -> bool:
    """Return whether the header at the front may be small enough to be read, as far as it came.

    One read may bring a quarter of a megabyte: to read 60,000 lines takes half a second.
    """
    end = _BLANK_LINE.search(came, 0, most_bytes + 1)
    if end is None:
        return len(came) <= most_bytes
    return came.count(b"\n", 0, end.start()) <= most_bytes // _OVERHEAD_BYTES


def size_bytes(target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Return how much a header counts."""
    return len(target) + sum(len(name) + len(value) + _OVERHEAD_BYTES for name, value in headers)
