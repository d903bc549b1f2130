"""The log of requests: a line for each one that failed and for a share of the others. Traces start here too.

Inputs are never written. If a request was refused because of its content, the line has only the kind of the
error.
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
from tamiz_server.telemetry.repeats import RepeatLimit

_log = logging.getLogger("tamiz_server.requests")

LINES_PER_SECOND: Final = 50
"""How many failures of one version and code get a line of their own per second; the rest share one line."""

_MAX_ID: Final = 128
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTES_THE_CALLER: Final = (InvalidRequest, ModelNotFound)
_OURS: Final = {"INTERNAL", "UNKNOWN"}

Metadata = Callable[[], Iterable[tuple[str, str | bytes]] | None]
"""Returns a call's metadata. A function, because reading them takes time and most calls do not need them."""


class Ended(NamedTuple):
    """A request for predictions that ended.

    Attributes:
        method: "package.Service/Method".
        model, version: who answered; empty if the request names a model that is not served.
        code: the gRPC status.
        started_s, ended_s: on time.monotonic's clock.
        asked_s: when the engine was asked; 0 if it was not.
        queue_s, compute_s: how long the request waited and was computed; 0 if it did not come to that.
        n_rows: how many rows it has; 0 if it ended before they were counted.
        n_accepted: how many of them were accepted.
        error: why it was not answered; None if it was.
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


class AccessLog:
    """Logs requests that ended. Only the event loop calls it."""

    def __init__(
        self, share: float, trace: Trace | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Write a line for all failed requests and for this share (0 to 1) of the others, evenly spaced."""
        self._every = round(1 / share) if share else 0
        self._until = 1
        self._trace = trace
        self._clock = clock
        self._repeats = RepeatLimit(LINES_PER_SECOND)
        self._timer: asyncio.TimerHandle | None = None

    def wants(self, code: str) -> bool:
        """Return whether the next request that ended with this status is to be logged or traced."""
        if code != "OK" or self._trace is not None:
            return True
        return self._is_sampled()

    def request_ended(self, ended: Ended, metadata: Metadata) -> None:
        """Log and trace a request. To be called if `wants` said so."""
        if self._trace is not None:
            self._trace.request_ended(ended, _strings(metadata))
        if ended.code != "OK":
            self._failed(ended, metadata)
        elif self._trace is None or self._is_sampled():
            self._write(logging.INFO, ended, _strings(metadata))

    def close(self) -> None:
        """Write the sums that are still due."""
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
        if self._repeats.lets_through(kind, now_s):
            level = logging.ERROR if ended.code in _OURS else logging.WARNING
            self._write(level, ended, _strings(metadata))
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                self._repeats.ends_s() - now_s, lambda: self._sum_up(self._clock())
            )

    def _sum_up(self, now_s: float) -> None:
        self._timer = None
        self._say_held_back(max(now_s, self._repeats.ends_s()))

    def _say_held_back(self, now_s: float) -> None:
        for kind, count in self._repeats.held_back(now_s).items():
            model, version, code = _kind(kind)
            _log.warning(
                "%d more requests ended with %s in the same second; they have no line of their own",
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
    """Return why a request failed, without quoting anything from the request."""
    if error is None:
        return None
    if isinstance(error, ModelFailed) and error.where:
        return f"{error}: {error.where}"
    if isinstance(error, TamizError) and not isinstance(error, _QUOTES_THE_CALLER):
        return str(error)
    return type(error).__name__
