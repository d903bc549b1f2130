"""Both ends of a connection in memory: ours, with a clock and a runner of the test, and ngh2's as client."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress

import ngh2
from ngh2 import DataReceived, ResponseReceived, StreamClosed, TrailersReceived

from tamiz_server.transports.h2.connection import Connection, Shared
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.reception import Reception
from tamiz_server.transports.h2.routes import Route
from tamiz_server.transports.room import Room

SMALL = {"message_bytes": 1_000_000, "metadata_bytes": 8_192, "n_streams": 100}


async def method(body, deadline_s, metadata):
    raise AssertionError("the runner of these tests starts nothing")


ROUTES = {
    b"/s/One": Route(method, None, None, counts_itself=False, message_bytes=1_000_000),
    b"/s/Counted": Route(method, None, None, counts_itself=True, message_bytes=1_000_000),
    b"/s/Small": Route(method, None, None, counts_itself=False, message_bytes=100),
    b"/s/Many": Route(None, None, method, counts_itself=False, message_bytes=1_000_000),
}


def headers(path="/s/One", more=()):
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in fields]


def message(body, flag=0, length=None):
    return bytes([flag]) + (len(body) if length is None else length).to_bytes(4, "big") + body


class Recorder:
    """A runner that does nothing by itself."""

    def __init__(self):
        self.started, self.cancelled, self.readable_, self.writable_ = [], [], [], []
        self.aborted = False

    def start(self, call, route):
        call.task = object()
        self.started.append(call)

    def readable(self, call):
        self.readable_.append(call)

    def writable(self, call):
        self.writable_.append(call)

    def cancel(self, call):
        self.cancelled.append(call)

    def flush(self):
        pass

    def abort(self):
        self.aborted = True


class Pair:
    """Attributes: `server`, `client`, `runner`, `now_s`, `refused`; what came at the client, by stream."""

    def __init__(self, *, age_s=math.inf, access=None, client=None, shared=None, **limits):
        self.now_s = 1_000.0
        self.refused = Counter()
        limits = Limits(**SMALL | limits)
        self.shared = shared or Shared(
            Reception(ROUTES, limits, access),
            limits,
            Room(limits.all_bytes),
            Room(limits.all_bytes),
            self.refused,
        )
        self.runner = Recorder()
        self.server = Connection(self.shared, self.runner, self.now_s, age_s)
        self.client = ngh2.Connection(
            ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=False, max_send_header_block_length=10**6)
        )
        self.client.initiate_connection(client or {})
        self.fields, self.trailers, self.data, self.resets, self.events = {}, {}, Counter(), {}, []
        self.bytes = {}
        self.exchange()

    def exchange(self):
        """Carry bytes both ways until there are none."""
        while True:
            out, back = self.client.data_to_send(), self.server.to_send()
            if out:
                self.server.receive(out, self.now_s)
            if back:
                with suppress(ngh2.ConnectionStateError):  # it has ended the connection on its side
                    self.client.receive_data(back)
            for event in self.client.events():
                self._note(event)
            if not out and not back:
                return self

    def _note(self, event):
        self.events.append(event)
        match event:
            case ResponseReceived():
                self.fields[event.stream_id] = dict(event.headers)
            case TrailersReceived():
                self.trailers[event.stream_id] = dict(event.headers)
            case DataReceived():
                self.data[event.stream_id] += len(event.data)
                self.bytes[event.stream_id] = self.bytes.get(event.stream_id, b"") + event.data
            case StreamClosed():
                self.resets[event.stream_id] = event.error_code

    def call(self, body=None, path="/s/One", more=(), *, end=True):
        """Send a call; return its number."""
        number = self.client.send_request(headers(path, more))
        if body is not None:
            self.client.send_data(number, body, end_stream=end)
        self.exchange()
        return number

    def status(self, number):
        """The status of a call that has ended, and its message; None if it has not."""
        ended = self.trailers.get(number) or self.fields.get(number, {})
        if b"grpc-status" not in ended:
            return None
        return int(ended[b"grpc-status"]), ended.get(b"grpc-message", b"").decode()

    def pass_time(self, seconds):
        """Let time pass, in which the server looks whenever it wants to."""
        until_s = self.now_s + seconds
        while self.server.due_s <= until_s:
            self.now_s = max(self.now_s, self.server.due_s)
            self.server.look(self.now_s)
            self.exchange()
        self.now_s = until_s
        return self
