"""One request: what its header says, what came of its body, and what answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tamiz_server.access.access import Caller
from tamiz_server.serving.endpoints import Endpoint


class Call:
    """A request that was let in.

    Attributes:
        endpoint: what answers it.
        named: what its path names.
        headers: its header fields, in lower case; of several of one name the first.
        caller: who asks, if requests need tokens.
        packed: what its body is packed with; empty for nothing.
        most_bytes: how large its body may be.
        n_chunks: in how many chunks the body came, if it comes in chunks.
        task: what answers it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        named: dict[str, str],
        headers: Mapping[str, str],
        *,
        caller: Caller | None,
        packed: str,
        most_bytes: int,
    ) -> None:
        """Begin, with nothing of the body."""
        self.endpoint = endpoint
        self.named = named
        self.headers = headers
        self.caller = caller
        self.packed = packed
        self.most_bytes = most_bytes
        self.n_chunks = 0
        self.task: asyncio.Task[None] | None = None
        self._body = bytearray()  # not a list of parts: one of two bytes would take fifty bytes of memory

    def take(self, part: bytes) -> None:
        """Take the next part of the body."""
        self._body += part

    @property
    def n_bytes(self) -> int:
        """How many bytes of the body came."""
        return len(self._body)

    @property
    def body(self) -> bytes:
        """What came of the body."""
        return bytes(self._body)

    def let_go(self) -> None:
        """Let go of the body, which whoever answers has."""
        self._body = bytearray()
