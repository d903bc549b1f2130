"""Abuse of the port of /metrics and /healthz: others still see the metrics, and predictions are answered."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.asking import page, wait_for

from .bystanders import Footprint, bystanders

SECTION = "Clients and connections"


def connect(server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.metrics_port), 20)
    connection.settimeout(20)
    return connection


class Scrapes:
    """Prometheus, four times a second."""

    def __init__(self) -> None:
        self.n_done = 0
        self.slowest_s = 0.0
        self.failures: list[str] = []


@contextmanager
def scraped(server) -> Iterator[Scrapes]:
    """Have /metrics asked for during a block; each time it is answered."""
    scrapes, stop = Scrapes(), threading.Event()

    def scrape() -> None:
        while not stop.wait(0.25):
            asked_s = time.monotonic()
            try:
                assert "tamiz_requests_received_total" in page(server)
            except Exception as error:  # noqa: BLE001  whatever it was, it counts
                scrapes.failures.append(repr(error))
            scrapes.slowest_s = max(scrapes.slowest_s, time.monotonic() - asked_s)
            scrapes.n_done += 1

    scraping = threading.Thread(target=scrape)
    scraping.start()
    try:
        yield scrapes
        wanted = scrapes.n_done + 2
        wait_for(lambda: scrapes.n_done >= wanted, "the metrics are answered")
    finally:
        stop.set()
        scraping.join()
    assert not scrapes.failures


def garbage(connection: socket.socket, number: int) -> None:
    connection.sendall(random.Random(number).randbytes(2_000) + b"\r\n\r\n")
    connection.recv(100)


def huge_headers(connection: socket.socket, _: int) -> None:
    connection.sendall(b"GET /metrics HTTP/1.1\r\n")
    for number in range(1_000):
        connection.sendall(b"X-%d: " % number + b"y" * 10_000 + b"\r\n")
    raise AssertionError("ten megabytes of headers were taken")


def endless_line(connection: socket.socket, _: int) -> None:
    for _ in range(1_000):
        connection.sendall(b"GET /" + b"y" * 10_000)
    raise AssertionError("ten megabytes of a first line were taken")


def unread(connection: socket.socket, _: int) -> None:
    connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")


ABUSES: dict[str, Callable[[socket.socket, int], None]] = {
    "random bytes": garbage,
    "headers without end": huge_headers,
    "a first line without end": endless_line,
    "questions whose answers are not awaited": unread,
    "connections opened and closed": lambda *_: None,
}


@pytest.mark.parametrize("what", ABUSES)
def test_who_asks_for_nonsense_hinders_nobody(make_bundle, start_server, scaled, record, what):
    make_bundle("m/1")
    server = start_server()
    times = scaled(50, 20_000)
    with bystanders(server), scraped(server) as scrapes:
        for number in range(times):
            with connect(server) as connection, suppress(OSError):
                ABUSES[what](connection, number)
    record(
        SECTION,
        f"the metrics port: {what}",
        times,
        lost=0,
        seen=f"/metrics was answered to others within {scrapes.slowest_s:.1f} s",
    )


@pytest.mark.parametrize("drips", [True, False], ids=["slowloris", "silent"])
def test_who_keeps_a_connection_does_not_keep_a_thread(make_bundle, start_server, scaled, record, drips):
    """Connections that say nothing, or a header line now and then (slowloris): more than there
    are threads.
    """
    make_bundle("m/1")
    server = start_server()
    n_connections = scaled(100, 3_000)
    with bystanders(server) as asking, scraped(server) as scrapes, ExitStack() as connections:
        before = Footprint.of(server)
        opened = []
        for _ in range(n_connections):
            opened.append(connections.enter_context(connect(server)))
            if drips:
                opened[-1].sendall(b"GET /metrics HTTP/1.1\r\n")
        assert Footprint.of(server).n_threads <= before.n_threads + 64 + 16
        asking.progress()
        until_s = time.monotonic() + 30
        while Footprint.of(server).n_fds > before.n_fds + 2:
            assert time.monotonic() < until_s, "they keep their connections for as long as they like"
            for connection in opened if drips else ():
                with suppress(OSError):
                    connection.sendall(b"X: y\r\n")
            time.sleep(0.3)
    record(
        SECTION,
        f"the metrics port: connections that"
        f" {'say a line now and then (slowloris)' if drips else 'say nothing'}",
        n_connections,
        lost=0,
        seen=f"at most 64 threads, each connection ended after 10 s at most; /metrics was answered to"
        f" others within"
        f" {scrapes.slowest_s:.1f} s",
    )
