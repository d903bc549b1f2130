"""Settings of one model, rests after failures, and models that share a server, with a real server process."""

from __future__ import annotations

import re
import time
import urllib.request

import numpy as np
import pytest

from tamiz_client import CallFailed, Client, RetryPolicy, ServerUnavailable

ROW = {"row": np.array([[0]])}
BAD_ROW = {"row": np.array([[99]])}


def wait_for(condition, within_s: float = 15.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, "it did not come about"
        time.sleep(0.05)


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
        page = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics").read().decode()
        batches = re.search(
            rf'^tamiz_batch_rows_count{{model="{model}",version="1"}} (\S+)$', page, re.MULTILINE
        )
        rows = re.search(rf'^tamiz_batch_rows_sum{{model="{model}",version="1"}} (\S+)$', page, re.MULTILINE)
        return round(float(rows[1]) / float(batches[1]), 1)

    assert largest("m") == round(100 / 15, 1)
    assert largest("other") == 25
    settings.write_text("[batching]\nmax_batch_size = 50\nmax_queue_size = 200\n")
    wait_for(lambda: any("loaded again" in line for line in server.log))
    with Client(server.target) as client:
        client.predict("m", np.zeros((100, 2)))
        with pytest.raises(CallFailed, match="at most 200 can be asked at once"):
            client.predict("m", np.zeros((201, 2)))
    settings.write_text("[batching]\nmax_batch_size = 0\n")
    wait_for(lambda: any("max_batch_size in [batching] is 0" in line for line in server.log))
    with Client(server.target) as client:
        assert len(client.predict("m", np.zeros((100, 2)))) == 100
    assert server.stop() == 0


def test_a_model_that_fails_again_and_again_rests_and_its_neighbour_goes_on(make_bundle, start_server):
    make_bundle("failing/1", "failing")
    make_bundle("m/1")
    server = start_server("--max-failures", "4", "--failure-cooldown-s", "1.5")
    with Client(server.target, retry=RetryPolicy(max_attempts=1)) as client:
        for _ in range(4):
            with pytest.raises(CallFailed) as caught:
                client.predict("failing", BAD_ROW)
            assert caught.value.code == "INTERNAL"
        started_s = time.monotonic()
        with pytest.raises(ServerUnavailable, match="rests for a while"):
            client.predict("failing", ROW)
        wait_for(lambda: not client.health("failing"), 1.0)
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
    assert "answers again" in log
    assert server.stop() == 0
