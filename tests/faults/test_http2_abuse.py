"""Allowed frames, sent as no honest client would send them; and messages that are too large."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial

import pytest
from tests.asking import metric, wait_for

from .bystanders import Footprint, bystanders, in_threads, until_memory_settles
from .http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREDICT,
    RST_STREAM,
    WINDOW_UPDATE,
    Connection,
    call,
    call_headers,
    field,
    frame,
    literal,
    message,
    prediction,
    settings,
    status,
)

SECTION = "Clients and connections"


@contextmanager
def peak(server) -> Iterator[Callable[[], float]]:
    """How many bytes more than at its start the server took during a block at most, so far."""
    start = highest = Footprint.of(server).rss_bytes
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.05):
            highest = max(highest, Footprint.of(server).rss_bytes)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield lambda: highest - start
    finally:
        done.set()
        watching.join()


@contextmanager
def read_in_background(connection: Connection) -> Iterator[None]:
    reading = threading.Thread(target=connection.ended, args=(3_600,))
    reading.start()
    try:
        yield
    finally:
        with suppress(OSError):  # the server has had enough
            connection.socket.shutdown(2)
        reading.join()


@pytest.mark.parametrize("with_message", [False, True], ids=["headers", "calls"])
def test_calls_are_opened_and_reset_in_a_tight_loop(make_bundle, start_server, scaled, record, with_message):
    """CVE-2023-44487. Many connections at once are what makes it dangerous: each may have its calls open."""
    make_bundle("m/1")
    make_bundle("a/1")
    server = start_server()
    n_connections, each = scaled((20, 2_000), (40, 25_000))
    headers, body = call_headers(PREDICT), prediction("a")
    sent: list[int] = []

    def reset(stream: int) -> bytes:
        opened = call(stream, body) if with_message else frame(HEADERS, END_HEADERS, stream, headers)
        return opened + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))

    def attack(_: int) -> None:
        with (
            suppress(BrokenPipeError, ConnectionResetError),  # the server may end such a connection
            Connection(server.port) as connection,
            read_in_background(connection),
        ):
            for start in range(0, each, 50):
                connection.send(*(reset(1 + 2 * (start + number)) for number in range(50)))
                sent.append(50)
            connection.send(frame(PING, 0, 0, b"the end."))

    with bystanders(server, memory_bytes=250e6) as asking, peak(server) as peak_bytes:
        in_threads(attack, n_connections)
        asking.progress()
        assert peak_bytes() < 500e6
        highest_bytes = peak_bytes()
    record(
        SECTION,
        f"calls {'with their message ' if with_message else ''}opened and reset in a tight loop (rapid"
        f" reset, CVE-2023-44487)",
        sum(sent),
        lost=0,
        seen=f"{n_connections} connections at once took {highest_bytes / 1e6:.0f} MB; the slowest answer"
        f" to another took"
        f" {asking.slowest_s:.1f} s",
    )


FLOODS = {
    "PING": (b"", frame(PING, 0, 0, b"12345678")),
    "SETTINGS": (b"", settings(initial_window_size=65_535)),
    "WINDOW_UPDATE": (b"", frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
    "empty DATA": (frame(HEADERS, END_HEADERS, 1, call_headers()), frame(DATA, 0, 1)),
    "CONTINUATION": (
        frame(HEADERS, 0, 1, call_headers()),
        frame(CONTINUATION, 0, 1, field("x", "y" * 1_000)),
    ),
    "unknown": (b"", frame(0xBE, 0, 0, b"12345678")),
}


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads-nothing"])
def test_frames_are_sent_without_end(make_bundle, start_server, scaled, record, kind, reads):
    make_bundle("m/1")
    server = start_server()
    first, repeated = FLOODS[kind]
    n_frames = scaled(50_000, 2_000_000)
    n_connections, at_once = 2, 50

    def attack(_: int) -> None:
        with Connection(server.port) as connection:
            connection.socket.settimeout(5)  # a server that reads no more holds the sender back
            connection.send(first)
            if reads:
                with read_in_background(connection):
                    sent.append(connection.flood(repeated * at_once, n_frames // n_connections // at_once))
            else:
                sent.append(connection.flood(repeated * at_once, n_frames // n_connections // at_once))

    sent: list[int] = []
    # gRPC lets 16 MB of metadata come in frames of whole fields, several times that in its own form, before
    # we see them.
    limit_bytes = 600e6 if kind == "CONTINUATION" else 150e6
    with bystanders(server, memory_bytes=limit_bytes) as asking, peak(server) as peak_bytes:
        until_memory_settles(server, lambda: in_threads(attack, n_connections))
        asking.progress()
        assert peak_bytes() < limit_bytes
        highest_bytes = peak_bytes()
    record(
        SECTION,
        f"{kind} frames without end, by a client that reads {'what comes' if reads else 'nothing'}",
        sum(sent) * at_once,
        lost=0,
        seen=f"{highest_bytes / 1e6:.0f} MB at most; the slowest answer to another took"
        f" {asking.slowest_s:.2f} s",
    )


def answer(connection: Connection, within_s: float = 30) -> str:
    """The name of the status with which stream 1 ends; empty if the connection ends first."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if any(
            stream == 1 and (kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM))
            for kind, flags, stream, _ in connection.seen
        ):
            break
        if connection.read(within_s) is None:
            break
    return status(each for each in connection.seen if each[2] == 1)


RESOURCE_EXHAUSTED, UNIMPLEMENTED = "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"


def oversized(connection: Connection) -> str:
    connection.send(frame(HEADERS, END_HEADERS, 1, call_headers()))
    connection.data(1, message(bytes(2_000_000)), END_STREAM)
    return answer(connection)


def lying(connection: Connection) -> str:
    """A message that says it has 4 GB, of which 20 MB come. gRPC judges it when it is there: never."""
    connection.send(frame(HEADERS, END_HEADERS, 1, call_headers()))
    connection.data(1, message(bytes(20_000_000), length=0xFFFF_FFF0))
    return RESOURCE_EXHAUSTED


@cache
def packed_zeros() -> bytes:
    """Two hundred megabytes of them in two hundred kilobytes."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packing.compress(bytes(1_000_000)) for _ in range(200)), packing.flush()])


def bomb(connection: Connection) -> str:
    connection.send(frame(HEADERS, END_HEADERS, 1, call_headers(more=[("grpc-encoding", "gzip")])))
    connection.data(1, message(packed_zeros(), compressed=True), END_STREAM)
    return answer(connection)


def metadata(connection: Connection, n_fields: int = 40) -> str:
    """400 kB of headers, where 16 are allowed, in frames that hold whole fields: gRPC itself lets
    that pass.
    """
    large = [frame(CONTINUATION, 0, 1, field(f"x-{number}", "y" * 10_000)) for number in range(n_fields)]
    connection.send(frame(HEADERS, 0, 1, call_headers()), *large, frame(CONTINUATION, END_HEADERS, 1))
    connection.data(1, message(prediction("a")), END_STREAM)
    return answer(connection)


TOO_LARGE = {
    "messages larger than --max-message-bytes": (oversized, RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED"),
    "messages that say they have 4 GB": (lying, RESOURCE_EXHAUSTED, "only what was sent was held"),
    "compressed messages that unpack to 1,000 times their size": (
        bomb,
        UNIMPLEMENTED,
        "UNIMPLEMENTED, not unpacked",
    ),
    "metadata larger than --max-metadata-bytes": (metadata, RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED"),
    "metadata of two fields, larger than --max-metadata-bytes": (
        partial(metadata, n_fields=2),
        RESOURCE_EXHAUSTED,
        "RESOURCE_EXHAUSTED",
    ),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_what_is_too_large_is_refused_and_not_held(
    make_bundle, start_server, scaled, record, what, transport
):
    make_bundle("m/1")
    server = start_server("--max-message-bytes", "1000000")
    send, expected, seen = TOO_LARGE[what]
    times = scaled(3, 200)
    with bystanders(server, memory_bytes=250e6) as asking, peak(server) as peak_bytes:
        at_first = Footprint.of(server)
        for _ in range(times):
            with Connection(server.port) as connection:
                told = send(connection)
                # Metadata far beyond the limit end the whole connection of h2.
                assert told == expected or (transport == "h2" and "metadata" in what and connection.ended())
            wait_for(lambda: Footprint.of(server).rss_bytes < at_first.rss_bytes + 300e6, "that is freed")
        asking.progress()
        assert peak_bytes() < 400e6
    assert metric(server, "tamiz_requests_received_total") == metric(
        server, "tamiz_requests_total", model="m"
    )
    if "metadata" in what:
        assert metric(server, "tamiz_calls_refused_total", code="RESOURCE_EXHAUSTED") == times
    record(SECTION, what, times, lost=0, seen=seen)


NEED_NO_TOKEN = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ModelReady",
)


def test_messages_without_end_to_methods_that_need_no_token_are_not_held(
    make_bundle, start_server, scaled, record
):
    """gRPC holds them as far as they were sent: 1.2 GB in 2.5 s."""
    make_bundle("m/1")
    server = start_server()
    paths, chunk = scaled(NEED_NO_TOKEN[1:3], NEED_NO_TOKEN * 20), bytes(4_000_000)
    with peak(server) as peak_bytes:
        for path in paths:
            with Connection(server.port) as connection:
                connection.send(frame(HEADERS, END_HEADERS, 1, call_headers(path)))
                said = message(chunk, length=0xFFFF_FFF0)
                n_chunks = 0
                while n_chunks < 200 and connection.data(1, said, within_s=0.5):
                    said, n_chunks = chunk, n_chunks + 1
                assert n_chunks < 200
        assert peak_bytes() < 400e6
    refused = metric(server, "tamiz_calls_refused_total", code="RESOURCE_EXHAUSTED")
    assert refused == len(paths)
    record(
        SECTION,
        "messages without end to methods that need no token",
        int(refused),
        lost=0,
        seen="RESOURCE_EXHAUSTED, and not held",
    )


def test_metadata_that_are_not_utf8_hurt_nobody_and_are_not_quoted(
    make_bundle, start_server, scaled, record, transport
):
    make_bundle("m/1")
    server = start_server()
    times = scaled(50, 5_000)
    secret = [b"authorization", b"Bearer topsecret\xff"]
    path = [b":path", b"/topsecret\xff"]
    with bystanders(server) as asking:
        for headers in (
            call_headers() + literal(*secret),
            call_headers().replace(field(":path", PREDICT), literal(*path)),
        ):
            with Connection(server.port) as connection, read_in_background(connection):
                for number in range(times):
                    connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, headers))
                connection.send(frame(PING, 0, 0, b"the end."))
        asking.progress()
    assert server.stop() == 0
    assert "topsecret" not in "".join(server.log)
    assert len(server.log) < 100
    if transport == "grpcio":  # which says so itself
        assert sum("not UTF-8" in line for line in server.log) >= 1
    record(
        SECTION,
        "tokens and names of methods that are not UTF-8",
        2 * times,
        lost=0,
        seen="answered or refused; the log says so once a second, and quotes nothing",
    )
