"""One connection, without I/O: h11 reads and writes HTTP, this says what to do. The caller has the clock.

waiting ──► body ──► answering ──► waiting …      over: to be closed once everything is sent
   │          │          │
   └──────────┴──────────┴──► lingering ──► over  (refused before the end of its body)
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Final, Protocol

import h11

from tamiz_server.errors import (
    InvalidRequest,
    MessageTooLarge,
    NotPermitted,
    QueueFull,
    RateExceeded,
    TamizError,
    Unauthenticated,
)
from tamiz_server.serving.endpoints import Reply
from tamiz_server.transports.h1.call import Call
from tamiz_server.transports.h1.limits import Limits, fits
from tamiz_server.transports.h1.parser import parser
from tamiz_server.transports.h1.reception import Options, Reception, has_body, header_too_large, too_large
from tamiz_server.transports.h1.refusals import Refused, reply_to
from tamiz_server.transports.room import Room

_CODES: Final = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "RESOURCE_EXHAUSTED",
    HTTPStatus.NOT_IMPLEMENTED: "UNIMPLEMENTED",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "UNIMPLEMENTED",
}
_AT_ONCE_BYTES: Final = 2**18
"""How much is sent at once, at most. TLS takes all that it is given, and does not say what of it is left."""

_SMALL_CHUNKS: Final = 4_096
_CHUNK_BYTES: Final = 64
"""How large the chunks of a body have to be on average, beyond the first ones: each takes h11 some 8 µs."""

_UNREAD: Final = (h11.IDLE, h11.SEND_BODY, h11.ERROR)
"""The states of a peer whose request was not read to its end."""

_QUOTE: Final = ": bytearray("
"""Where h11 begins to quote a line, which may hold a token."""

_COUNTED_ELSEWHERE: Final = (Unauthenticated, NotPermitted, RateExceeded)
"""Refusals of access control, which counts them itself."""


class Runner(Protocol):
    """What a connection needs done."""

    def start(self, call: Call) -> None:
        """Answer a request whose body is whole."""

    def cancel(self, call: Call) -> None:
        """Cancel what answers it: nobody waits for it."""

    def flush(self) -> None:
        """Send, and look at the timer."""

    def abort(self) -> None:
        """Close without sending anything more."""


@dataclass(frozen=True)
class Shared:
    """What all connections share.

    Attributes:
        reception: lets requests in.
        limits: what a connection may ask for.
        room: for the bytes of incomplete requests and of answers that are not taken.
        refused: counts, by status, what was refused here.
        date: returns the time of day, as the header Date has it.
    """

    reception: Reception
    limits: Limits
    room: Room[Connection]
    refused: Counter[str]
    date: Callable[[], str]


class _State(Enum):
    WAITING = auto()
    BODY = auto()
    ANSWERING = auto()
    LINGERING = auto()
    OVER = auto()


class Connection:
    """A connection. A request is not begun before the answers ahead of it are on their way.

    Attributes:
        due_s: when to `look` again.
        n_queued, n_unsent: how many bytes there were to send, ever, and how many are left.
    """

    def __init__(self, shared: Shared, runner: Runner, now_s: float, age_s: float) -> None:
        """Begin: a request is expected soon."""
        self._shared = shared
        self._runner = runner
        self._limits = shared.limits
        self._http = parser(shared.limits.header_bytes)
        self._state = _State.WAITING
        self._has_begun = False
        self._ends_s = now_s + age_s
        self._is_draining = False
        self._is_head = False
        self._now_s = now_s
        self._call: Call | None = None
        self._body_began_s = 0.0
        self._n_ahead = 0
        self._n_in = self._n_out = 0
        self._is_given_up = False
        self._out: deque[memoryview] = deque()
        self.n_queued = self.n_unsent = 0
        self.due_s = now_s + self._limits.header_s

    @property
    def is_over(self) -> bool:
        """Whether it is to be closed, once everything is sent."""
        return self._state is _State.OVER and not self.n_unsent

    @property
    def takes_more(self) -> bool:
        """Whether more is to be read: not if the peer is far ahead of the answers."""
        is_ahead = self._state is _State.ANSWERING or self.n_unsent > 0
        return not is_ahead or self._n_ahead <= self._limits.ahead_bytes

    # What the peer says

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes."""
        self._now_s = now_s
        if self._state in (_State.LINGERING, _State.OVER):
            return
        if self._state is _State.WAITING and not self._has_begun:
            self._has_begun = True
            self.due_s = now_s + self._limits.header_s
        if self._state is _State.ANSWERING or self.n_unsent:
            self._n_ahead += len(data)
        self._http.receive_data(data)
        self._advance()

    def lost(self) -> None:
        """Take that the peer is gone."""
        call, self._call = self._call, None
        if self._state is _State.ANSWERING and call is not None:
            self._runner.cancel(call)
        self._out.clear()
        self.n_unsent = self._n_out = 0
        self._end()

    # What the server says

    def answer(self, call: Call, reply: Reply, now_s: float) -> None:
        """Answer the request that was started."""
        if call is not self._call:  # the peer is gone
            return
        self._now_s = now_s
        if len(reply.body) > self._limits.body_bytes:
            reply = reply_to(_too_large_to_send(len(reply.body), self._limits.body_bytes))
        self._send(reply)

    def refuse(self, call: Call, error: Refused | TamizError, now_s: float, *, counts: bool = False) -> None:
        """Answer the request that was started with an error; count it if nobody else does, or if `counts`."""
        if call is not self._call:
            return
        self._now_s = now_s
        if counts or not call.endpoint.counts_itself:
            self._count(error)
        self._send(reply_to(error))

    def holds(self, n_bytes: int) -> None:
        """Take how many bytes of answers the peer has not taken."""
        if not self._is_given_up:
            self._n_out = n_bytes
            self._shared.room.hold(self, self._n_in + n_bytes)

    def goes_on(self, now_s: float) -> None:
        """Take that the peer has taken what it was sent: the time for its next request begins now."""
        self._now_s = now_s
        if self._state is _State.WAITING:
            self._wait()

    def drain(self) -> None:
        """End it as soon as no request is open."""
        self._is_draining = True
        if self._state is _State.WAITING and not self._has_begun:
            self._end()

    def give_up(self) -> None:
        """Let go of what is held: others need the room."""
        if self._state is _State.BODY and not self._n_out:
            self._refuse(QueueFull("too many requests are incomplete: send this one again later"))
            self._runner.flush()
        else:
            self._is_given_up, self._n_out = True, 0
            self._runner.abort()

    def look(self, now_s: float) -> None:
        """End what has taken too long."""
        if now_s < self.due_s:
            return
        self._now_s = now_s
        if self.n_unsent and self._state is _State.WAITING:  # who takes nothing of it is cut off elsewhere
            self.due_s = now_s + self._limits.idle_s
        elif self._state is _State.BODY or (self._state is _State.WAITING and self._has_begun):
            what = "body" if self._state is _State.BODY else "header"
            self._refuse(
                Refused(HTTPStatus.REQUEST_TIMEOUT, f"the {what} came too slowly", "DEADLINE_EXCEEDED")
            )
        elif self._state is not _State.ANSWERING:
            self._end()

    def to_send(self) -> bytes:
        """Return what is to be sent next. Call it until that is nothing, as long as the peer takes it."""
        self._advance()
        parts, left = [], _AT_ONCE_BYTES
        while left and self._out:
            part, rest = self._out[0][:left], self._out[0][left:]
            parts.append(part)
            left -= len(part)
            if rest:
                self._out[0] = rest
            else:
                self._out.popleft()
        self.n_unsent -= _AT_ONCE_BYTES - left
        return b"".join(parts)

    # Reading

    def _advance(self) -> None:
        while self._state in (_State.WAITING, _State.BODY) and not self.n_unsent:
            if self._state is _State.WAITING and not self._header_fits():
                self._refuse(header_too_large(self._limits.header_bytes))
                return
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                status = HTTPStatus(error.error_status_hint)
                said = str(error).partition(_QUOTE)[0]
                self._refuse(Refused(status, said, _CODES.get(status, "INVALID_ARGUMENT")))
                return
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._take(event)
            elif isinstance(event, h11.EndOfMessage):
                self._start()
            else:
                if isinstance(event, h11.ConnectionClosed):
                    self._end()
                return

    def _header_fits(self) -> bool:
        return fits(self._http.trailing_data[0], self._limits.header_bytes)

    def _begin(self, request: h11.Request) -> None:
        self._is_head = request.method == b"HEAD"
        comes_more = has_body(request)
        if not comes_more:
            self._http.next_event()  # its end: then the connection can go on, whatever the answer
        try:
            call = self._shared.reception.receive(request)
        except Options as asked:
            self._send(Reply(b"", HTTPStatus.NO_CONTENT, headers=(("allow", asked.allowed),)), at_once=True)
            return
        except (Refused, TamizError) as error:
            self._refuse(error)
            return
        self._call = call
        if not comes_more:
            self._start()
            return
        self._state = _State.BODY
        self._body_began_s = self._now_s
        self.due_s = self._now_s + self._limits.header_s
        if self._http.they_are_waiting_for_100_continue:
            going_on = h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[])
            self._put(self._http.send(going_on))

    def _take(self, part: h11.Data) -> None:
        assert self._call is not None  # noqa: S101  there is one in this state
        call = self._call
        call.take(part.data)
        call.n_chunks += part.chunk_start
        if call.n_chunks > _SMALL_CHUNKS + call.n_bytes // _CHUNK_BYTES:
            self._refuse(InvalidRequest(f"the body comes in chunks of less than {_CHUNK_BYTES} bytes"))
            return
        if call.n_bytes > call.most_bytes:
            self._refuse(too_large(call.most_bytes))
            return
        within_s = self._limits.header_s + call.n_bytes / self._limits.least_bytes_per_s
        self.due_s = self._body_began_s + within_s
        self._hold(call.n_bytes)

    def _start(self) -> None:
        assert self._call is not None  # noqa: S101  there is one in this state
        self._state = _State.ANSWERING
        self._n_ahead = len(self._http.trailing_data[0])
        self.due_s = math.inf
        self._hold(0)
        self._runner.start(self._call)

    def _hold(self, n_bytes: int) -> None:
        """Say how much of a body is here."""
        self._n_in = n_bytes
        self._shared.room.hold(self, n_bytes + self._n_out)

    # Answering

    def _refuse(self, error: Refused | TamizError) -> None:
        """Answer a request before it is started."""
        self._count(error)
        self._send(reply_to(error), at_once=True)

    def _count(self, error: Refused | TamizError) -> None:
        if not isinstance(error, _COUNTED_ELSEWHERE):
            self._shared.refused[error.code] += 1

    def _send(self, reply: Reply, *, at_once: bool = False) -> None:
        """Send an answer; the connection goes on if the request was read to its end.

        An answer that was given at once ends it too, if the next request is there already: thousands may be,
        and nobody else would have a turn.
        """
        http = self._http
        is_read = http.their_state not in _UNREAD
        is_last = (
            self._is_draining
            or self._now_s >= self._ends_s
            or not is_read
            or (at_once and bool(http.trailing_data[0]))
        )
        headers = [("date", self._shared.date()), *reply.headers, ("x-content-type-options", "nosniff")]
        if reply.status != HTTPStatus.NO_CONTENT:
            headers += [("content-type", reply.content_type), ("content-length", str(len(reply.body)))]
        if is_last:
            headers.append(("connection", "close"))
        head = h11.Response(status_code=reply.status, headers=headers, reason=reply.status.phrase)
        self._put(http.send(head))
        if reply.body and not self._is_head:
            self._put(http.send(h11.Data(data=reply.body)))
        self._put(http.send(h11.EndOfMessage()))
        self._call = None
        self._hold(0)
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
            self._wait()
        elif is_read:
            self._end()
        else:
            self._state = _State.LINGERING
            self.due_s = self._now_s + self._limits.linger_s

    def _wait(self) -> None:
        """Expect the next request, of which something may have come already."""
        self._state = _State.WAITING
        self._n_ahead = len(self._http.trailing_data[0])
        self._has_begun = self._n_ahead > 0
        self._is_head = False
        wait_s = self._limits.header_s if self._has_begun else self._limits.idle_s
        self.due_s = min(self._now_s + wait_s, max(self._ends_s, self._now_s))

    def _put(self, data: bytes | None) -> None:
        """Send bytes, if there are any."""
        if data:
            self._out.append(memoryview(data))
            self.n_queued += len(data)
            self.n_unsent += len(data)

    def _end(self) -> None:
        self._state = _State.OVER
        self._call = None
        self.due_s = math.inf
        self._hold(0)


def _too_large_to_send(n_bytes: int, most_bytes: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the answer has {n_bytes} bytes, and at most {most_bytes} are sent: ask for fewer rows at once",
        MessageTooLarge.code,
    )
