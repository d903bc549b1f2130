"""Clients that die with requests in flight: what waited for them is dropped and counted, and nobody else
notices.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.asking import metric, samples, wait_for

from .bystanders import bystanders
from .http2 import PREDICT, STREAM_PREDICT, prediction

CLIENT = f"""
import sys, threading
import grpc
channel = grpc.insecure_channel(sys.argv[1])
body = bytes.fromhex(sys.argv[2])
calls = [channel.unary_unary({PREDICT!r}).future(body) for _ in range(10)]
stream = channel.stream_stream({STREAM_PREDICT!r})(body for _ in range(30))
next(stream)
print("asked", flush=True)
more = [channel.unary_unary({PREDICT!r}).future(body) for _ in range(int(sys.argv[3]))]
more[0].result()
print("waits", flush=True)
signal = threading.Event()
signal.wait()
"""


def begin(server, n_calls: int) -> subprocess.Popen[str]:
    """A client process that has asked for the slow model, on a stream and without, and has
    answers to come.
    """
    command = [sys.executable, "-c", CLIENT, server.target, prediction("slow").hex(), str(n_calls)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_clients_are_killed_with_requests_in_flight(make_bundle, start_server, scaled, record, way):
    """`stopped`: a process that is there and does nothing (SIGSTOP); its kernel still acknowledges what
    comes.
    """
    make_bundle("m/1")
    make_bundle("slow/1", "slow" if way == "killed" else "slower")
    patient = ("--max-batch-size", "4", "--max-queue-wait-ms", "600000")  # a queue is what is wanted here
    server = start_server(*patient, *(("--keepalive-s", "1") if way == "stopped" else ()))
    times = scaled(4, 200) if way == "killed" else scaled(2, 50)
    left_waiting = 0
    with bystanders(server):
        for _ in range(times // 2):
            clients = [begin(server, 200 if way == "killed" else 60) for _ in range(2)]
            for client in clients:
                assert client.stdout.readline() == "asked\n"
                assert client.stdout.readline() == "waits\n"
            left_waiting += metric(server, "tamiz_queue_rows", model="slow") > 0
            for client in clients:
                client.send_signal(signal.SIGKILL if way == "killed" else signal.SIGSTOP)
            wait_for(lambda: metric(server, "tamiz_streams_open") == 1, "their streams are ended")
            wait_for(lambda: metric(server, "tamiz_queue_rows", model="slow") == 0, "nothing of theirs waits")
            for client in clients:
                client.kill()
                client.wait()
                client.stdout.close()
    assert left_waiting, "no client was killed while its requests waited"
    told = {
        each.labels["code"]: each.value
        for each in samples(server)
        if each.name == "tamiz_requests_total" and each.labels["model"] == "slow" and each.value
    }
    assert set(told) == {"CANCELLED", "OK"}, told
    cancelled = told["CANCELLED"]
    assert cancelled >= times
    record(
        "Clients and connections",
        "client processes killed (SIGKILL) with calls and a stream in flight"
        if way == "killed"
        else "client processes frozen (SIGSTOP) with calls and a stream in flight",
        times,
        lost=0,
        seen=f"what waited for them was cancelled and counted ({cancelled:,.0f} requests), and the queue"
        f" was empty afterwards" + ("" if way == "killed" else "; the keepalive ended their connections"),
    )
