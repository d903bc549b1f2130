"""What one connection, and all together, may ask for: the settings, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from ngh2 import Configuration, Setting

from tamiz_server.config.config import Config

_ANSWER_WITHIN_S: Final = 20.0  # gRPC's default for a keepalive ping
_LARGEST_WINDOW: Final = 2**31 - 1
_FRAME_BYTES: Final = 16_384
MOST_RESETS: Final = 256
"""How many streams this side resets before it ends a connection in order; see `connection_window_bytes`."""
_CONTINUATIONS: Final = 8
_HARD_METADATA_BYTES: Final = 65_536
_ALL_BYTES: Final = 256 * 2**20
_LONGEST_TABLE_BYTES: Final = 4_096


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of connections.

    Attributes:
        message_bytes: the largest message, either way.
        metadata_bytes: the largest metadata of a call. A little more ends the call, much more the connection.
        n_streams: how many calls a connection may have open.
        window_bytes: how much a caller may send of one call before any of it is taken.
        age_s, grace_s: when a connection is ended, and how long its calls may still take; infinite: never.
        keepalive_s, answer_s: when a silent peer is asked whether it lives, and within what time it answers.
        handshake_s: how long a new connection may take to say what it is.
        stall_s: how long a message may stay incomplete, or an answer untaken, while nothing of it moves.
        packed_allowed: whether messages may be packed.
        connection_bytes: beyond so many bytes of incomplete messages, a connection completes them one by one.
        all_bytes: how many bytes of incomplete messages, or of untaken answers, all connections may hold.
    """

    message_bytes: int
    metadata_bytes: int
    n_streams: int
    window_bytes: int = 65_535
    age_s: float = float("inf")
    grace_s: float = 30.0
    keepalive_s: float = 60.0
    answer_s: float = _ANSWER_WITHIN_S
    handshake_s: float = 10.0
    stall_s: float = 120.0
    packed_allowed: bool = False
    connection_bytes: int = 64 * 2**20
    all_bytes: int = _ALL_BYTES

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the limits that the settings ask for."""
        return cls(
            message_bytes=config.max_message_bytes,
            metadata_bytes=config.max_metadata_bytes,
            n_streams=config.max_concurrent_streams,
            age_s=config.max_connection_age_s or float("inf"),
            grace_s=config.max_connection_age_grace_s,
            keepalive_s=config.keepalive_s,
            answer_s=min(config.keepalive_s, _ANSWER_WITHIN_S),
            packed_allowed=config.take_compressed,
            connection_bytes=config.max_message_bytes,
            all_bytes=max(_ALL_BYTES, 2 * config.max_message_bytes),
        )

    @property
    def connection_window_bytes(self) -> int:
        """So large that calls are held back one by one, never all of a connection.

        Half of it may be taken without the peer being told so. Each stream that this side resets may take
        away one frame for ever: ngh2 0.3.0 forgets what came of a frame that is not whole.
        """
        needed = self.n_streams * self.window_bytes + MOST_RESETS * _FRAME_BYTES
        return min(2 * needed, _LARGEST_WINDOW)

    def configuration(self) -> Configuration:
        """Return them as libnghttp2's options."""
        hard_bytes = max(_HARD_METADATA_BYTES, 4 * self.metadata_bytes)
        return Configuration(
            auto_window_update=False,
            max_inbound_header_list_size=hard_bytes,
            max_inbound_header_count=hard_bytes // 32,
            max_continuations=_CONTINUATIONS + hard_bytes // _FRAME_BYTES,
            # A caller under load gives up many calls. More than this is an attack (CVE-2023-44487).
            stream_reset_rate_limit=(10_000, 1_000),
            max_deflate_dynamic_table_size=_LONGEST_TABLE_BYTES,
        )

    def settings(self) -> dict[Setting, int]:
        """Return them as a caller is told."""
        return {
            Setting.MAX_CONCURRENT_STREAMS: self.n_streams,
            Setting.INITIAL_WINDOW_SIZE: self.window_bytes,
            Setting.MAX_HEADER_LIST_SIZE: self.metadata_bytes,
        }
