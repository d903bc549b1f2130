"""What leaves the machine: nothing but answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONVERT = """
import numpy as np, tamiz_convert
from sklearn.linear_model import LogisticRegression
X = np.random.default_rng(0).normal(size=(300, 3))
y = (X[:, 0] > 0).astype(int)
tamiz_convert.export(LogisticRegression().fit(X, y), "models/m/1", calibration=(X, y), threshold=0.6)
"""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The user's folder, empty."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    return folder


def test_the_server_leaves_no_device_id_and_reports_to_nobody(make_bundle, start_server, home):
    """onnxruntime's wheels of 1.32 report to their maker; where they do they keep an id and events in the
    user's cache.
    """
    make_bundle("m/1")
    server = start_server()
    assert server.stop() == 0
    assert list(home.rglob("*")) == []


def test_nor_does_an_export(home, tmp_path):
    subprocess.run([sys.executable, "-c", CONVERT], cwd=tmp_path, check=True, env=dict(os.environ))
    assert (tmp_path / "models/m/1/model.onnx").exists()
    assert list(home.rglob("*")) == []
