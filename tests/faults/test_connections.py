"""Connections that say nothing, stop in the middle, vanish, come in thousands, or come and go."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from tests.asking import metric, wait_for

from .bystanders import Footprint, bystanders, in_threads, until_memory_settles
from .http2 import (
    DATA,
    END_HEADERS,
    HEADERS,
    PREFACE,
    STREAM_PREDICT,
    call,
    call_headers,
    frame,
    message,
    prediction,
    settings,
)

SECTION = "Clients and connections"
_HELLO = PREFACE + settings()
_ASK = _HELLO + frame(HEADERS, END_HEADERS, 1, call_headers(STREAM_PREDICT))
UNFINISHED = {
    "nothing at all": b"",
    "half a preface": PREFACE[:12],
    "a preface and no SETTINGS": PREFACE,
    "half a frame's head": _HELLO + frame(HEADERS, END_HEADERS, 1, call_headers())[:5],
    "half a HEADERS frame": _HELLO + frame(HEADERS, END_HEADERS, 1, call_headers())[:40],
    "HEADERS without their end": _HELLO + frame(HEADERS, 0, 1, call_headers()),
    "a call without a message": _ASK,
    "half a message": _ASK + frame(DATA, 0, 1, message(prediction("a"))[:20]),
    "calls whose answers are never read": _HELLO
    + b"".join(call(1 + 2 * number, prediction("a", n_rows=500)) for number in range(15)),
}


@pytest.mark.parametrize("stays_open", [True, False], ids=["half-open", "cut-off"])
def test_connections_stop_in_the_middle(make_bundle, start_server, scaled, record, stays_open):
    """Half-open: they are left open, and nothing is read or acknowledged any more.

    Cut off: they are reset there.
    """
    make_bundle("m/1")
    make_bundle("a/1")
    server = start_server("--keepalive-s", "1")
    each = scaled(10, 300)

    def stop_in_the_middle() -> None:
        before = Footprint.of(server).n_fds
        opened = []
        for said in list(UNFINISHED.values()) * each:
            opened.append(socket.create_connection(("127.0.0.1", server.port), 20))
            opened[-1].sendall(said)
            if not stays_open:
                opened.pop().close()
        wait_for(lambda: Footprint.of(server).n_fds <= before + 2, "the server ends them", 60)
        for connection in opened:
            connection.close()

    with bystanders(server, memory_bytes=600e6):
        times = until_memory_settles(server, stop_in_the_middle)
    record(
        SECTION,
        f"connections that stop in the middle of the protocol and"
        f" {'stay open' if stays_open else 'are closed'}"
        f" ({len(UNFINISHED)} places, {each} times each)",
        times * len(UNFINISHED) * each,
        lost=0,
        seen="the server ended all of them, by keepalive or handshake time-out"
        if stays_open
        else "nothing was left of them",
    )


VANISHING = """
import sys, threading, grpc
from tamiz_client import Client
body = bytes.fromhex(sys.argv[2])
channel = grpc.insecure_channel(sys.argv[1])
end = threading.Event()
def bodies():
    yield body
    end.wait()
streams = [channel.stream_stream(sys.argv[3])(bodies()) for _ in range(3)]
for stream in streams:
    next(stream)
print("asked", flush=True)
end.wait()
"""


def test_peers_vanish_without_a_word(make_bundle, start_server, scaled, record):
    """A client in a network of its own, whose cable is pulled: no FIN, no RST, and nothing
    answers any more.
    """
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip(
            "to pull a cable it takes root and `ip`; the frozen clients of test_killed_clients.py come"
            " nearest"
        )
    make_bundle("m/1")
    make_bundle("a/1")
    name, times = f"tamiz{os.getpid() % 100_000}", scaled(1, 20)
    # Addresses for documentation (RFC 5737), a network of their own for each process that tests.
    host, client = (f"198.51.{100 + os.getpid() % 100}.{last}" for last in (1, 2))
    server = start_server("--keepalive-s", "1", "--host", "0.0.0.0")
    with bystanders(server), ExitStack() as cleaning:
        for _ in range(times):
            ip("netns", "add", name)
            cleaning.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
            ip("addr", "add", f"{host}/30", "dev", f"{name}a")
            ip("link", "set", f"{name}a", "up")
            ip("-n", name, "addr", "add", f"{client}/30", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
            command = [
                sys.executable,
                "-c",
                VANISHING,
                f"{host}:{server.port}",
                prediction("a").hex(),
                STREAM_PREDICT,
            ]
            peer = subprocess.Popen(
                ["ip", "netns", "exec", name, *command], stdout=subprocess.PIPE, text=True
            )
            cleaning.callback(peer.kill)
            assert peer.stdout.readline() == "asked\n"
            assert metric(server, "tamiz_streams_open") == 4
            ip("-n", name, "link", "set", f"{name}b", "down")  # the cable
            wait_for(lambda: metric(server, "tamiz_streams_open") == 1, "the keepalive ends the connection")
            peer.kill()
            peer.wait()
            peer.stdout.close()
            ip("link", "del", f"{name}a")
            ip("netns", "del", name)
    record(
        SECTION,
        "peers that vanish from the network, without FIN or RST, with streams open",
        times,
        lost=0,
        seen="the keepalive ended their connections and streams",
    )


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def test_thousands_of_connections_are_idle(make_bundle, start_server, scaled, record):
    make_bundle("m/1")
    server = start_server()
    n_connections, hold_s = scaled((200, 1), (3_000, 60))
    with bystanders(server, memory_bytes=100e6) as asking, ExitStack() as connections:
        before = Footprint.of(server)
        for _ in range(n_connections):
            connection = socket.create_connection(("127.0.0.1", server.port), 20)
            connections.callback(connection.close)
            connection.sendall(_HELLO)
            assert connection.recv(9), "the server refuses it"
        during = Footprint.of(server)
        assert during.n_fds > before.n_fds + n_connections - 10  # a file of the server's own may be gone
        each_bytes = (during.rss_bytes - before.rss_bytes) / n_connections
        assert each_bytes < 60e3
        assert during.n_threads <= before.n_threads + 4
        until_s = time.monotonic() + hold_s
        while time.monotonic() < until_s:
            asking.progress()
        connections.close()
    record(
        SECTION,
        "idle connections at the same time",
        n_connections,
        lost=0,
        seen=f"{each_bytes / 1e3:.0f} kB of memory for each, no thread",
    )


GOODBYES = {
    "saying nothing": b"",
    "after the preface": _HELLO,
    "with a call in flight": _HELLO + call(1, prediction("a")),
}


@pytest.mark.parametrize("when", GOODBYES)
def test_connections_come_and_go_as_fast_as_they_can(make_bundle, start_server, scaled, record, when):
    make_bundle("m/1")
    make_bundle("a/1")
    server = start_server()
    times = scaled(1_000, 50_000)

    def flood(number: int) -> None:
        for each in range(times // 2):
            # Many source addresses: each has only as many ports.
            source = (f"127.0.{1 + number}.{1 + each % 200}", 0)
            with socket.create_connection(("127.0.0.1", server.port), 30, source) as connection:
                connection.sendall(GOODBYES[when])

    with bystanders(server, memory_bytes=1e9, threads=10) as asking:
        floods = until_memory_settles(server, lambda: in_threads(flood, 2))
        asking.progress()
    record(
        SECTION,
        f"connections opened and closed as fast as two threads can, {when}",
        floods * times,
        lost=0,
        seen=f"the slowest answer to another took {asking.slowest_s:.2f} s",
    )
