"""Files that belong together are written together."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tamiz_convert import export, read_manifest
from tamiz_convert.__main__ import main
from tamiz_convert.files import together

STEPS = (
    "converting the model",
    "comparing with scikit-learn",
    "fitting the calibrator",
    "certifying the threshold",
    "checking the graph",
    "describing the bundle",
    "checking the release",
    "measuring for the report",
    "writing",
)


@pytest.fixture(scope="module")
def trained():
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 2))
    y = (X[:, 0] + random.normal(size=600) > 0).astype(int)
    return LogisticRegression().fit(X[:200], y[:200]), (X[200:], y[200:])


@pytest.mark.parametrize("step", STEPS)
def test_an_interruption_at_any_step_leaves_what_was_there(step, trained, tmp_path):
    model, held_out = trained
    folder = tmp_path / "m/1"

    def interrupt(now: str, _share: float) -> None:
        if now == step:
            signal.raise_signal(signal.SIGINT)

    for threshold in (None, 0.6):
        if threshold is not None:
            export(model, folder, calibration=held_out, threshold=threshold)
        before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(KeyboardInterrupt):
            export(model, folder, calibration=held_out, threshold=0.9, replace=True, progress=interrupt)
        assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert folder.exists() == bool(before)


def test_an_interruption_between_bundle_and_report_comes_too_late(trained, tmp_path, monkeypatch):
    model, held_out = trained
    rename = Path.replace

    def interrupted(self, target):
        signal.raise_signal(signal.SIGINT)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    folder = tmp_path / "m/1"
    export(model, folder, calibration=held_out, threshold=0.9)
    report = json.loads((folder / "report.json").read_text())
    assert report["model"]["graph_digest"] == read_manifest(folder).graph_digest
    with pytest.raises(KeyboardInterrupt):  # afterwards the keyboard is heard again
        signal.raise_signal(signal.SIGINT)


def test_no_report_is_ever_beside_another_bundle(trained, tmp_path, monkeypatch):
    model, held_out = trained
    folder = tmp_path / "m/1"
    seen: list[tuple[float, float | None]] = []
    rename = Path.replace

    def watched(self, target):
        moved = rename(self, target)
        report = folder / "report.json"
        promised = json.loads(report.read_text())["promise"]["threshold"] if report.exists() else None
        seen.append((read_manifest(folder).threshold.value, promised))
        return moved

    for threshold, with_report in ((0.6, True), (0.9, True), (0.6, False), (0.9, True)):
        export(model, folder, calibration=held_out, threshold=threshold, replace=True, report=with_report)
        assert (folder / "report.html").exists() == with_report
        monkeypatch.setattr(Path, "replace", watched)
    bundles = [bundle for bundle, _ in seen]
    assert bundles == [0.9, 0.9, 0.9, 0.6, 0.9, 0.9, 0.9]
    assert all(report in (None, bundle) for bundle, report in seen)
    assert {report for _, report in seen} == {None, 0.9}


def test_an_interruption_while_the_command_loads_its_libraries_is_no_traceback(monkeypatch, capsys):
    class Interrupting:
        def find_spec(self, name, *_):
            if name == "tamiz_convert.command_line.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "tamiz_convert.command_line.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    monkeypatch.delattr("tamiz_convert.command_line.commands", raising=False)
    assert main(["inspect", "m/1"]) == 130
    assert capsys.readouterr().err == "tamiz-convert: interrupted; nothing is half written\n"


def test_in_another_thread_signals_are_left_alone():
    handlers = []

    def work() -> None:
        with together():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
