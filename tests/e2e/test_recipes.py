"""The recipes of CONTRIBUTING.md work: two are followed, word by word, in a copy of the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.conftest import write_bundle
from tests.server_process import ServerProcess

from tamiz_client import Client

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
SOURCES = ("proto", "client", "convert", "server")

_STEP = re.compile(
    r"(?:New file `(?P<new>[^`]+)`|In `(?P<file>[^`]+)`, after `(?P<line>[^`]+)`):\n\n"
    r"```python\n(?P<code>.*?)```",
    re.DOTALL,
)

EXPORT = """
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
import tamiz_convert

X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:200], y[:200])
report = tamiz_convert.export(
    model, "models/m/1", calibration=(X[200:], y[200:]), calibrator="mixed", max_error=0.1
)
print(tamiz_convert.__file__, report.manifest.calibrator.method, report.manifest.parity.label_flips)
"""


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of the packages, which comes before the installed ones."""
    for source in SOURCES:
        shutil.copytree(
            ROOT / source, tmp_path / "tree" / source, ignore=shutil.ignore_patterns("__pycache__")
        )
    path = os.pathsep.join(str(tmp_path / "tree" / source) for source in SOURCES)
    monkeypatch.setenv("PYTHONPATH", path)
    return tmp_path / "tree"


def follow(recipe: str, tree: Path) -> None:
    """Do what a recipe says."""
    text = PAGE.split(f"### {recipe}\n")[1].split("\n### ")[0]
    steps = list(_STEP.finditer(text))
    assert len(steps) == text.count("```python")
    for step in steps:
        if step["new"]:
            assert not (tree / step["new"]).exists()
            (tree / step["new"]).write_text(step["code"])
        else:
            insert(tree / step["file"], " ".join(step["line"].split()), step["code"])


def insert(file: Path, after: str, code: str) -> None:
    lines = file.read_text().splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if line.strip() == after]
    file.write_text("".join([*lines[: place + 1], code, *lines[place + 1 :]]))


def test_the_recipe_of_a_calibrator_makes_one_that_can_be_exported(tree, tmp_path):
    follow("A calibrator", tree)
    done = subprocess.run(
        [sys.executable, "-c", EXPORT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    where, method, label_flips = done.stdout.split()
    assert where.startswith(str(tree))
    assert (method, label_flips) == ("mixed", "0")
    listed = subprocess.run(
        [sys.executable, "-m", "tamiz_convert", "sklearn", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "mixed" in listed.stdout


def test_the_recipe_of_a_metric_makes_one_that_is_counted_and_documented(tree, tmp_path, start_server):
    follow("A metric", tree)
    write_bundle(tmp_path / "models/m/1")
    server: ServerProcess = start_server()
    with Client(server.target) as client:
        for n_rows in (2, 5, 3):
            client.predict("m", [[0.0, 1.0]] * n_rows)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics") as answer:
        text = answer.read().decode()
    assert 'tamiz_row_duration_seconds_count{model="m",version="1"} 3.0' in text
    table = "from tamiz_server.telemetry.metrics import metric_table; print(metric_table())"
    documented = subprocess.run([sys.executable, "-c", table], capture_output=True, text=True, check=True)
    assert "| `tamiz_row_duration_seconds` | histogram | model, version | How long" in documented.stdout
