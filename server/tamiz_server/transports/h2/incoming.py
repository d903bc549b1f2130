"""Messages of a connection's calls, out of the bytes that come."""

from __future__ import annotations

from tamiz_server.errors import InvalidRequest
from tamiz_server.transports.h2.call import Call
from tamiz_server.transports.h2.credit import Credit
from tamiz_server.transports.h2.framing import PREFIX_BYTES, Deframer
from tamiz_server.transports.h2.routes import Route


class Incoming:
    """Makes messages whole. All methods but `forget` raise TamizError for what cannot become one."""

    def __init__(self, credit: Credit, *, packed_allowed: bool) -> None:
        """Begin; `packed_allowed` says whether messages may be packed."""
        self._credit = credit
        self._packed_allowed = packed_allowed

    def add(self, call: Call, route: Route, data: bytes) -> bool:
        """Take bytes of a call; return whether its answer is to be started."""
        size = len(data)
        if call.came is None:
            if call.has_ended_sending and data[:1] == b"\0":
                n_bytes = int.from_bytes(data[1:PREFIX_BYTES], "big")
                if size == PREFIX_BYTES + n_bytes and n_bytes <= route.message_bytes:
                    # Nearly all calls are of this kind: one message in one frame.
                    call.unpaid = size
                    self._credit.pay(call)
                    call.body = data[PREFIX_BYTES:]
                    return True
            call.came = self.deframer(call, route)
        call.came.add(data)
        call.unpaid += size
        call.n_came += size
        if route.stream is None:
            return self._is_whole(call, call.came)
        self._credit.hold(call, call.came.n_bytes)
        return False

    def take(self, call: Call) -> bytes | None:
        """Return the next message of a stream; None if it has to be waited for, or if there is none."""
        came = call.came
        assert came is not None  # noqa: S101  streams have it from their start
        message = came.take()
        if message is None and call.has_ended_sending and not came.is_between:
            raise InvalidRequest("the stream ends within a message")
        self._credit.hold(call, came.n_bytes)
        if message is None:
            self._credit.want(call)
        else:
            self._credit.pay(call, but_bytes=came.n_bytes)
        return message

    def forget(self, call: Call) -> None:
        """Let go of what came of a call."""
        if call.came is not None:
            self._credit.forget(call)
            call.came = None

    def deframer(self, call: Call, route: Route) -> Deframer:
        """Return what makes messages of a call's bytes."""
        return Deframer(route.message_bytes, call.encoding, packed_allowed=self._packed_allowed)

    def _is_whole(self, call: Call, came: Deframer) -> bool:
        """Return whether the only message of a call is there, and all that was to be sent."""
        if call.body is None:
            call.body = came.take()
        if call.body is not None and not came.is_between:
            raise InvalidRequest("the call has more than one message: expected one")
        if not call.has_ended_sending:
            self._credit.hold(call, came.n_bytes + len(call.body or b""))
            if not call.is_done:  # it may have been the one too many
                self._credit.want(call)
            return False
        if call.body is None:
            raise InvalidRequest(
                "the call has no message: expected one"
                if came.is_between
                else "the call ends within its message"
            )
        self.forget(call)
        return True
