"""The limits of one connection, observed from outside, with a real server."""

from __future__ import annotations

import re
import socket
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.asking import wait_for

from tamiz_client import Client, ModelNotFound
from tamiz_server.config.config import Config
from tamiz_server.config.warnings import plain_text_warnings

TLS = {"tls_key": "k", "tls_certificate": "c"}


def watch(channel, timeout_s=30):
    """Open a call that lasts, and wait for its first message."""
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=timeout_s)
    assert next(call).status == health_pb2.HealthCheckResponse.SERVING
    return call


def ended(call):
    """Wait for the end of a call that lasts; return its status."""
    with pytest.raises(grpc.RpcError) as end:
        next(call)
    return end.value


def test_metadata_beyond_the_limit_are_refused_and_below_it_never(make_bundle, start_server):
    make_bundle()
    server = start_server("--max-metadata-bytes", "8192")
    with grpc.insecure_channel(server.target) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for _ in range(20):
            check(health_pb2.HealthCheckRequest(), metadata=[("x-large", "x" * 7_000)], timeout=60)
            with pytest.raises(grpc.RpcError) as refused:
                check(health_pb2.HealthCheckRequest(), metadata=[("x-large", "x" * 9_000)], timeout=60)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("character", ["x", "%", "\n", "é", "\U0001f600"])
def test_a_status_comes_through_however_long_the_names_of_the_caller_are(
    make_bundle, start_server, character
):
    make_bundle()
    server = start_server()
    with Client(server.target) as client, pytest.raises(ModelNotFound, match=r"served: m$"):
        client.model(character * 100_000)


def test_a_connection_has_at_most_so_many_calls_open(make_bundle, start_server):
    make_bundle()
    server = start_server("--max-concurrent-streams", "2")
    with grpc.insecure_channel(server.target) as channel:
        open_calls = [watch(channel), watch(channel)]
        with pytest.raises(grpc.RpcError) as held_back:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=0.5)
        assert held_back.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with Client(server.target) as other:
            assert other.models() == {"m": [1]}
        open_calls[0].cancel()
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        open_calls[1].cancel()


def test_an_old_connection_ends_and_its_client_notices_nothing_but_streams_do(make_bundle, start_server):
    make_bundle()
    server = start_server("--max-connection-age-s", "1", "--max-connection-age-grace-s", "0.5")
    started_s = time.monotonic()
    with grpc.insecure_channel(server.target) as channel, Client(server.target) as client:
        call = watch(channel)
        while time.monotonic() < started_s + 3:
            assert client.models() == {"m": [1]}
        assert ended(call).code() is grpc.StatusCode.UNAVAILABLE


def test_without_an_age_connections_stay(make_bundle, start_server):
    make_bundle()
    server = start_server("--max-connection-age-grace-s", "0")
    with grpc.insecure_channel(server.target) as channel:
        call = watch(channel, timeout_s=2)
        assert ended(call).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_connections_beyond_the_limit_are_closed_and_those_within_it_stay(make_bundle, start_server):
    make_bundle()
    server = start_server("--max-connections", "3")
    address = ("127.0.0.1", server.port)
    with Client(server.target) as client:
        assert client.models() == {"m": [1]}
        taken = [socket.create_connection(address, 10) for _ in range(5)]
        for one_too_many in taken[2:]:
            assert one_too_many.recv(100) == b""
        assert client.models() == {"m": [1]}
        for each in taken:
            each.close()

        def is_served() -> bool:
            with closing(socket.create_connection(address, 10)) as again:
                return again.recv(100) != b""

        wait_for(is_served)


def test_some_files_can_be_opened_however_many_connect(make_bundle, start_server, tmp_path):
    make_bundle()
    few = tmp_path / "few"
    few.write_text(f'#!/bin/sh\nulimit -n 612\nexec "{sys.executable}" "$@"\n')
    few.chmod(0o755)
    server = start_server(python=few)
    assert any("at most 100 connections" in line for line in server.log)
    taken = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(700)]
    assert taken[-1].recv(100) == b""
    page = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=60).read()
    assert b"tamiz_build_info" in page
    for each in taken:
        each.close()


def test_the_soft_limit_on_open_files_is_raised(make_bundle, start_server, tmp_path):
    make_bundle()
    few = tmp_path / "few"
    few.write_text(f'#!/bin/sh\nulimit -S -n 256\nexec "{sys.executable}" "$@"\n')
    few.chmod(0o755)
    server = start_server("--max-connections", "1000", python=few)
    limits = Path("/proc", str(server.process.pid), "limits").read_text()
    assert re.search(r"^Max open files +1512 ", limits, re.MULTILINE)


def test_a_server_takes_the_most_that_every_setting_allows(make_bundle, start_server):
    make_bundle()
    counts = (
        "queue-size",
        "message-bytes",
        "stream-requests",
        "concurrency",
        "metadata-bytes",
        "concurrent-streams",
    )
    longest = ("keepalive-s", "max-load-s", "max-run-s", "max-connection-age-s", "max-connection-age-grace-s")
    longest += ("failure-cooldown-s", "drain-timeout-s", "model-poll-interval-s")
    flags = [f"--max-{name}={2**31 - 1}" for name in (*counts, "failures", "queue-wait-ms")]
    flags += [f"--{name}=2147483" for name in longest]
    flags += ["--inline-limit-us=2147483647", f"--model-memory-bytes={2**60}", "--access-log-share=1e-9"]
    server = start_server(*flags, "--max-connections=1000000")
    with Client(server.target) as client:
        assert client.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
        assert len(list(client.stream("m", [np.zeros((3, 2))] * 3))) == 3
    assert not any("Traceback" in line for line in server.log)
    assert server.stop() == 0


def test_compressed_messages_are_refused(make_bundle, start_server):
    make_bundle()
    server = start_server()
    with grpc.insecure_channel(server.target) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        with pytest.raises(grpc.RpcError) as refused:
            # A short one would be sent as it is.
            check(
                health_pb2.HealthCheckRequest(service="m" * 999),
                compression=grpc.Compression.Gzip,
                timeout=60,
            )
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_client_that_does_not_live_any_more_or_never_speaks_loses_its_connection(make_bundle, start_server):
    make_bundle()
    server = start_server("--keepalive-s", "1")
    started_s = time.monotonic()
    address = ("127.0.0.1", server.port)
    with (
        closing(socket.create_connection(address)) as dead,
        closing(socket.create_connection(address)) as silent,
    ):
        dead.settimeout(20)
        silent.settimeout(20)
        dead.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")  # an empty SETTINGS frame
        while dead.recv(4096):  # pings are not answered
            pass
        assert time.monotonic() - started_s < 8
        while silent.recv(4096):
            pass
        assert time.monotonic() - started_s < 18


def test_the_metrics_port_can_have_an_address_of_its_own(make_bundle, start_server):
    make_bundle()
    server = start_server("--metrics-host", "127.0.0.2")
    assert any(f"metrics on http://127.0.0.2:{server.metrics_port}/" in line for line in server.log)
    with closing(socket.create_connection(("127.0.0.2", server.metrics_port), 5)):
        pass
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.metrics_port), 5)


@pytest.mark.parametrize(
    ("settings", "n_warnings", "words"),
    [
        ({}, 0, ""),
        ({"host": "::1"}, 0, ""),
        ({"host": "0.0.0.0"}, 2, "in plain text: anyone on the network path"),
        ({"host": "10.0.0.1", "tokens_file": "tokens"}, 1, "tokens included"),
        ({"host": "::", **TLS}, 2, "anyone there may send requests"),
        (
            {"host": "::", **TLS, "tokens_file": "tokens"},
            1,
            "--host ::: /metrics and /healthz can be reached",
        ),
        ({"host": "::", **TLS, "tokens_file": "tokens"}, 1, "as are the tokens for them"),
        ({"host": "::", **TLS, "tokens_file": "tokens", "metrics_tls": True}, 0, ""),
        ({"host": "::", **TLS, "tls_client_ca": "ca", "metrics_host": "127.0.0.1"}, 0, ""),
        (
            {"host": "::", **TLS, "tls_client_ca": "ca", "metrics_host": "10.0.0.1"},
            1,
            "--metrics-host 10.0.0.1",
        ),
        ({"metrics_host": "0.0.0.0"}, 1, "in plain text. Within a cluster that is usual"),
        ({"metrics_host": "0.0.0.0", **TLS}, 1, "--metrics-host 0.0.0.0"),
        ({"metrics_host": "0.0.0.0", **TLS, "metrics_tls": True}, 0, ""),
        ({"host": "0.0.0.0", "metrics_host": "10.0.0.1"}, 2, "anyone there may send requests"),
        ({"http_port": 8000, "http_host": "0.0.0.0"}, 2, "--http-host 0.0.0.0"),
        ({"host": "::", "http_port": 8000}, 2, "--host :: can be reached"),
        ({"host": "::", **TLS, "tokens_file": "tokens", "http_port": 8000, "metrics_tls": True}, 0, ""),
        ({"model_control_mode": "explicit"}, 0, ""),
        ({"host": "::", "model_control_mode": "explicit"}, 3, "anyone there may load and unload models"),
        ({"host": "::", "model_control_mode": "explicit", "tokens_file": "tokens"}, 1, "in plain text"),
        (
            {
                "host": "::",
                "model_control_mode": "explicit",
                **TLS,
                "tls_client_ca": "ca",
                "metrics_tls": True,
            },
            1,
            "every client with a certificate may load and unload models",
        ),
    ],
)
def test_a_server_that_others_reach_says_what_protects_it_not(tmp_path, settings, n_warnings, words):
    warnings = list(plain_text_warnings(Config(model_repository=tmp_path, **settings)))
    assert len(warnings) == n_warnings
    assert words in "".join(warnings)


def test_the_warning_stands_in_the_log(make_bundle, start_server):
    make_bundle()
    server = start_server("--host", "0.0.0.0")
    assert sum('"warning"' in line and "--host 0.0.0.0" in line for line in server.log) == 2
