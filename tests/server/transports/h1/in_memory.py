"""A connection of ours in memory, with a clock and a runner of the test."""

from __future__ import annotations

import math
from collections import Counter

from tamiz_server.serving.endpoints import Endpoint, Reply
from tamiz_server.transports.h1.connection import Connection, Shared
from tamiz_server.transports.h1.limits import Limits
from tamiz_server.transports.h1.reception import Reception
from tamiz_server.transports.h1.routes import Routes
from tamiz_server.transports.room import Room

INFER = "/inference.GRPCInferenceService/ModelInfer"
LIVE = "/inference.GRPCInferenceService/ServerLive"


async def answer(asked):
    raise AssertionError("the runner of these tests starts nothing")


ROUTES = Routes(
    [
        Endpoint("POST", "/v1/models/{name}:predict", "/tamiz.v1.PredictionService/Predict", answer, True),
        Endpoint("GET", "/v1/models/{name}", "/tamiz.v1.PredictionService/GetModel", answer),
        Endpoint("GET", "/live", LIVE, answer),
        Endpoint("POST", "/v2/models/{name}/infer", INFER, answer, True),
        Endpoint("POST", "/load/{name}", "/inference.GRPCInferenceService/RepositoryModelLoad", answer),
    ]
)


class Wire:
    """A connection of ours, with what it started.

    Attributes: `now_s`, `started`, `cancelled`, `aborted`, `refused`, `connection`.
    """

    def __init__(self, *, access=None, age_s=math.inf, shared=None, **limits):
        self.now_s = 0.0
        self.started, self.cancelled, self.aborted = [], [], False
        self.refused = Counter()
        limits = Limits(**{"body_bytes": 1_000, "header_bytes": 2_000} | limits)
        self.shared = shared or Shared(
            Reception(ROUTES, limits, access),
            limits,
            Room(limits.all_bytes),
            self.refused,
            lambda: "Thu, 01 Jan 1970 00:00:00 GMT",
        )
        self.connection = Connection(self.shared, self, self.now_s, age_s)

    def start(self, call):
        self.started.append(call)

    def cancel(self, call):
        self.cancelled.append(call)

    def flush(self):
        pass

    def abort(self):
        self.aborted = True

    def send(self, *parts):
        """Send bytes, and return what they bring about."""
        for part in parts:
            self.connection.receive(part, self.now_s)
        return self.taken()

    def taken(self):
        """Take all that is sent."""
        found = b""
        while data := self.connection.to_send():
            found += data
        return found

    def at(self, now_s):
        """Let time pass, and return what that brings about."""
        self.now_s = now_s
        self.connection.look(now_s)
        return self.taken()

    def reply(self, body=b"{}", **fields):
        """Answer the last request that was started; return what is sent."""
        self.connection.answer(self.started[-1], Reply(body, **fields), self.now_s)
        return self.taken()


def request(method="GET", path="/live", headers=(), body=b"", version="1.1"):
    fields = [("host", "localhost"), *headers]
    if body:
        fields.append(("content-length", str(len(body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode() + body
