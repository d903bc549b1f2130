"""One HTTP/2 connection, without I/O: bytes in, calls to answer, bytes out. Whoever owns it has the clock.

bytes ─► receive ─► calls to start, wake or cancel (`Runner`) ─► begin, send, answer, fail ─► to_send ─► bytes
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol

from ngh2 import (
    Connection as Session,
)
from ngh2 import (
    ConnectionClosed,
    DataReceived,
    DenialOfServiceError,
    ErrorCode,
    NGH2Error,
    PingAcknowledged,
    RequestReceived,
    Role,
    SettingsReceived,
    StreamClosed,
    TrailersReceived,
)

from tamiz.call_metadata import NOT_TAKEN
from tamiz_server.access.access import OPEN_MESSAGE_BYTES
from tamiz_server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    MetadataTooLarge,
    TamizError,
    Unavailable,
)
from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.drain import Drain, Step
from tamiz_server.transports.h2.framing import PREFIX_BYTES, Deframer, framed
from tamiz_server.transports.h2.incoming import Incoming
from tamiz_server.transports.h2.keepalive import Keepalive, Pulse
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.reception import NotGrpc, Reception
from tamiz_server.transports.h2.room import Room
from tamiz_server.transports.h2.statuses import OK_TRAILERS, trailers

_HEADERS: Final = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_NOTICED: Final = b"drained?"
_ALIVE: Final = b"alive?  "
AT_ONCE_BYTES: Final = 2**18
_UNSENT_BYTES: Final = 2**16
"""A stream's next answer waits while more than this of the earlier ones is not sent."""

_LOOKS_PER_STALL: Final = 4


class Runner(Protocol):
    """What answers calls; it may act at once or later, but not wait."""

    def start(self, call: Call) -> None:
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
        is_over: whether nothing is to be sent or received any more, once `to_send` is empty.
    """

    def __init__(self, shared: Shared, runner: Runner, now_s: float, age_s: float = math.inf) -> None:
        """Begin; `age_s` is when the connection is to be ended."""
        limits = shared.limits
        self.is_over = False
        self._shared = shared
        self._limits = limits
        self._runner = runner
        self._calls: dict[int, Call] = {}
        self._refused_early: list[Call] = []
        self._writers: list[Call] = []
        self._incoming = Incoming(limits.connection_bytes, shared.incoming, self._pay)
        self._unsent_bytes = 0
        self._is_whole = True
        self._keepalive = Keepalive(limits.keepalive_s, limits.answer_s, now_s)
        self._drain = Drain()
        self._greets_until_s = now_s + limits.handshake_s
        self._ages_at_s = now_s + age_s
        self._stalls_at_s = math.inf
        self._last_number = 0
        self._evict = self.give_up_incoming
        self._is_closed = False
        self._session = Session(Role.SERVER, limits.configuration())
        self._session.initiate_connection(limits.settings())
        self._session.set_local_window_size(max(limits.connection_window_bytes, limits.window_bytes))
        self.due_s = min(self._greets_until_s, self._keepalive.due_s, self._ages_at_s)

    @property
    def n_calls(self) -> int:
        """How many calls are open."""
        return len(self._calls)

    # What comes

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the peer."""
        self._keepalive.heard_s = now_s
        if self._is_closed:
            return
        session = self._session
        try:
            session.receive_data(data)
        except NGH2Error as error:
            self._give_up(error)
            return
        for event in session.events():
            kind = type(event)
            if kind is RequestReceived:
                self._open(event, now_s)
            elif kind is DataReceived:
                self._take_data(event)
            elif kind is StreamClosed:
                self._close(event.stream_id)
            elif kind is TrailersReceived:
                self._end_sending(event.stream_id)
            elif kind is SettingsReceived:
                self._greets_until_s = math.inf
            elif kind is PingAcknowledged and event.opaque_data == _NOTICED:
                self._drain.noticed(now_s)
                self.due_s = now_s
            elif kind is ConnectionClosed:
                self._shut()

    def _open(self, event: RequestReceived, now_s: float) -> None:
        number = self._last_number = event.stream_id
        call = self._calls[number] = Call(number, event.headers, self._evict)
        try:
            route = self._shared.reception.receive(call, now_s)
        except NotGrpc as error:
            self._answer_http(call, error.status)
            return
        except TamizError as error:
            # Access control counts what it refuses itself.
            self._end(call, error, counts=isinstance(error, (InvalidRequest, MetadataTooLarge)))
            return
        self.due_s = min(self.due_s, call.deadline_s)
        if self._stalls_at_s == math.inf:
            self._look_for_stalls_later(now_s)
        if route.stream is not None:
            call.came = self._deframer(call)
            call.has_ended_sending = event.end_stream
            self._runner.start(call)
        elif event.end_stream:
            call.has_ended_sending = True
            self._refuse(call, InvalidRequest("the call has no message: expected one"))

    def _take_data(self, event: DataReceived) -> None:
        data = event.data
        call = self._calls.get(event.stream_id)
        if call is None or call.is_done:
            self._pay(event.stream_id, len(data))
            if call is not None and event.end_stream:
                call.has_ended_sending = True
            return
        route = call.route
        assert route is not None  # noqa: S101  calls without one are done
        if call.came is None and event.end_stream and data[:1] == b"\0":
            n_bytes = int.from_bytes(data[1:PREFIX_BYTES], "big")
            if len(data) == PREFIX_BYTES + n_bytes and n_bytes <= route.message_bytes:
                # Nearly all calls are of this kind: one message in one frame.
                self._pay(call.number, len(data))
                call.has_ended_sending = True
                call.body = data[PREFIX_BYTES:]
                self._runner.start(call)
                return
        if call.came is None:
            call.came = self._deframer(call)
        call.came.add(data)
        call.unpaid += len(data)
        call.n_came += len(data)
        call.has_ended_sending = event.end_stream
        if route.stream is not None:
            self._incoming.hold(call, call.came.n_bytes)
            self._runner.readable(call)
        else:
            self._gather(call)

    def _gather(self, call: Call) -> None:
        """Make the only message of a call whole, or see that it cannot become so."""
        came = call.came
        assert came is not None  # noqa: S101  something came
        try:
            if call.body is None:
                call.body = came.take()
            if call.body is not None and not came.is_between:
                raise InvalidRequest("the call has more than one message: expected one")
            if call.has_ended_sending and call.body is None:
                raise InvalidRequest(
                    "the call has no message: expected one"
                    if came.is_between
                    else "the call ends within its message"
                )
        except TamizError as error:
            self._refuse(call, error)
            return
        if call.has_ended_sending:
            self._incoming.forget(call)
            call.came = None
            self._runner.start(call)
            return
        self._incoming.hold(call, came.n_bytes + len(call.body or b""))
        if not call.is_done:  # it may have been the one too many
            self._incoming.want(call)

    def _end_sending(self, number: int) -> None:
        """Take the end of a call's messages, in trailers."""
        call = self._calls.get(number)
        if call is None or call.has_ended_sending:
            return
        call.has_ended_sending = True
        if call.is_done:
            return
        if call.came is None:
            call.came = self._deframer(call)
        if call.route is not None and call.route.stream is not None:
            self._runner.readable(call)
        else:
            self._gather(call)

    def take(self, call: Call) -> bytes | None:
        """Return the next message of a stream; None if it has to be waited for, or if there is none.

        Raises:
            TamizError: if it cannot be one.
        """
        came = call.came
        assert came is not None  # noqa: S101  streams have it from their start
        try:
            message = came.take()
            if message is None and call.has_ended_sending and not came.is_between:
                raise InvalidRequest("the stream ends within a message")
        finally:
            self._incoming.hold(call, came.n_bytes)
        if message is None:
            self._incoming.want(call)
        else:
            self._incoming.pay(call)
        return message

    def _deframer(self, call: Call) -> Deframer:
        assert call.route is not None  # noqa: S101  it was received
        return Deframer(call.route.message_bytes, call.encoding, packed_allowed=self._limits.packed_allowed)

    def _pay(self, number: int, n_bytes: int) -> None:
        """Tell the peer that it may send as many bytes more."""
        try:
            self._session.acknowledge_received_data(n_bytes, number)
        except NGH2Error:  # the connection is ending
            pass

    # What goes out

    def answer(self, call: Call, message: bytes) -> None:
        """Answer a call with its only message, and end it."""
        if call.is_done:
            return
        if len(message) > self._limits.message_bytes:
            self._refuse(call, self._too_large(message))
            return
        call.is_done = True
        session, number = self._session, call.number
        try:
            session.send_response(number, _HEADERS)
            session.send_data(number, framed(message))
            session.send_trailers(number, OK_TRAILERS)
        except NGH2Error:  # the connection is ending
            return
        if not call.has_ended_sending:
            self._refused_early.append(call)

    def send(self, call: Call, message: bytes) -> None:
        """Send one answer of several."""
        if call.is_done:
            return
        if len(message) > self._limits.message_bytes:
            raise self._too_large(message)
        try:
            self._begin(call)
            self._session.send_data(call.number, framed(message))
            call.n_written += PREFIX_BYTES + len(message)
        except NGH2Error:  # the connection is ending
            return

    def has_room(self, call: Call) -> bool:
        """Return whether the next answer may be sent; else `writable` says when."""
        if call.is_done or self._session.queued_body_size(call.number) < _UNSENT_BYTES:
            return True
        self._writers.append(call)
        return False

    def end(self, call: Call) -> None:
        """End a call whose answers were sent."""
        if call.is_done:
            return
        call.is_done = True
        self._incoming.forget(call)
        try:
            self._begin(call)
            self._session.send_trailers(call.number, OK_TRAILERS)
        except NGH2Error:  # the connection is ending
            return
        if not call.has_ended_sending:
            self._refused_early.append(call)

    def fail(self, call: Call, error: TamizError) -> None:
        """End a call with an error of its method."""
        route = call.route
        counts = route is not None and not route.counts_itself
        if route is not None and route.stream is not None:
            counts = isinstance(error, InvalidRequest)
        self._end(call, error, counts=counts)

    def _begin(self, call: Call) -> None:
        if not call.has_begun:
            call.has_begun = True
            self._session.send_response(call.number, _HEADERS)

    def _too_large(self, message: bytes) -> MessageTooLarge:
        most = self._limits.message_bytes
        return MessageTooLarge(f"the answer is {len(message)} bytes large: at most {most} are sent")

    def _refuse(self, call: Call, error: TamizError) -> None:
        """End a call that its method does not see."""
        if isinstance(error, MessageTooLarge) and call.route is not None:
            most = call.route.message_bytes
            if most == OPEN_MESSAGE_BYTES < self._limits.message_bytes:
                error = MessageTooLarge(
                    f"the message is larger than {most} bytes: methods that need no token take no more"
                )
        self._end(call, error, counts=True)

    def _end(self, call: Call, error: TamizError, *, counts: bool) -> None:
        if call.is_done:
            return
        if counts:
            self._shared.refused[error.code] += 1
        metadata = (NOT_TAKEN,) if isinstance(error, Unavailable) else ()
        fields = trailers(error.code, str(error), metadata)
        call.is_done = True
        self._incoming.forget(call)
        try:
            if call.has_begun:
                self._session.send_trailers(call.number, fields)
            else:
                self._session.send_response(call.number, _HEADERS + fields, end_stream=True)
        except NGH2Error:  # the connection is ending
            return
        if not call.has_ended_sending:
            self._refused_early.append(call)

    def _answer_http(self, call: Call, status: HTTPStatus) -> None:
        call.is_done = True
        self._session.send_response(
            call.number, [(b":status", b"%d" % status), (b"content-length", b"0")], end_stream=True
        )
        if not call.has_ended_sending:
            self._refused_early.append(call)

    def to_send(self) -> bytes:
        """Return bytes for the peer; call it again if it returned `AT_ONCE_BYTES`."""
        session = self._session
        try:
            data = session.data_to_send(AT_ONCE_BYTES)
            if self._refused_early and len(data) < AT_ONCE_BYTES:
                data += self._stop_senders()
        except NGH2Error as error:
            self._give_up(error)
            return b""
        for event in session.events():
            if type(event) is StreamClosed:
                self._close(event.stream_id)
            elif type(event) is ConnectionClosed:
                self._shut()
        unsent_bytes = session.queued_body_size()
        if unsent_bytes != self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self._shared.outgoing.hold(self, unsent_bytes)
        if self._writers:
            self._wake_writers()
        return data

    def _stop_senders(self) -> bytes:
        """Tell the callers of calls that were answered early to stop sending (RFC 9113, section 8.1)."""
        later = []
        for call in self._refused_early:
            if self._session.queued_body_size(call.number):
                later.append(call)
            elif call.number in self._calls and not call.has_ended_sending:
                self._session.reset_stream(call.number, ErrorCode.NO_ERROR)
        self._refused_early = later
        return self._session.data_to_send()

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for call in writers:
            if self.has_room(call):
                self._runner.writable(call)

    # What time brings

    def drain(self, now_s: float, grace_s: float) -> None:
        """End the connection when its calls have ended, or after so many seconds."""
        if self._drain.begin(now_s, grace_s) and not self._is_closed:
            self._session.send_shutdown_notice()
            self._session.ping(_NOTICED)
        self.due_s = now_s

    def look(self, now_s: float) -> None:
        """Do what is due, and set `due_s`."""
        if now_s >= self._greets_until_s:
            self._runner.abort()
            return
        pulse = self._keepalive.look(now_s)
        if pulse is Pulse.GIVE_UP:
            self._runner.abort()
            return
        if pulse is Pulse.ASK and not self._is_closed:
            self._session.ping(_ALIVE)
        if now_s >= self._ages_at_s:
            self._ages_at_s = math.inf
            self.drain(now_s, self._limits.grace_s)
        self._look_at_calls(now_s)
        while (step := self._drain.look(now_s, len(self._calls))) is not Step.NOTHING:
            self._take(step)
        self._set_due(now_s)

    def _take(self, step: Step) -> None:
        if step is Step.LAST_GOAWAY:
            if not self._is_closed:
                self._session.send_goaway()
        elif step is Step.END_CALLS:
            for call in list(self._calls.values()):
                self._abandon(call, Unavailable("the connection ends; ask again, over a new one"))
        elif step is Step.CLOSE:
            self.is_over = True

    def _look_at_calls(self, now_s: float) -> None:
        for call in list(self._calls.values()):
            if now_s >= call.deadline_s and not call.is_done:
                self._abandon(call, DeadlineExceeded("the deadline passed before the call was answered"))
        if now_s < self._stalls_at_s:
            return
        for call in list(self._calls.values()):
            unsent = self._session.queued_body_size(call.number)
            moved = (call.n_came, call.n_written - unsent)
            if moved != call.moved:
                call.moved, call.moved_s = moved, now_s
            elif now_s >= call.moved_s + self._limits.stall_s and self._waits_for_peer(call, unsent):
                self._give_up_call(call)
        self._stalls_at_s = math.inf
        if self._calls:
            self._look_for_stalls_later(now_s)

    def _look_for_stalls_later(self, now_s: float) -> None:
        self._stalls_at_s = now_s + self._limits.stall_s / _LOOKS_PER_STALL
        self.due_s = min(self.due_s, self._stalls_at_s)

    def _waits_for_peer(self, call: Call, unsent: int) -> bool:
        """Return whether it is the peer's turn: to send the rest of a message, or to take an answer."""
        if unsent or call.is_done:
            return True
        if call.unpaid or call.has_ended_sending:
            return False
        if call.route is not None and call.route.stream is not None:
            return call.came is not None and not call.came.is_between
        return call.task is None

    def _give_up_call(self, call: Call) -> None:
        if call.is_done:
            self._session.reset_stream(call.number, ErrorCode.CANCEL)
        else:
            self._abandon(call, DeadlineExceeded("nothing of the call moved for too long"))

    def give_up_incoming(self, call: Call) -> None:
        """End a call whose message does not become whole, because others need the room."""
        self._abandon(
            call, MessageTooLarge("too many messages are incomplete, and this one for longest: send it again")
        )
        self._runner.flush()

    def _abandon(self, call: Call, error: TamizError) -> None:
        """End a call from this side, whatever its method is about to say."""
        if call.is_done:
            return
        self._end(call, error, counts=call.task is None)
        self._runner.cancel(call)

    def _set_due(self, now_s: float) -> None:
        deadlines_s = (each.deadline_s for each in self._calls.values() if not each.is_done)
        self.due_s = min(
            min(deadlines_s, default=math.inf),
            self._stalls_at_s,
            self._greets_until_s,
            self._keepalive.due_s,
            self._ages_at_s,
            self._drain.due_s,
        )

    # The end

    def lost(self) -> None:
        """Take that the connection is gone: nobody waits for its calls any more."""
        self.is_over = True
        for number in list(self._calls):
            self._close(number)
        self._shared.outgoing.hold(self, 0)

    def _shut(self) -> None:
        """Take that libnghttp2 neither reads nor writes any more."""
        self._is_closed = True
        # After the last GOAWAY the peer has a moment to read what it was sent.
        self.is_over = self._drain.due_s == math.inf

    def give_up(self) -> None:
        """End the connection, because its answers are not taken and others need the room."""
        self._runner.abort()

    def _close(self, number: int) -> None:
        """Forget a call that is over on the wire."""
        call = self._calls.pop(number, None)
        if call is None:
            return
        self._incoming.forget(call)
        call.has_ended_sending = True
        if not call.is_done:
            call.is_done = True
            self._runner.cancel(call)
        if not self._calls and self._drain.due_s < math.inf:
            self.due_s = 0.0

    def _give_up(self, error: NGH2Error) -> None:
        """End the connection after a fault of the peer's that libnghttp2 does not answer."""
        if isinstance(error, DenialOfServiceError):
            self._shared.refused["RESOURCE_EXHAUSTED"] += 1
        self._runner.abort()
