"""What comes over the gRPC port, byte by byte: HTTP/2 with calls in it."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.faults.http2 import PREFACE, SETTINGS, frame
from tests.server.transports.h1.in_memory import Wire
from tests.server.transports.h2.in_memory import ROUTES, SMALL, Recorder

from tamiz_server.errors import TamizError, Unavailable
from tamiz_server.transports.h2.connection import Connection, Shared
from tamiz_server.transports.h2.limits import Limits
from tamiz_server.transports.h2.reception import Reception
from tamiz_server.transports.room import Room

from .target import Run, Target


def _answer(connection: Connection, runner: Recorder) -> None:
    """Answer some calls, fail others, and leave the rest open, by their numbers."""
    for call in runner.started:
        if call.route.stream is None:
            connection.answer(call, call.body) if call.number % 3 else connection.fail(
                call, Unavailable("no")
            )
            continue
        try:
            while not call.is_done and (message := connection.take(call)) is not None:
                connection.send(call, message)
        except TamizError as error:
            connection.fail(call, error)
        if call.has_ended_sending:
            connection.end(call)


def http2(folder: Path, opened: ExitStack) -> Run:
    """Take the bytes in pieces, with time between them; whatever they are, nothing is left of them."""
    limits = Limits(**SMALL | {"packed_allowed": True, "all_bytes": 100_000, "connection_bytes": 50_000})

    def run(data: bytes) -> None:
        shared = Shared(
            Reception(ROUTES, limits, None), limits, Room(limits.all_bytes), Room(limits.all_bytes), Counter()
        )
        runner = Recorder()
        connection = Connection(shared, runner, 0.0)
        now_s, size = 0.0, 1 + data[0] * 4 if data else 1
        connection.receive(PREFACE + frame(SETTINGS), now_s)
        for start in range(1, len(data), size):
            now_s += 0.5
            connection.receive(data[start : start + size], now_s)
            _answer(connection, runner)
            connection.to_send()
            if connection.due_s <= now_s:
                connection.look(now_s)
        connection.drain(now_s, 1.0)
        while connection.due_s <= now_s + 10 and not connection.is_over:
            connection.look(connection.due_s)
            connection.to_send()
        connection.lost()
        assert shared.incoming.n_bytes == shared.outgoing.n_bytes == 0
        assert all(call.is_done for call in runner.started)

    return run


def http1(folder: Path, opened: ExitStack) -> Run:
    """Take the bytes in pieces, with time between them; whatever they are, nothing is left of them."""

    def run(data: bytes) -> None:
        wire = Wire(body_bytes=2_000, packed_allowed=True, all_bytes=5_000, ahead_bytes=500)
        size = 1 + data[0] * 4 if data else 1
        for start in range(1, len(data), size):
            wire.now_s += 0.5
            wire.send(data[start : start + size])
            if len(wire.started) % 3:
                wire.reply(b"{}")
            wire.at(wire.now_s)
        wire.connection.drain()
        for _ in range(10):
            if wire.connection.due_s < math.inf:
                wire.at(wire.connection.due_s)
        wire.connection.lost()
        assert wire.connection.is_over
        assert wire.shared.room.n_bytes == 0

    return run


TARGETS = {"http1": Target(http1, ()), "http2": Target(http2, ())}
