"""Clients that send requests and do not read the answers."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from tests.asking import metric, wait_for

from .bystanders import Footprint, bystanders, until_memory_settles
from .http2 import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    STREAM_PREDICT,
    Connection,
    call_headers,
    frame,
    message,
    prediction,
)

SECTION = "Clients and connections"
N_CALLS = 256  # --max-concurrent-streams
N_ROWS = 1_500
ANSWER_BYTES = 50 * N_ROWS  # at most: confidence, two probabilities, and three small columns


def test_answers_are_read_byte_by_byte_or_not_at_all(make_bundle, start_server, scaled, record):
    """The answers of as many calls as a connection may have open, held by HTTP/2 windows of one byte."""
    make_bundle("m/1")
    make_bundle("a/1")
    server = start_server()
    n_connections = scaled(2, 20)
    body = message(prediction("a", n_rows=N_ROWS, return_probabilities=True))
    headers = call_headers()
    most_bytes = 40e6 + 1.5 * n_connections * N_CALLS * ANSWER_BYTES
    held: list[int] = []

    def all_computed(wanted: float) -> bool:
        return metric(server, "tamiz_requests_total", model="a") == wanted

    def hold() -> None:
        computed = metric(server, "tamiz_requests_total", model="a")
        with ExitStack() as connections:
            for opened in range(1, n_connections + 1):
                connection = connections.enter_context(Connection(server.port, initial_window_size=1))
                for number in range(N_CALLS):
                    connection.send(frame(HEADERS, END_HEADERS, 1 + 2 * number, headers))
                    assert connection.data(1 + 2 * number, body, END_STREAM)
                wait_for(partial(all_computed, computed + opened * N_CALLS), "all are computed")
            asking.progress()
            held.append(Footprint.of(server).rss_bytes - before.rss_bytes)

    with bystanders(server, memory_bytes=most_bytes) as asking:
        before = Footprint.of(server)
        times = until_memory_settles(server, hold)
        assert max(held) < most_bytes
    record(
        SECTION,
        f"answers that are not read ({n_connections} connections with {N_CALLS} calls open each)",
        times * n_connections * N_CALLS,
        lost=0,
        seen=f"the server holds the answers of open calls and no more ({max(held) / 1e6:.0f} MB), until"
        f" the client goes",
    )


def test_streams_are_not_read(make_bundle, start_server, scaled, record):
    """Senders who never stop and never read: the server stops to read them."""
    make_bundle("m/1")
    make_bundle("a/1")
    server = start_server()
    n_streams, n_requests = scaled((3, 20_000), (20, 20_000))
    body = message(prediction("a", n_rows=N_ROWS, return_probabilities=True))
    # What gRPC's threads have freed stays in their arenas, some 10 MB for a stream.
    with bystanders(server, memory_bytes=40e6 + n_streams * 24e6) as asking, ExitStack() as connections:
        before = Footprint.of(server)
        for _ in range(n_streams):
            connection = connections.enter_context(Connection(server.port, initial_window_size=1))
            connection.send(frame(HEADERS, END_HEADERS, 1, call_headers(STREAM_PREDICT)))
            taken = 0
            while taken < n_requests and connection.data(1, body, within_s=0.3):
                taken += 1
            assert taken < n_requests, "the server reads on, though nobody takes its answers"
        asking.progress()
        in_flight = 16  # --max-stream-requests
        received = metric(server, "tamiz_requests_total", model="a")
        assert 0 < received <= n_streams * (in_flight + 2)
        held_bytes = Footprint.of(server).rss_bytes - before.rss_bytes
        assert held_bytes < 40e6 + n_streams * 48e6
    record(
        SECTION,
        "streams whose sender sends without end and never reads",
        n_streams,
        lost=0,
        seen=f"the server reads {received / n_streams:.0f} requests of each and no more;"
        f" {held_bytes / 1e6:.0f} MB in all",
    )
