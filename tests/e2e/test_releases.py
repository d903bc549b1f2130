"""A release whose columns are in another order is answered right by clients that were there before, also on
streams: beside the old version, in its place, or behind a label that moves. In a real server.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from tests.asking import metric, wait_for

from tamiz.v1.manifest_pb2 import Manifest
from tamiz_client import Client, Result

ROWS = pd.DataFrame({"a": [0.0, 3.0], "b": [3.0, 0.0]}, dtype="float32")
RIGHT = ["yes", "no"]


def old(manifest: Manifest) -> None:
    manifest.inputs[0].column_names.extend(["a", "b"])


def new(manifest: Manifest) -> None:
    """The same function of the columns' names; its graph has them in another order."""
    manifest.inputs[0].column_names.extend(["b", "a"])
    del manifest.classes.strings[:]
    manifest.classes.strings.extend(["yes", "no"])


@pytest.mark.parametrize("how", ["beside", "in place", "label"])
def test_clients_that_live_long_are_answered_right(make_bundle, start_server, tmp_path, how):
    models = tmp_path / "models"
    make_bundle("m/1", change=old)
    made = make_bundle("new/2", change=new)
    settings = models / "m/settings.toml"
    if how == "label":
        settings.write_text("[labels]\nstable = 1\n")
    version = "stable" if how == "label" else None
    server = start_server()

    def release() -> None:
        if how == "in place":
            made.replace(models / "m/1/model.onnx")
        else:
            (models / "m/2").mkdir()
            made.replace(models / "m/2/model.onnx")
        if how == "label":
            settings.write_text("[labels]\nstable = 2\n")
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: watcher.model("m", version).manifest.inputs[0].column_names[0] == "b")

    def chunks() -> Iterator[pd.DataFrame]:
        yield ROWS
        release()
        yield from [ROWS] * 3

    def right(result: Result) -> bool:
        return result.labels.tolist() == RIGHT and bool(result.accepted.all())

    with Client(server.target) as client, Client(server.target) as watcher:
        assert right(client.predict("m", ROWS, version=version))
        assert [right(each) for each in client.stream("m", chunks(), version=version)] == [True] * 4
        assert right(client.predict("m", ROWS, version=version))
        many = pd.concat([ROWS] * 10_000)
        assert np.array_equal(client.predict("m", many, version=version).labels, RIGHT * 10_000)
        shown = watcher.model("m", version).inputs_changed
    assert metric(server, "tamiz_requests_total", code="FAILED_PRECONDITION") >= 1
    assert shown.startswith("input 'features': column 1 is 'b', was 'a'") == (how == "in place")
