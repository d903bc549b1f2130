"""Access control: who may do what, for every method of every service and every page, over any transport.

One table says what right a path needs. A path that is not in it needs the right admin, so a service that
somebody adds and forgets here is closed, not open.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from copy import copy
from pathlib import Path
from typing import Final, TypeVar

from tamiz.oip import inference
from tamiz.v1 import prediction_pb2
from tamiz_server.access.jwt_keys import JwtKeys, watch_jwt_keys
from tamiz_server.access.token_bucket import TokenBucket
from tamiz_server.access.tokens import Grant, Right, read_tokens
from tamiz_server.access.watched import Watched
from tamiz_server.config.config import Config
from tamiz_server.errors import NotPermitted, RateExceeded, TamizError, Unauthenticated

_SCHEME: Final = "bearer "
_MAX_CHECKED: Final = 10_000
_SHORTEST_WAIT_S: Final = 1e-3  # less may be too little to make a difference to the clock
_LONGEST_WAIT_S: Final = 10.0
_Message = TypeVar("_Message")

_TYPED: Final = f"/{prediction_pb2.DESCRIPTOR.services_by_name['PredictionService'].full_name}/"
_OIP: Final = f"/{inference.DESCRIPTOR.services_by_name['GRPCInferenceService'].full_name}/"
OPEN: Final = {
    "/healthz": (
        "no body, at most 100 headers of 64 KiB each",
        "whether the server serves, and with tokens only how many models or versions could not be loaded",
        "a thread for at most 10 s, at most 64 at once, and a turn of the event loop",
    ),
    "/livez": (
        "no body, at most 100 headers of 64 KiB each",
        "whether the event loop runs",
        "the same as /healthz",
    ),
    "/grpc.health.v1.Health/Check": (
        "one name",
        "whether the server, a service, a model or a version of this name serves",
        "one look-up",
    ),
    "/grpc.health.v1.Health/Watch": (
        "one name",
        "the same, and again whenever it changes",
        "an open call for as long as the caller likes, and one message for each change",
    ),
    _OIP + "ServerLive": ("nothing", "true", "nothing"),
    _OIP + "ServerReady": ("nothing", "whether the server is ready", "nothing"),
    _OIP + "ModelReady": (
        "one name and version",
        "whether that one is ready; no other name",
        "one look-up",
    ),
}
"""Paths that need no token: load balancers and orchestrators check there whether the server is alive.

Of each: what it takes, what it tells, what it costs.
"""

OPEN_MESSAGE_BYTES: Final = 16 * 1024
"""The largest message of a method that needs no token; there is one name in it at most."""

RIGHTS: Final = {
    "/openapi.json": Right.PREDICT,
    "/metrics": Right.METRICS,
    _OIP + "ModelStatistics": Right.METRICS,
    **dict.fromkeys(
        (
            *(_TYPED + name for name in ("Predict", "StreamPredict", "ListModels", "GetModel")),
            *(
                _OIP + name
                for name in (
                    "ServerMetadata",
                    "ModelMetadata",
                    "ModelConfig",
                    "ModelInfer",
                    "ModelStreamInfer",
                    "RepositoryIndex",
                )
            ),
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ),
        Right.PREDICT,
    ),
}
"""The right that a path needs; any other path needs Right.ADMIN."""


class Caller:
    """The bearer of a token, and how much it may still ask for.

    Attributes:
        grant: what its token allows.
    """

    def __init__(self, grant: Grant, clock: Callable[[], float], refused: Tally[str]) -> None:
        self.grant = grant
        self._refused = refused
        self._clock = clock
        self._requests = _bucket(grant.requests_per_second, clock)
        self._rows = _bucket(grant.rows_per_second, clock)

    def bearing(self, grant: Grant) -> Caller:
        """Return the same bearer with another token: both tokens share the same rates."""
        caller = copy(self)
        caller.grant = grant
        return caller

    def request_wait_s(self) -> float:
        """Count one request, and return 0; or, if there were too many, return when to try again."""
        return 0.0 if self._requests is None else self._requests.take(1, self._clock())

    def charge_request(self) -> None:
        """Count one request.

        Raises:
            RateExceeded: if there were too many in too short a time.
        """
        wait_s = self.request_wait_s()
        if wait_s > 0:
            self._refused[RateExceeded.code] += 1
            raise self._exceeded("requests", self.grant.requests_per_second, wait_s)

    def charge_rows(self, n_rows: int) -> None:
        """Count the rows of a request.

        Raises:
            RateExceeded: if there were too many in too short a time.
        """
        wait_s = 0.0 if self._rows is None else self._rows.take(n_rows, self._clock())
        if wait_s > 0:
            raise self._exceeded("rows", self.grant.rows_per_second, wait_s)

    def _exceeded(self, what: str, rate: float | None, wait_s: float) -> RateExceeded:
        return RateExceeded(
            f"the token {self.grant.name!r} allows {rate:g} {what} per second; try again in {wait_s:.3g} s"
        )


CALLER: Final[ContextVar[Caller | None]] = ContextVar("CALLER", default=None)
"""Whose call is being answered; None if calls need no tokens."""


async def paced(messages: AsyncIterator[_Message]) -> AsyncIterator[_Message]:
    """Return the messages of a stream no faster than its caller may send requests; each counts as one.

    The stream is not read meanwhile, so its sender is held back, and nobody has looked at the message.

    Raises:
        RateExceeded: if the rate is so low that the next one would wait for more than ten seconds.
    """
    caller = CALLER.get()
    async for message in messages:
        while caller is not None and (wait_s := caller.request_wait_s()) > 0:
            if wait_s > _LONGEST_WAIT_S:
                caller.charge_request()
            await asyncio.sleep(max(wait_s, _SHORTEST_WAIT_S))
        yield message


def charge_rows(n_rows: int) -> None:
    """Count the rows of the call that is being answered, if its caller is known.

    Raises:
        RateExceeded: if there were too many in too short a time.
    """
    caller = CALLER.get()
    if caller is not None:
        caller.charge_rows(n_rows)


class Access:
    """Admits calls by their token. Thread-safe: pages are answered in other threads than methods.

    Attributes:
        refused: how many calls were refused, by status.
    """

    def __init__(
        self,
        tokens: Watched[dict[bytes, Grant]] | None,
        clock: Callable[[], float] = time.monotonic,
        jwt_keys: Watched[JwtKeys] | None = None,
    ) -> None:
        """Take what tokens allow, a clock in seconds for the rates, and the keys of JSON Web Tokens."""
        self.refused: Tally[str] = Tally()
        self._tokens = tokens
        self._clock = clock
        self._lock = threading.Lock()
        self._callers: dict[Grant, Caller] = {}
        self._jwt_keys = jwt_keys
        self._subjects: dict[str, Caller] = {}
        self._jwt_checked: dict[bytes, tuple[Caller, JwtKeys, float]] = {}

    def admit(self, path: str, authorization: str | None) -> Caller | None:
        """Return the caller; None if the path is open to all.

        Args:
            path: of the method, "/package.Service/Method", or of the page.
            authorization: the header of that name; None if the call has none.

        Raises:
            Unauthenticated: without a token, or with an unknown one.
            NotPermitted: if the token does not give the right to this path.
            RateExceeded: if its bearer asks too often.
        """
        if path in OPEN:
            return None
        with self._lock:
            try:
                caller = self._caller(authorization)
                right = RIGHTS.get(path, Right.ADMIN)
                if right not in caller.grant.rights:
                    raise NotPermitted(f"the token {caller.grant.name!r} does not give the right to {right}")
            except TamizError as error:
                self.refused[error.code] += 1
                raise
            caller.charge_request()
            return caller

    def _caller(self, authorization: str | None) -> Caller:
        if authorization is None:
            raise Unauthenticated("a token is needed: send the header authorization: Bearer TOKEN")
        scheme, token = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
        if scheme.lower() != _SCHEME:
            raise Unauthenticated("the header authorization is wrong: expected Bearer TOKEN")
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        grant = self._tokens.current().get(digest) if self._tokens else None
        if grant is None:
            return self._jwt_caller(digest, token)
        caller = self._callers.get(grant)
        if caller is None:  # a new token, or one with new rights or rates
            caller = self._remember(grant, set(self._tokens.current().values()) if self._tokens else set())
        return caller

    def _jwt_caller(self, digest: bytes, token: str) -> Caller:
        """Return the bearer of a JSON Web Token; a token is checked once per key set, until it expires."""
        if self._jwt_keys is None:
            raise Unauthenticated("the token is not known here")
        keys = self._jwt_keys.current()
        caller, checked_with, until_s = self._jwt_checked.get(digest, (None, None, 0.0))
        if caller is None or checked_with is not keys or time.time() > until_s:
            grant, until_s = keys.check(token)
            caller = self._subject(grant).bearing(grant)
            if len(self._jwt_checked) >= _MAX_CHECKED:
                self._jwt_checked.clear()
            self._jwt_checked[digest] = caller, keys, until_s
        return caller

    def _subject(self, grant: Grant) -> Caller:
        """Return the bearer of tokens with this subject; if there are very many, the oldest is forgotten."""
        if grant.name not in self._subjects:
            if len(self._subjects) >= _MAX_CHECKED:
                del self._subjects[next(iter(self._subjects))]
            self._subjects[grant.name] = Caller(grant, self._clock, self.refused)
        return self._subjects[grant.name]

    def _remember(self, grant: Grant, known: set[Grant]) -> Caller:
        """Give a grant its caller; callers whose grants are gone are forgotten."""
        callers = {each: caller for each, caller in self._callers.items() if each in known}
        self._callers = {**callers, grant: Caller(grant, self._clock, self.refused)}
        return self._callers[grant]


def open_table() -> str:
    """Return the table of what needs no token for the documents, as Markdown."""
    rows = ["| method or page | takes | tells | costs |", "|---|---|---|---|"]
    for path, (takes, tells, costs) in OPEN.items():
        bound = f", at most {OPEN_MESSAGE_BYTES:,} bytes" if path.count("/") > 1 else ""
        rows.append(f"| `{path.removeprefix('/') if bound else path}` | {takes}{bound} | {tells} | {costs} |")
    return "\n".join(rows)


def access_control(config: Config) -> Access | None:
    """Return the access control that the settings ask for; None if calls need no tokens.

    Raises:
        ConfigError: if the file of tokens or keys cannot be used.
    """
    if not config.tokens_file and not config.jwt_keys:
        return None
    path = Path(config.tokens_file)
    tokens = Watched([path], lambda: read_tokens(path)) if config.tokens_file else None
    return Access(tokens, jwt_keys=watch_jwt_keys(config))


def _bucket(rate: float | None, clock: Callable[[], float]) -> TokenBucket | None:
    return None if rate is None else TokenBucket(rate, clock())
