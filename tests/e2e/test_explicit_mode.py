"""A real server that loads and unloads models on request: when it is ready, what a signal does, and calls at
once.
"""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc
import pytest

from tamiz.oip.inference import RepositoryModelLoadRequest
from tamiz_client import Client
from tamiz_client.errors import ModelNotFound

EXPLICIT = ("--model-control-mode", "explicit")
SERVING, NOT_SERVING = 1, 2


class Admin:
    """Loads and unloads by raw calls: both requests have the same fields."""

    def __init__(self, server) -> None:
        self._channel = grpc.insecure_channel(server.target)
        self._server = server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def ask(self, what: str, name: str) -> str:
        """Return the name of the status of a call."""
        call = self._channel.unary_unary(f"/inference.GRPCInferenceService/RepositoryModel{what}")
        try:
            call(RepositoryModelLoadRequest(model_name=name).SerializeToString(), timeout=60)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    def health(self, name: str = "") -> int:
        """Return the number of a status of health; 0 for a name that health does not know."""
        check = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return check(b"\x0a" + bytes([len(name)]) + name.encode(), timeout=60)[1]
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return 0

    def page(self) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self._server.metrics_port}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_a_server_that_was_told_to_load_nothing_is_ready_with_nothing(make_bundle, start_server):
    make_bundle("m/1")
    server = start_server(*EXPLICIT)
    assert "ready: serving no model until one is loaded" in "".join(server.log)
    with Admin(server) as admin, Client(server.target) as client:
        assert (admin.health(), admin.page()) == (SERVING, (200, "SERVING\n"))
        assert client.models() == {}
        with pytest.raises(ModelNotFound, match="no model 'm'; served: none"):
            client.predict("m", [[0, 3]])
        assert admin.ask("Load", "m") == "OK"
        assert client.predict("m", [[0, 3]]).labels == ["yes"]
        assert admin.health("m/1") == SERVING
        assert admin.ask("Unload", "m") == "OK"
        assert client.models() == {}
        assert (admin.health(), admin.page()) == (SERVING, (200, "SERVING\n"))
    assert server.stop() == 0


def test_a_server_that_cannot_load_what_it_was_told_to_is_not_ready(make_bundle, start_server):
    path = make_bundle("m/1")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    server = start_server(*EXPLICIT, "--load-model", "m")
    assert "no model is served" in "".join(server.log)
    with Admin(server) as admin:
        assert (admin.health(), admin.health("m")) == (NOT_SERVING, NOT_SERVING)
        assert admin.page()[0] == 503
        assert admin.ask("Load", "m") == "FAILED_PRECONDITION"
        path.write_bytes(whole)
        assert admin.ask("Load", "m") == "OK"
        assert (admin.health(), admin.page()) == (SERVING, (200, "SERVING\n"))
    assert server.stop() == 0


def test_a_signal_loads_again_what_is_loaded_and_nothing_else(make_bundle, start_server):
    make_bundle("m/1")
    make_bundle("other/1")
    server = start_server(*EXPLICIT, "--load-model", "*", "--model-poll-interval-s", "0.05")
    with Admin(server) as admin, Client(server.target) as client:
        assert admin.ask("Unload", "other") == "OK"
        for where in ("m/2", "other/2", "new/1"):
            make_bundle(where)
        time.sleep(0.3)
        assert client.models() == {"m": [1]}, "nothing is polled"
        server.process.send_signal(signal.SIGHUP)
        until(lambda: client.models() == {"m": [1, 2]})
        assert admin.health("other") != SERVING
    assert server.stop() == 0


def test_calls_and_signals_at_once_disturb_nobody_else(make_bundle, start_server):
    for where in ("m/1", "a/1", "b/1"):
        make_bundle(where)
    server = start_server(*EXPLICIT, "--load-model", "m")
    with Admin(server) as admin, Client(server.target) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(admin.ask, ("Load", "Unload")[k % 2], ("a", "b")[k % 3 == 0]) for k in range(24)]
        n_answered = 0
        while not all(each.done() for each in asked):
            server.process.send_signal(signal.SIGHUP)
            assert client.predict("m", [[0, 3]]).labels == ["yes"]
            n_answered += 1
        assert n_answered
        assert {each.result() for each in asked} == {"OK"}
        assert (admin.ask("Load", "a"), admin.ask("Unload", "b")) == ("OK", "OK")
        assert list(client.models()) == ["a", "m"]
        assert client.predict("a", [[0, 3]]).labels == ["yes"]
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)
    assert "bug" not in "".join(server.log)


def test_a_server_that_stops_during_a_load_ends_in_order(make_bundle, start_server):
    make_bundle("m/1")
    make_bundle("slow/1", "slow")
    server = start_server(*EXPLICIT, "--load-model", "m")
    with Admin(server) as admin, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(admin.ask, "Load", "slow") for _ in range(4)]
        server.process.send_signal(signal.SIGTERM)
        assert {each.result() for each in asked} <= {"OK", "UNAVAILABLE", "CANCELLED"}
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)
