"""Settings of one model, rests after failures, and models that share a server, with a real server process."""

from __future__ import annotations

import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.asking import metric, wait_for

from tamiz_client import CallFailed, Client, InvalidRequest, RetryPolicy, ServerUnavailable
from tamiz_server.system.niceness import NICENESS
from tamiz_server.system.resources import available_cpus

ROW = np.array([[0.0, 3.0]])
BAD_ROW = np.array([[0.0, 1e12]])


def test_an_operator_changes_the_settings_of_a_model_without_a_new_export(
    make_bundle, start_server, tmp_path
):
    make_bundle("m/1")
    make_bundle("other/1")
    settings = tmp_path / "models/m/settings.toml"
    settings.write_text("[batching]\nmax_batch_size = 7\n")
    server = start_server("--max-batch-size", "32", "--model-poll-interval-s", "0.1")

    def largest(model: str) -> int:
        with Client(server.target) as client:
            client.predict(model, np.zeros((100, 2)))
        rows, batches = (
            metric(server, f"tamiz_batch_rows_{each}", model=model, version="1") for each in ("sum", "count")
        )
        return round(rows / batches, 1)

    assert largest("m") == round(100 / 15, 1)
    assert largest("other") == 25
    settings.write_text("[batching]\nmax_batch_size = 50\nmax_queue_size = 200\n")
    wait_for(lambda: any("loaded again" in line for line in server.log))
    with Client(server.target) as client:
        client.predict("m", np.zeros((100, 2)))
        with pytest.raises(CallFailed, match="at most 200 can be asked at once"):
            list(client.stream("m", [np.zeros((201, 2))]))
        assert len(client.predict("m", np.zeros((201, 2)))) == 201  # in two parts
    settings.write_text("[batching]\nmax_batch_size = 0\n")
    wait_for(lambda: any("max_batch_size in [batching] is 0" in line for line in server.log))
    with Client(server.target) as client:
        assert len(client.predict("m", np.zeros((100, 2)))) == 100
    assert server.stop() == 0


def test_a_model_that_fails_again_and_again_rests_and_its_neighbour_goes_on(make_bundle, start_server):
    make_bundle("failing/1", "stuck")
    make_bundle("m/1")
    server = start_server("--max-failures", "4", "--failure-cooldown-s", "4", "--max-run-s", "0.1")
    with Client(server.target, retry=RetryPolicy(max_attempts=1)) as client:
        for _ in range(4):
            with pytest.raises(CallFailed, match=r"longer than 0\.1 s") as caught:
                client.predict("failing", BAD_ROW)
            assert caught.value.code == "INTERNAL"
        started_s = time.monotonic()
        with pytest.raises(ServerUnavailable, match="rests for a while"):
            client.predict("failing", ROW)
        wait_for(lambda: not client.health("failing"))
        assert not client.health("failing/1")
        assert client.health("m")
        assert client.health()
        assert client.predict("m", np.array([[0.0, 3.0]])).accepted.tolist() == [True]
        wait_for(lambda: client.health("failing"))
        assert time.monotonic() - started_s > 1.0
        assert client.predict("failing", ROW).accepted.tolist() == [True]
        assert client.predict("failing", ROW).accepted.tolist() == [True]
    log = "".join(server.log)
    assert "failed on 4 batches in a row" in log
    wait_for(lambda: "answers again" in "".join(server.log))
    assert server.stop() == 0


def test_a_caller_whose_rows_the_model_cannot_compute_takes_it_from_nobody(make_bundle, start_server):
    make_bundle("m/1", "failing")
    server = start_server("--max-failures", "4", "--failure-cooldown-s", "60")
    good, bad = np.array([[1]]), np.array([[99]])
    with Client(server.target) as caller, Client(server.target) as other:
        for _ in range(20):
            with pytest.raises(InvalidRequest, match="the server's log says where"):
                other.predict("m", bad)
        assert other.health("m")
        assert len(caller.predict("m", good)) == 1
    assert server.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the niceness of a thread")
def test_the_threads_of_a_slow_model_give_way_and_no_others(make_bundle, start_server):
    make_bundle("slow/1", "slower")
    make_bundle("fast/1")
    server = start_server("--intra-op-threads", "0")
    with Client(server.target) as client:
        client.predict("slow", np.zeros((1, 2)))
    niceness = {}
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        _, fields = re.fullmatch(r"\d+ \((.*)\) (.*)\s*", (task / "stat").read_text()).groups()
        niceness[int(task.name)] = int(fields.split()[16])
    own = niceness.pop(server.process.pid)  # the event loop's thread
    assert set(niceness.values()) == {own, own + NICENESS}
    n_computing = available_cpus()  # the engine's thread computes with those of onnxruntime's pool
    assert list(niceness.values()).count(own + NICENESS) == n_computing


def median_s(call, seconds: float = 2.0) -> float:
    times = []
    until_s = time.perf_counter() + seconds
    while (started_s := time.perf_counter()) < until_s:
        call()
        times.append(time.perf_counter() - started_s)
        time.sleep(max(0.0, started_s + 0.005 - time.perf_counter()))
    return float(np.median(times))


def test_a_slow_model_at_saturation_leaves_a_fast_one_its_latency(make_bundle, start_server):
    make_bundle("slow/1", "slower")
    make_bundle("fast/1")
    server = start_server()
    stop = threading.Event()
    n_answers = []

    def saturate() -> None:
        with Client(server.target, timeout_s=60) as client:
            while not stop.is_set():
                client.predict("slow", np.zeros((1, 2)))
                n_answers.append(1)

    with Client(server.target) as client:
        client.predict("fast", np.zeros((1, 2)))

        def ask() -> None:
            client.predict("fast", np.zeros((1, 2)))

        # Other processes may take a core at any time, so the middle of many answers counts. A batch takes
        # over 50 ms: a fast model that waited for it, or for the core, would show it in more than half.
        threads = [threading.Thread(target=saturate) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_for(lambda: n_answers, what="an answer of the slow model")
        usual_s = median_s(ask)
        stop.set()
        for thread in threads:
            thread.join()
    assert len(n_answers) >= 3  # the slow model was at work
    assert usual_s < 0.02, usual_s
