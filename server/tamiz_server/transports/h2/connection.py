"""One HTTP/2 connection, without I/O: bytes in, calls to answer, bytes out. Whoever owns it has the clock.

bytes ─► receive ─► calls to start, wake or cancel (`Runner`) ─► send, answer, end, fail ─► to_send ─► bytes
                                  ▲
                            look, when it is due: deadlines, stalls, keepalive, age, drain
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from ngh2 import Connection as Session
from ngh2 import (
    ConnectionClosed,
    DataReceived,
    DenialOfServiceError,
    ErrorCode,
    Event,
    NGH2Error,
    PingAcknowledged,
    PingReceived,
    RequestReceived,
    Role,
    SettingsReceived,
    StreamClosed,
    TrailersReceived,
)

from tamiz_server.access.token_bucket import TokenBucket
from tamiz_server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    MetadataTooLarge,
    TamizError,
    Unavailable,
)
from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.credit import Credit
from tamiz_server.transports.h2.drain import Drain, Step
from tamiz_server.transports.h2.incoming import Incoming
from tamiz_server.transports.h2.keepalive import Keepalive, Pulse
from tamiz_server.transports.h2.limits import MOST_RESETS, Limits
from tamiz_server.transports.h2.outgoing import Outgoing
from tamiz_server.transports.h2.reception import NotGrpc, Reception
from tamiz_server.transports.h2.routes import Route
from tamiz_server.transports.h2.stalls import Stalls
from tamiz_server.transports.room import Room

_USELESS_PER_S: Final = 2_000
"""How many frames that bring nothing are borne: pings, settings, empty DATA. Answering them takes time.

One for each call and each answer is not counted: clients in Go and Java measure the way with pings, as fast
as answers come.
"""

_NOTICED: Final = b"drained?"
_ALIVE: Final = b"alive?  "


class Runner(Protocol):
    """What answers calls. It may act at once or later, but not wait."""

    def start(self, call: Call, route: Route) -> None:
        """Answer a call: its only message is in `body`, or its messages come."""

    def readable(self, call: Call) -> None:
        """Go on: something came, or everything has come."""

    def writable(self, call: Call) -> None:
        """Go on: there is room for another answer, or nobody wants it any more."""

    def cancel(self, call: Call) -> None:
        """Stop to answer a call: nobody waits for it."""

    def flush(self) -> None:
        """Send what is to be sent, soon."""

    def abort(self) -> None:
        """End the connection at once."""


class Shared(NamedTuple):
    """What all connections of a server share.

    Attributes:
        reception: lets calls in.
        limits: of connections.
        incoming: room for messages that are not whole.
        outgoing: room for answers that are not taken.
        refused: counts refused calls by status.
    """

    reception: Reception
    limits: Limits
    incoming: Room[Call]
    outgoing: Room[Connection]
    refused: dict[str, int]


class Connection:
    """A connection, from the server's side.

    Attributes:
        due_s: when `look` is to be called, at the latest.
        is_over: whether it is to be closed, once `to_send` has returned everything.
    """

    def __init__(self, shared: Shared, runner: Runner, now_s: float, age_s: float = math.inf) -> None:
        """Begin; after `age_s` seconds it is drained."""
        limits = shared.limits
        self.is_over = False
        self._shared = shared
        self._runner = runner
        self._calls: dict[int, Call] = {}
        self._is_closed = False
        self._session = Session(Role.SERVER, limits.configuration())
        self._session.initiate_connection(limits.settings())
        self._session.set_local_window_size(limits.connection_window_bytes)
        credit = Credit(limits.connection_bytes, shared.incoming, self._pay)
        self._incoming = Incoming(credit, packed_allowed=limits.packed_allowed)
        self._outgoing = Outgoing(self._session, limits.message_bytes, runner.writable)
        self._unsent_bytes = self._sent_bytes = 0
        self._evict = self._give_up_incomplete
        self._keepalive = Keepalive(limits.keepalive_s, limits.answer_s, now_s)
        self._stalls = Stalls(limits.stall_s, self._outgoing.unsent_bytes)
        self._drain = Drain()
        self._useless = TokenBucket(_USELESS_PER_S, now_s)
        self._is_used = False
        self._greets_until_s = now_s + limits.handshake_s
        self._ages_at_s = now_s + age_s
        self.due_s = min(self._greets_until_s, self._keepalive.due_s, self._ages_at_s)

    # What comes

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the peer."""
        self._keepalive.heard_s = now_s
        if self._is_closed:
            return
        try:
            self._session.receive_data(data)
        except NGH2Error as error:
            self._end_at_once(error)
            return
        for event in self._session.events():
            if self._is_closed:
                return
            if (handle := self._HANDLERS.get(type(event))) is not None:
                handle(self, event, now_s)

    def _open(self, event: RequestReceived, now_s: float) -> None:
        number = event.stream_id
        self._is_used = True
        call = self._calls[number] = Call(number, event.headers, self._evict)
        call.has_ended_sending = event.end_stream
        try:
            route = call.route = self._shared.reception.receive(call, now_s)
        except NotGrpc as error:
            self._outgoing.refuse_as_http(call, error.status)
            return
        except TamizError as error:
            # Access control counts what it refuses itself.
            self._end(call, error, counts=isinstance(error, (InvalidRequest, MetadataTooLarge)))
            return
        if self._stalls.due_s == math.inf:
            self._stalls.begin(now_s)
        self.due_s = min(self.due_s, call.deadline_s, self._stalls.due_s)
        if route.stream is not None:
            call.came = self._incoming.deframer(call, route)
            self._runner.start(call, route)
        elif event.end_stream:
            self._gather(call, route, b"")

    def _take_data(self, event: DataReceived, now_s: float) -> None:
        call = self._calls.get(event.stream_id)
        if not event.data and not event.end_stream:
            self._count_useless(now_s)
        if call is None:
            self._pay(event.stream_id, len(event.data))
            return
        call.has_ended_sending = event.end_stream
        if call.is_done or call.route is None:
            call.unpaid += len(event.data)  # nobody reads it: the caller may send as much as its window
            return
        self._gather(call, call.route, event.data)

    def _take_trailers(self, event: TrailersReceived, _: float) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.has_ended_sending = True
            if not call.is_done and call.route is not None:
                self._gather(call, call.route, b"")

    def _gather(self, call: Call, route: Route, data: bytes) -> None:
        try:
            is_whole = self._incoming.add(call, route, data)
        except TamizError as error:
            self._end(call, error, counts=True)
            return
        if is_whole:
            self._runner.start(call, route)
        elif route.stream is not None:
            self._runner.readable(call)

    def take(self, call: Call) -> bytes | None:
        """Return the next message of a stream; None if it has to be waited for, or if there is none.

        Raises:
            TamizError: if it cannot be one.
        """
        return self._incoming.take(call)

    def _pay(self, number: int, n_bytes: int) -> None:
        """Tell the peer that it may send as many bytes more."""
        try:  # noqa: SIM105  every call comes by here, and `suppress` takes as long as the rest
            self._session.acknowledge_received_data(n_bytes, number)
        except NGH2Error:  # the connection is ending
            pass

    # What goes out

    def answer(self, call: Call, message: bytes) -> None:
        """Answer a call with its only message, and end it."""
        if not call.is_done:
            self._is_used = True
            try:
                self._outgoing.answer(call, message)
            except MessageTooLarge as error:
                self._end(call, error, counts=True)
            call.body = None  # it may be large, and its caller slow to take the answer

    def send(self, call: Call, message: bytes) -> bool:
        """Send one answer of several; return whether the next one may be sent. If not, `writable` says when.

        Raises:
            MessageTooLarge: if it is larger than allowed.
        """
        if not call.is_done:
            self._is_used = True
            self._outgoing.send(call, message)
        return self._outgoing.has_room(call)

    def end(self, call: Call) -> None:
        """End a call whose answers were sent."""
        if not call.is_done:
            self._outgoing.end(call)
            self._incoming.forget(call)
            call.body = None

    def fail(self, call: Call, error: TamizError) -> None:
        """End a call with an error of its method."""
        route = call.route
        assert route is not None  # noqa: S101  a method had it
        counts = isinstance(error, InvalidRequest) if route.stream is not None else not route.counts_itself
        self._end(call, error, counts=counts)

    def _end(self, call: Call, error: TamizError, *, counts: bool) -> None:
        if not call.is_done:
            if counts:
                self._shared.refused[error.code] += 1
            self._outgoing.fail(call, error)
            self._incoming.forget(call)
            call.body = None

    def _abandon(self, call: Call, error: TamizError) -> None:
        """End a call from this side, whatever its method is about to say."""
        if not call.is_done:
            self._end(call, error, counts=call.task is None)
            self._runner.cancel(call)

    def to_send(self) -> bytes:
        """Return bytes for the peer; call it again if it returned `AT_ONCE_BYTES`."""
        try:
            data = self._outgoing.to_send()
        except NGH2Error as error:
            self._end_at_once(error)
            return b""
        for event in self._session.events():
            if isinstance(event, StreamClosed | ConnectionClosed):
                self._HANDLERS[type(event)](self, event, 0.0)
        self.hold_unsent()
        self._outgoing.wake_writers()
        self.due_s = min(self.due_s, self._outgoing.early_due_s)
        return data

    def hold_unsent(self) -> None:
        """Say how much of the answers is not sent, as `to_send` does if it is called."""
        unsent_bytes = self._outgoing.unsent_bytes()
        if (unsent_bytes or self._unsent_bytes) and not self._is_closed:
            sent_bytes = self._outgoing.n_queued - unsent_bytes
            moved = sent_bytes > self._sent_bytes
            self._unsent_bytes, self._sent_bytes = unsent_bytes, sent_bytes
            self._shared.outgoing.hold(self, unsent_bytes, moved=moved)

    # What time brings

    def drain(self, now_s: float, grace_s: float) -> None:
        """End the connection when its calls have ended, or after so many seconds."""
        if self._drain.begin(now_s, grace_s) and not self._is_closed:
            self._session.send_shutdown_notice()
            self._session.ping(_NOTICED)
        self.due_s = now_s

    def look(self, now_s: float) -> None:
        """Do what is due, and set `due_s`."""
        pulse = self._keepalive.look(now_s)
        if pulse is Pulse.GIVE_UP or now_s >= self._greets_until_s:
            self.give_up()
            return
        if pulse is Pulse.ASK and not self._is_closed:
            self._session.ping(_ALIVE)
        calls = list(self._calls.values())
        for call in calls:
            if now_s >= call.deadline_s:
                self._abandon(call, DeadlineExceeded("the deadline passed before the call was answered"))
        for call in self._stalls.look(calls, now_s):
            self._give_up_stalled(call)
        if now_s >= self._outgoing.early_due_s:
            self._outgoing.stop_senders(now_s)
        if now_s >= self._ages_at_s or self._outgoing.n_resets >= MOST_RESETS:
            self._ages_at_s = math.inf
            self.drain(now_s, self._shared.limits.grace_s)
        while (step := self._drain.look(now_s, len(self._calls))) is not Step.NOTHING:
            self._take_step(step)
        self.due_s = min(
            min((call.deadline_s for call in calls if not call.is_done), default=math.inf),
            *(each.due_s for each in (self._stalls, self._keepalive, self._drain)),
            self._outgoing.early_due_s,
            self._greets_until_s,
            self._ages_at_s,
        )

    def _take_step(self, step: Step) -> None:
        if step is Step.LAST_GOAWAY and not self._is_closed:
            self._session.send_goaway()
        elif step is Step.END_CALLS:
            for call in list(self._calls.values()):
                self._abandon(call, Unavailable("the connection ends; ask again, over a new one"))
        elif step is Step.CLOSE:
            self.is_over = True

    def _give_up_stalled(self, call: Call) -> None:
        if not call.is_done:
            self._abandon(call, DeadlineExceeded("nothing of the call moved for too long"))
        if self._outgoing.unsent_bytes(call):  # its status would wait behind what is not taken
            self._outgoing.reset(call, ErrorCode.CANCEL)

    def _give_up_incomplete(self, call: Call) -> None:
        self._abandon(
            call, MessageTooLarge("too many messages are incomplete, and this one for longest: send it again")
        )
        self._runner.flush()

    # The end

    def give_up(self) -> None:
        """End it at once: also because its answers are not taken and others need the room; see `Room`."""
        self._is_closed = self.is_over = True
        self.due_s = math.inf
        self._runner.abort()

    def lost(self) -> None:
        """Take that the connection is gone: nobody waits for its calls any more."""
        self._is_closed = self.is_over = True
        for number in list(self._calls):
            self._forget(number)
        self._shared.outgoing.hold(self, 0)

    def _close(self, event: StreamClosed, _: float) -> None:
        self._forget(event.stream_id)

    def _forget(self, number: int) -> None:
        """Forget a call that is over on the wire."""
        call = self._calls.pop(number, None)
        if call is None:
            return
        self._incoming.forget(call)
        if call.unpaid:
            self._pay(number, call.unpaid)
        call.has_ended_sending = True
        if not call.is_done:
            call.is_done = True
            self._runner.cancel(call)
        if not self._calls and self._drain.due_s < math.inf:
            self.due_s = 0.0

    def _greet(self, _: SettingsReceived, now_s: float) -> None:
        self._greets_until_s = math.inf
        self._count_useless(now_s)

    def _take_ping(self, _: PingReceived, now_s: float) -> None:
        self._count_useless(now_s)

    def _count_useless(self, now_s: float) -> None:
        """Count a frame that brings nothing; end the connection if there are too many (RFC 9113, 10.5)."""
        if self._is_used:
            self._is_used = False
        elif self._useless.take(1, now_s) > 0:
            self._session.terminate_connection(ErrorCode.ENHANCE_YOUR_CALM)
            self._is_closed = self.is_over = True

    def _hear(self, event: PingAcknowledged, now_s: float) -> None:
        if event.opaque_data == _NOTICED:
            self._drain.noticed(now_s)
            self.due_s = now_s

    def _shut(self, *_: object) -> None:
        """Take that libnghttp2 neither reads nor writes any more."""
        self._is_closed = True
        # After the last GOAWAY the peer has a moment to read what it was sent, unless it broke the rules.
        self.is_over = self._drain.due_s == math.inf or bool(self._calls)

    def _end_at_once(self, error: NGH2Error) -> None:
        """End the connection after a fault of the peer's that libnghttp2 does not answer."""
        if isinstance(error, DenialOfServiceError):
            self._shared.refused[MetadataTooLarge.code] += 1
        self.give_up()

    _HANDLERS: ClassVar[Mapping[type[Event], Callable[[Connection, Any, float], None]]] = {
        RequestReceived: _open,
        DataReceived: _take_data,
        StreamClosed: _close,
        TrailersReceived: _take_trailers,
        SettingsReceived: _greet,
        PingReceived: _take_ping,
        PingAcknowledged: _hear,
        ConnectionClosed: _shut,
    }
