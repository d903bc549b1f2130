"""HTTP/2 by hand, to send what no library would: frames, and a plain header block (RFC 9113, RFC 7541)."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

import grpc
import ngh2
import numpy as np

from tamiz.v1.prediction_pb2 import PredictRequest, Tensor

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
CANCEL = 8

PREDICT = "/tamiz.v1.PredictionService/Predict"
STREAM_PREDICT = "/tamiz.v1.PredictionService/StreamPredict"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """A SETTINGS frame; names are those of the constants above, in lower case."""
    pairs = (struct.pack(">HI", globals()[name.upper()], value) for name, value in values.items())
    return frame(SETTINGS, payload=b"".join(pairs))


def _string(data: bytes) -> bytes:
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = len(data) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + data


def field(name: str, value: str) -> bytes:
    """A header field, literal, not indexed."""
    return literal(name.encode(), value.encode())


def literal(name: bytes, value: bytes) -> bytes:
    """The same of bytes that need not be a text."""
    return b"\x00" + _string(name) + _string(value)


def call_headers(path: str = PREDICT, more: Iterable[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC call."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]
    return b"".join(field(*each) for each in fields)


def message(body: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """A gRPC message with its prefix; `length` is what the prefix says, if it lies."""
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def prediction(model: str = "m", margin: float = 3.0, n_rows: int = 1, **fields: object) -> bytes:
    """A PredictRequest for `softmax_graph`: the probability of the second class is 1 / (1 + exp(−margin))."""
    raw = np.tile(np.array([[0.0, margin]], "<f4"), (n_rows, 1)).tobytes()
    tensor = Tensor(name="features", dtype=11, shape=[n_rows, 2], raw=raw)
    return PredictRequest(**{"model_name": model, "inputs": [tensor], **fields}).SerializeToString()


def call(stream: int, body: bytes, path: str = PREDICT) -> bytes:
    """The frames of a whole unary call; the body fits into one frame of 16,384 bytes."""
    data = message(body)
    return frame(HEADERS, END_HEADERS, stream, call_headers(path)) + frame(DATA, END_STREAM, stream, data)


def status(frames: Iterable[tuple[int, int, int, bytes]]) -> str:
    """The name of the gRPC status that the frames of stream 1 end with; empty if there is none."""
    peer = ngh2.Connection(ngh2.Role.CLIENT)
    peer.initiate_connection()
    peer.send_request([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")])
    peer.data_to_send()
    peer.receive_data(
        frame(SETTINGS) + b"".join(frame(*each) for each in frames if each[0] in {HEADERS, DATA})
    )
    fields = {name: value for event in peer.events() for name, value in getattr(event, "headers", ())}
    numbers = {str(each.value[0]).encode(): each.name for each in grpc.StatusCode}
    return numbers.get(fields.get(b"grpc-status", b""), "")


class Connection:
    """A TCP connection that has said the HTTP/2 preface, and nothing that it was not told to say.

    Attributes:
        socket: the connection itself.
        seen: the frames that came.
    """

    def __init__(self, port: int, **said: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.settimeout(20)
        # By stream, in addition to the initial window; 0 is the connection.
        self._windows: Counter[int] = Counter()
        self._initial_window = 65_535
        self._unread = b""
        self.seen: list[tuple[int, int, int, bytes]] = []
        self.send(PREFACE + settings(**said))

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def flood(self, frames: bytes, times: int) -> int:
        """Send the same again and again, and read nothing; return how often it went out before the server had
        enough.
        """
        for sent in range(times):
            try:
                self.send(frames)
            except OSError:
                return sent
        return times

    def read(self, within_s: float = 20) -> tuple[int, int, int, bytes] | None:
        """Return the next frame: kind, flags, stream and payload; None if none comes in time, or the
        connection ends.

        It acknowledges frames that need it.
        """
        self.socket.settimeout(within_s)
        while len(self._unread) < 9 or len(self._unread) < 9 + int.from_bytes(self._unread[:3]):
            try:
                got = self.socket.recv(65_536)
            except OSError:
                return None
            if not got:
                return None
            self._unread += got
        size, (kind, flags, stream) = (
            int.from_bytes(self._unread[:3]),
            struct.unpack(">BBI", self._unread[3:9]),
        )
        payload, self._unread = self._unread[9 : 9 + size], self._unread[9 + size :]
        if kind == WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(payload)
        if kind == SETTINGS:
            for name, value in struct.iter_unpack(">HI", payload):
                self._initial_window = value if name == INITIAL_WINDOW_SIZE else self._initial_window
        if kind in {SETTINGS, PING} and not flags & ACK:
            with suppress(OSError):  # the server has gone meanwhile
                self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        self.seen.append((kind, flags, stream, payload))
        return self.seen[-1]

    def data(self, stream: int, data: bytes, flags: int = 0, within_s: float = 20) -> bool:
        """Send DATA in frames, as far as the windows allow; return whether all of it went out."""
        start = 0
        while start < len(data):
            connection, own = 65_535 + self._windows[0], self._initial_window + self._windows[stream]
            size = min(16_384, len(data) - start, connection, own)
            if size <= 0:
                got = self.read(within_s)
                if got is None or (got[0] == RST_STREAM and got[2] == stream):
                    return False
                continue
            for each in (0, stream):
                self._windows[each] -= size
            is_last = start + size == len(data)
            if not self.flood(frame(DATA, flags if is_last else 0, stream, data[start : start + size]), 1):
                return False
            start += size
        return True

    def ended(self, within_s: float = 20) -> bool:
        """Read until the server ends the connection; False if it does not in time."""
        until_s = time.monotonic() + within_s
        try:
            while (left_s := until_s - time.monotonic()) > 0:
                self.socket.settimeout(left_s)
                if not self.socket.recv(65_536):
                    return True
        except TimeoutError:
            pass
        except OSError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
