"""From rows that were asked to a version that was warmed up with them, with the real command and server."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from tests.asking import wait_for

from tamiz.v1.prediction_pb2 import PredictRequest
from tamiz_client import Client, InvalidRows, TamizClientError, record_request


def test_a_recorded_request_warms_up_the_next_version_or_keeps_it_from_being_served(
    make_bundle, start_server, tmp_path
):
    make_bundle("m/1", "lenient")
    server = start_server("--model-poll-interval-s", "0")
    recorded = tmp_path / "recorded.pb"
    command = [sys.executable, "-m", "tamiz_client", "predict", "m", "--server", server.target]
    command += ["--input", "-", "--output", "-", "--chunk-rows", "3", "--record", str(recorded)]
    done = subprocess.run(
        command, input="row\n0\n1\n50\n3\n99\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    request = PredictRequest.FromString(recorded.read_bytes())
    assert np.frombuffer(request.inputs[0].raw, "<i8").tolist() == [0, 1, 50]

    def release(version: int, graph: str) -> None:
        new = make_bundle(f"../staging/{version}", graph)
        (new.parent / "warmup").mkdir()
        shutil.copy(recorded, new.parent / "warmup/first.pb")
        new.parent.rename(tmp_path / f"models/m/{version}")
        server.process.send_signal(signal.SIGHUP)

    def logged(text: str) -> bool:
        return text in "".join(server.log)

    release(2, "lenient")
    wait_for(lambda: logged("m/2: warmed up with 1 recorded request(s), 3 rows"))
    release(3, "failing")
    wait_for(lambda: logged("version 3 is not served"))
    assert logged("m/3/warmup/first.pb: the model failed on these recorded rows")
    with Client(server.target) as client:
        assert client.models() == {"m": [1, 2]}
        assert not client.health("m/3")
        # It is tried again once the file is gone.
        (tmp_path / "models/m/3/warmup/first.pb").unlink()
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: client.models() == {"m": [1, 2, 3]})
    assert server.stop() == 0


def test_a_request_is_recorded_in_python(make_bundle, start_server, tmp_path):
    make_bundle("m/1")
    server = start_server()
    with Client(server.target) as client:
        info = client.model("m")
        record_request(tmp_path / "a.pb", info, [[0, 3]])
        request = PredictRequest.FromString((tmp_path / "a.pb").read_bytes())
        assert (request.model_name, request.model_version, list(request.inputs[0].shape)) == ("m", 0, [1, 2])
        with pytest.raises(InvalidRows):
            record_request(tmp_path / "a.pb", info, [[0, 3, 5]])
        with pytest.raises(TamizClientError, match=r"absent/a\.pb cannot be written: No such file"):
            record_request(tmp_path / "absent/a.pb", info, [[0, 3]])
    assert [path.name for path in tmp_path.iterdir() if path.name != "models"] == ["a.pb"]
