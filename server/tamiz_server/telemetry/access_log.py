"""What is written of requests that ended: a line for each that failed and for a share of the others; and their traces.

Nothing of the inputs is written: of a request that was refused for what it said, only the kind of its error.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from tamiz_server.errors import InvalidRequest, ModelFailed, ModelNotFound, TamizError
from tamiz_server.telemetry.logs import with_fields
from tamiz_server.telemetry.repeats import Flood

_log = logging.getLogger("tamiz_server.requests")

LINES_PER_SECOND: Final = 50
"""So many failures of one version and code get a line of their own in a second; the others share one."""

_MAX_ID: Final = 128
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTES_THE_CALLER: Final = (InvalidRequest, ModelNotFound)
_OURS: Final = {"INTERNAL", "UNKNOWN"}

Metadata = Callable[[], Iterable[tuple[str, str | bytes]] | None]
"""Gives a call's metadata; a function, because reading them costs and most calls need none."""


class Ended(NamedTuple):
    """A request for predictions that ended.

    Attributes:
        method: "package.Service/Method".
        model, version: who answered; empty where the request names none that is served.
        code: gRPC's status.
        started_s, ended_s: on time.monotonic's clock.
        asked_s: when the engine was asked; 0 if it was not.
        queue_s, compute_s: how long the request waited and was computed; 0 if it was not.
        n_rows: how many rows it has; 0 if that was not learnt.
        n_accepted: how many of them were answered.
        error: why it was not answered.
    """

    method: str
    model: str
    version: str
    code: str
    started_s: float
    ended_s: float
    asked_s: float = 0.0
    queue_s: float = 0.0
    compute_s: float = 0.0
    n_rows: int = 0
    n_accepted: int = 0
    error: BaseException | None = None


class Trace(Protocol):
    """Where requests are traced."""

    def request_ended(self, ended: Ended, metadata: Mapping[str, str]) -> None:
        """Trace a request; `metadata` are those of its call."""


class Journal:
    """Writes of requests that ended. Only the event loop asks it."""

    def __init__(
        self, share: float, trace: Trace | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write a line for this share (0 to 1) of the requests that succeed, evenly, and for all that fail."""
        self._every = round(1 / share) if share else 0
        self._until = 1
        self._trace = trace
        self._clock = clock
        self._flood = Flood(LINES_PER_SECOND)
        self._timer: asyncio.TimerHandle | None = None

    def wants(self, code: str) -> bool:
        """Return whether anything is to be written of the next request."""
        if code != "OK" or self._trace is not None:
            return True
        return self._is_sampled()

    def request_ended(self, ended: Ended, metadata: Metadata) -> None:
        """Write of a request. To be called when it is wanted."""
        if self._trace is not None:
            self._trace.request_ended(ended, _strings(metadata))
        if ended.code != "OK":
            self._failed(ended, metadata)
        elif self._trace is None or self._is_sampled():
            self._write(logging.INFO, ended, _strings(metadata))

    def close(self) -> None:
        """Write what has yet to be summed up."""
        if self._timer is not None:
            self._timer.cancel()
            self._sum_up(float("inf"))

    def _is_sampled(self) -> bool:
        if not self._every:
            return False
        self._until -= 1
        if self._until:
            return False
        self._until = self._every
        return True

    def _failed(self, ended: Ended, metadata: Metadata) -> None:
        now_s = self._clock()
        self._say_held_back(now_s)
        kind = (ended.model, ended.version, ended.code)
        if self._flood.lets_through(kind, now_s):
            level = logging.ERROR if ended.code in _OURS else logging.WARNING
            self._write(level, ended, _strings(metadata))
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                self._flood.ends_s() - now_s, lambda: self._sum_up(self._clock())
            )

    def _sum_up(self, now_s: float) -> None:
        self._timer = None
        self._say_held_back(max(now_s, self._flood.ends_s()))

    def _say_held_back(self, now_s: float) -> None:
        for kind, count in self._flood.held_back(now_s).items():
            model, version, code = _kind(kind)
            _log.warning(
                "%d more requests ended with %s in the same second",
                count,
                code,
                extra=with_fields(model=model or None, version=version or None, code=code, count=count),
            )

    def _write(self, level: int, ended: Ended, metadata: Mapping[str, str]) -> None:
        traced = _TRACEPARENT.fullmatch(metadata.get("traceparent", ""))
        _log.log(
            level,
            "request ended with %s",
            ended.code,
            extra=with_fields(
                request_id=metadata.get("x-request-id", "")[:_MAX_ID] or None,
                trace_id=traced[1] if traced else None,
                method=ended.method,
                model=ended.model or None,
                version=ended.version or None,
                code=ended.code,
                rows=ended.n_rows or None,
                accepted=ended.n_accepted if ended.code == "OK" else None,
                duration_ms=round((ended.ended_s - ended.started_s) * 1e3, 3),
                queue_ms=round(ended.queue_s * 1e3, 3) if ended.code == "OK" else None,
                compute_ms=round(ended.compute_s * 1e3, 3) if ended.code == "OK" else None,
                error=_why(ended.error),
            ),
        )


def _strings(metadata: Metadata) -> dict[str, str]:
    return {key: value for key, value in metadata() or () if isinstance(value, str)}


def _kind(kind: Hashable) -> tuple[str, str, str]:
    assert isinstance(kind, tuple)  # noqa: S101  `_failed` made it
    return kind


def _why(error: BaseException | None) -> str | None:
    """Return why a request failed, in words that hold nothing of it."""
    if error is None:
        return None
    if isinstance(error, ModelFailed) and error.where:
        return f"{error}: {error.where}"
    if isinstance(error, TamizError) and not isinstance(error, _QUOTES_THE_CALLER):
        return str(error)
    return type(error).__name__
