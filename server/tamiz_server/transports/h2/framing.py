"""gRPC's frames: each message follows a flag and its length (gRPC over HTTP/2, "Length-Prefixed-Message")."""

from __future__ import annotations

from collections import deque
from typing import Final

from tamiz_server.errors import InvalidRequest, MessageTooLarge, NotOffered
from tamiz_server.transports.compression import ENCODINGS, unpacked

PREFIX_BYTES: Final = 5
_SMALL_BYTES: Final = 1_024
"""Smaller pieces are joined: one of two bytes would take fifty bytes of memory."""


def framed(message: bytes) -> bytes:
    """Return a message as it is sent, not packed."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Deframer:
    """The messages of one call, out of the bytes that came.

    Attributes:
        n_bytes: how many bytes came that were not taken.
    """

    __slots__ = (
        "_chunks",
        "_encoding",
        "_is_packed",
        "_length",
        "_most_bytes",
        "_packed_allowed",
        "_start",
        "n_bytes",
    )

    def __init__(self, most_bytes: int, encoding: str = "identity", *, packed_allowed: bool = False) -> None:
        """Begin with no bytes.

        Args:
            most_bytes: the largest message, packed or not.
            encoding: what messages are packed with, as `grpc-encoding` says.
            packed_allowed: whether they may be packed.
        """
        self.n_bytes = 0
        self._most_bytes = most_bytes
        self._encoding = encoding
        self._packed_allowed = packed_allowed
        self._chunks: deque[bytes] = deque()
        self._start = 0
        self._is_packed = False
        self._length = -1

    def add(self, data: bytes) -> None:
        """Take bytes that came."""
        if not data:
            return
        self.n_bytes += len(data)
        if self._chunks and len(self._chunks[-1]) < _SMALL_BYTES:
            self._chunks[-1] += data
        else:
            self._chunks.append(data)

    def take(self) -> bytes | None:
        """Return the next message; None if it is not whole yet.

        Raises:
            InvalidRequest: if it cannot be unpacked.
            NotOffered: if it is packed, and that is not allowed.
            MessageTooLarge: if it says that it is larger than allowed, however little of it came.
        """
        if self._length < 0:
            if self.n_bytes < PREFIX_BYTES:
                return None
            self._read_prefix()
        if self.n_bytes < self._length:
            return None
        body = self._cut(self._length)
        self._length = -1
        return unpacked(body, self._encoding, self._most_bytes) if self._is_packed else body

    @property
    def is_between(self) -> bool:
        """Whether nothing of a next message came."""
        return self._length < 0 and not self.n_bytes

    def _read_prefix(self) -> None:
        prefix = self._cut(PREFIX_BYTES)
        flag, length = prefix[0], int.from_bytes(prefix[1:], "big")
        if flag > 1:
            raise InvalidRequest(f"a message begins with {flag}: expected 0, or 1 for a packed one")
        if length > self._most_bytes:
            raise MessageTooLarge(
                f"the message is {length} bytes large: at most {self._most_bytes} are taken"
            )
        if flag:
            self._check_packing()
        self._is_packed, self._length = bool(flag), length

    def _check_packing(self) -> None:
        if self._encoding == "identity":
            raise InvalidRequest("a message is marked as packed, but grpc-encoding does not say how")
        if not self._packed_allowed:
            raise NotOffered(f"the message is packed with {self._encoding[:20]}: send it as it is")
        if self._encoding not in ENCODINGS:
            known = " or ".join(sorted(ENCODINGS))
            raise NotOffered(f"the message is packed with {self._encoding[:20]}: expected {known}")

    def _cut(self, n_bytes: int) -> bytes:
        """Return so many bytes from the front; there are enough."""
        self.n_bytes -= n_bytes
        parts = []
        while n_bytes:
            chunk = self._chunks[0]
            end = self._start + n_bytes
            part = chunk[self._start : end]
            parts.append(part)
            n_bytes -= len(part)
            if end >= len(chunk):
                self._chunks.popleft()
                self._start = 0
            else:
                self._start = end
        return parts[0] if len(parts) == 1 else b"".join(parts)
