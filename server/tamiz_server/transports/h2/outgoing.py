"""Answers of a connection's calls, and how much of them is not sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from ngh2 import Connection as Session
from ngh2 import ErrorCode, NGH2Error

from tamiz.call_metadata import NOT_TAKEN
from tamiz_server.errors import MessageTooLarge, TamizError, Unavailable
from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.framing import PREFIX_BYTES, framed
from tamiz_server.transports.h2.statuses import OK_TRAILERS, trailers

AT_ONCE_BYTES: Final = 2**18
"""How much is sent at once, at most."""

_HEADERS: Final = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_STOPS_WITHIN_S: Final = 1.0
"""How long a caller may go on sending after it was answered."""

_UNSENT_BYTES: Final = 2**16
"""A stream's next answer waits while at least this much of the earlier ones is not sent."""


class Outgoing:
    """What goes out on a connection. Once a call is done, nothing more is sent of it.

    Attributes:
        early_due_s: when `stop_senders` is to be called; 0 for at once.
        n_queued: how many bytes of answers there were to send, ever.
        n_resets: how many streams were reset.
    """

    def __init__(self, session: Session, most_bytes: int, writable: Callable[[Call], None]) -> None:
        """Begin.

        Args:
            session: libnghttp2's state of the connection.
            most_bytes: the largest answer.
            writable: told of a call for which `has_room` said no, once there is room.
        """
        self._session = session
        self._most_bytes = most_bytes
        self._writable = writable
        self._writers: list[Call] = []
        self.early_due_s = math.inf
        self.n_queued = 0
        self.n_resets = 0
        self._early: dict[Call, float] = {}

    def answer(self, call: Call, message: bytes) -> None:
        """Answer a call with its only message, and end it.

        Raises:
            MessageTooLarge: if the message is larger than allowed.
        """
        self._check_size(message)
        call.is_done = True
        session, number = self._session, call.number
        try:
            session.send_response(number, _HEADERS)
            session.send_data(number, framed(message))
            self.n_queued += PREFIX_BYTES + len(message)
            session.send_trailers(number, OK_TRAILERS)
        except NGH2Error:  # the connection is ending
            pass
        if not call.has_ended_sending:
            self._note_early(call)

    def send(self, call: Call, message: bytes) -> None:
        """Send one answer of several.

        Raises:
            MessageTooLarge: if it is larger than allowed.
        """
        self._check_size(message)
        with suppress(NGH2Error):  # the connection is ending
            self._begin(call)
            self._session.send_data(call.number, framed(message))
            call.n_written += PREFIX_BYTES + len(message)
            self.n_queued += PREFIX_BYTES + len(message)

    def end(self, call: Call) -> None:
        """End a call whose answers were sent."""
        call.is_done = True
        with suppress(NGH2Error):  # the connection is ending
            self._begin(call)
            self._session.send_trailers(call.number, OK_TRAILERS)
        self._note_early(call)

    def fail(self, call: Call, error: TamizError) -> None:
        """End a call with an error."""
        call.is_done = True
        metadata = (NOT_TAKEN,) if isinstance(error, Unavailable) else ()
        fields = trailers(error.code, str(error), metadata)
        with suppress(NGH2Error):  # the connection is ending
            if call.has_begun:
                self._session.send_trailers(call.number, fields)
            else:
                self._session.send_response(call.number, _HEADERS + fields, end_stream=True)
        self._note_early(call)

    def refuse_as_http(self, call: Call, status: HTTPStatus) -> None:
        """Answer a request that is no call."""
        call.is_done = True
        fields = [(b":status", b"%d" % status), (b"content-length", b"0")]
        with suppress(NGH2Error):  # the connection is ending
            self._session.send_response(call.number, fields, end_stream=True)
        self._note_early(call)

    def has_room(self, call: Call) -> bool:
        """Return whether the next answer may be sent; if not, `writable` is called later."""
        if call.is_done or self._session.queued_body_size(call.number) < _UNSENT_BYTES:
            return True
        self._writers.append(call)
        return False

    def unsent_bytes(self, call: Call | None = None) -> int:
        """Return how much of the answers of a call, or of all, is not sent."""
        return self._session.queued_body_size(None if call is None else call.number)

    def to_send(self) -> bytes:
        """Return bytes for the peer, at most about `AT_ONCE_BYTES`.

        Raises:
            NGH2Error: if the connection cannot go on.
        """
        return self._session.data_to_send(AT_ONCE_BYTES)

    def wake_writers(self) -> None:
        """Tell those for whom there is room by now."""
        if self._writers:
            writers, self._writers = self._writers, []
            for call in writers:
                if self.has_room(call):
                    self._writable(call)

    def reset(self, call: Call, code: ErrorCode) -> None:
        """End a call's stream, whatever is still to be sent or to come."""
        self.n_resets += 1
        with suppress(NGH2Error):  # the connection is ending
            self._session.reset_stream(call.number, code)

    def _begin(self, call: Call) -> None:
        if not call.has_begun:
            call.has_begun = True
            self._session.send_response(call.number, _HEADERS)

    def _note_early(self, call: Call) -> None:
        if not call.has_ended_sending:
            self._early[call] = math.inf
            self.early_due_s = 0.0

    def stop_senders(self, now_s: float) -> None:
        """Have callers stop to send what nobody reads: they were answered early (RFC 9113, section 8.1).

        Most stop by themselves when they read the status. Some clients lose it if a reset comes with it.
        """
        for call, until_s in list(self._early.items()):
            if call.has_ended_sending:
                del self._early[call]
            elif until_s == math.inf:
                self._early[call] = now_s + _STOPS_WITHIN_S
            elif now_s >= until_s and not self.unsent_bytes(call):
                del self._early[call]
                self.reset(call, ErrorCode.NO_ERROR)
        later_s = now_s + _STOPS_WITHIN_S
        self.early_due_s = min(
            (until_s if until_s > now_s else later_s for until_s in self._early.values()), default=math.inf
        )

    def _check_size(self, message: bytes) -> None:
        if len(message) > self._most_bytes:
            raise MessageTooLarge(
                f"the answer is {len(message)} bytes large: at most {self._most_bytes} are sent"
            )
