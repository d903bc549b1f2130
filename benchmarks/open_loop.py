"""Requests at times fixed in advance, whatever becomes of earlier ones: one process, plain sockets, HTTP/2.

A closed loop (h2load, or callers that wait for their answers) asks a slow server less often, and so hides
what an overload does. Here each request has its moment in a seeded Poisson process, and its latency counts
from that moment, even if it was sent late (by this process, or because flow control held it back).

A gRPC client uses as much CPU per call as the server; on two cores it would measure itself. Here one request
is always the same bytes, and only the gRPC status of an answer is read. That takes about a tenth.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PATH: Final = "/tamiz.v1.PredictionService/Predict"
UNANSWERED: Final = -1

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS: Final = 4
_MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW = 3, 4
_HEAD_BYTES: Final = 9
_MAX_DATA: Final = 16_384
_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65_535
_TOP_UP_AT: Final = 2**30
# The name in full, or in Huffman's code (RFC 7541, section 5.2), which makes no number shorter.
_STATUS: Final = re.compile(rb"(?:grpc-status|\x9a\xca\xc8\xb2\x124\xda\x8f)([\x01\x02])(\d+)", re.DOTALL)
_INTERNAL: Final = 13
_READ_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class Outcome:
    """What became of the requests of one run: one entry per request, times in seconds from its start.

    Attributes:
        intended_s: when it was to be sent.
        sent_s: when it was handed to the socket; infinite if never.
        done_s: when its answer arrived; infinite if none came.
        status: its gRPC status, as a number; UNANSWERED if none came.
    """

    intended_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: NDArray[np.int64]


def poisson(rate_per_s: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Return the moments of a Poisson process, in seconds from its start."""
    random = np.random.default_rng(seed)
    moments = np.cumsum(random.exponential(1 / rate_per_s, int(rate_per_s * seconds * 1.5) + 100))
    within: NDArray[np.float64] = moments[moments < seconds]
    return within


def open_loop(
    port: int, message: bytes, moments: Sequence[float], *, connections: int = 4, patience_s: float = 60.0
) -> Outcome:
    """Send a request at each moment to a server on this machine.

    Args:
        port: the server's port.
        message: a serialized request, at most 16 KiB.
        moments: when to send, in seconds from the start, ascending.
        connections: how many connections take turns.
        patience_s: how long to wait for answers after the last moment.
    """
    return _Run(port, message, connections).go(list(moments), until_s=moments[-1] + patience_s)


def closed_loop(
    port: int, message: bytes, seconds: float, *, in_flight: int, connections: int = 4
) -> Outcome:
    """Keep a number of requests in flight for a time; the outcome's moments are those of sending."""
    return _Run(port, message, connections).go(
        [0.0] * in_flight, until_s=seconds + 2.0, again_until_s=seconds
    )


class _Run:
    """All requests of one run."""

    def __init__(self, port: int, message: bytes, connections: int) -> None:
        body = b"\0" + struct.pack(">I", len(message)) + message
        if len(body) > _MAX_DATA:
            raise ValueError(f"the request has {len(body)} bytes: expected at most {_MAX_DATA}, one frame")
        self._connections = [_Connection(port, body) for _ in range(connections)]
        self._poll = select.poll()
        self._by_fd = {}
        for each in self._connections:
            self._poll.register(each.socket, select.POLLIN)
            self._by_fd[each.socket.fileno()] = each

    def go(self, moments: list[float], *, until_s: float, again_until_s: float = 0.0) -> Outcome:
        sent, done, status = ([np.inf] * len(moments), [np.inf] * len(moments), [UNANSWERED] * len(moments))
        n_next = n_done = 0
        start_s = time.perf_counter()
        while n_done < len(moments):
            now_s = time.perf_counter() - start_s
            if now_s > until_s:
                break
            while n_next < len(moments) and moments[n_next] <= now_s:
                self._connections[n_next % len(self._connections)].waiting.append(n_next)
                n_next += 1
            for each in self._connections:
                for index in each.send():
                    sent[index] = now_s
            next_s = moments[n_next] if n_next < len(moments) else until_s
            ready = self._poll.poll(max(0.0, (next_s - (time.perf_counter() - start_s)) * 1e3))
            for descriptor, _ in ready:
                answers = self._by_fd[descriptor].receive()
                now_s = time.perf_counter() - start_s
                for index, code in answers:
                    done[index], status[index] = now_s, code
                    n_done += 1
                    if now_s < again_until_s:
                        moments.append(now_s)
                        sent.append(np.inf)
                        done.append(np.inf)
                        status.append(UNANSWERED)
        for each in self._connections:
            each.socket.close()
        return Outcome(np.array(moments), np.array(sent), np.array(done), np.array(status))


class _Connection:
    """One HTTP/2 connection.

    Attributes:
        socket: its socket.
        waiting: the requests that are to be sent, by their index.
    """

    def __init__(self, port: int, body: bytes) -> None:
        self.waiting: deque[int] = deque()
        self._headers = _header_block(port)
        self._body = body
        self._open: dict[int, int] = {}
        self._next_stream = 1
        self._max_streams = 100
        self._window = _DEFAULT_WINDOW
        self._received = b""
        self._to_top_up = 0
        # Without a header table, every answer spells out its status. The windows are as large as they can be.
        settings = struct.pack(">HIHI", 1, 0, _INITIAL_WINDOW, _WINDOW)
        self._out = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings))
        self._out += _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - _DEFAULT_WINDOW))
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self) -> list[int]:
        """Send what flow control allows; return the requests that were sent."""
        sent = []
        while self.waiting and self._window >= len(self._body) and len(self._open) < self._max_streams:
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            index = self.waiting.popleft()
            self._open[stream] = index
            self._window -= len(self._body)
            self._out += _frame(_HEADERS, _END_HEADERS, stream, self._headers)
            self._out += _frame(_DATA, _END_STREAM, stream, self._body)
            sent.append(index)
        if self._out:
            with suppress(BlockingIOError):
                del self._out[: self.socket.send(self._out)]
        return sent

    def receive(self) -> list[tuple[int, int]]:
        """Read what has arrived; return the requests that ended, with their status."""
        try:
            chunk = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        if not chunk:
            raise ConnectionError("the server closed the connection")
        data = self._received + chunk
        position, ended = 0, []
        while len(data) - position >= _HEAD_BYTES:
            size = int.from_bytes(data[position : position + 3], "big")
            if len(data) - position < _HEAD_BYTES + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", data, position + 3)
            position += _HEAD_BYTES + size
            payload = data[position - size : position]
            if kind == _DATA:
                self._to_top_up += size
            elif (kind == _HEADERS and flags & _END_STREAM) or kind == _RST_STREAM:
                if stream in self._open:
                    ended.append((self._open.pop(stream), _status(payload)))
            elif kind != _HEADERS:
                self._control(kind, flags, stream, payload)
        self._received = data[position:]
        if self._to_top_up > _TOP_UP_AT:
            self._out += _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._to_top_up))
            self._to_top_up = 0
        return ended

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            for key, value in struct.iter_unpack(">HI", payload):
                if key == _MAX_CONCURRENT_STREAMS:
                    self._max_streams = value
            self._out += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._out += _frame(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == _GOAWAY:
            raise ConnectionError(f"the server ended the connection: {payload[8:]!r}")


def _status(trailers: bytes) -> int:
    """Return the gRPC status in a block of headers; INTERNAL if there is none, as after a reset."""
    found = _STATUS.search(trailers)
    return int(found[2][: found[1][0]]) if found else _INTERNAL


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header_block(port: int) -> bytes:
    """Return a gRPC call's headers in HPACK, without compression or table."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            b"\x04" + text(PATH),
            b"\x01" + text(f"127.0.0.1:{port}"),
            b"\x00" + text("te") + text("trailers"),
            b"\x00" + text("content-type") + text("application/grpc"),
        )
    )
