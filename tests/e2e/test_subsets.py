"""Slices and classes from the export through a server process to the client, and what the operator sees."""

from __future__ import annotations

import shutil
import urllib.request

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tamiz.thresholds import ACCEPT_NONE, Thresholds
from tamiz_client import Client
from tamiz_client.__main__ import main as client_main
from tamiz_convert import export, read_manifest
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.rows.slices import slice_values, subset_index

N_TRAIN = 1_000


@pytest.fixture(scope="module")
def rows():
    """Rows of two regions that can be certified, and of one that cannot."""
    random = np.random.default_rng(8)
    n = 5_000
    table = pd.DataFrame({"a": random.normal(size=n), "b": random.normal(size=n)})
    region = random.choice(["north", "south", "hopeless"], n, p=[0.5, 0.3, 0.2])
    noise = pd.Series(region).map({"north": 0.1, "south": 0.4, "hopeless": 4.0}).to_numpy()
    y = np.where(table["a"] - table["b"] + noise * random.logistic(size=n) > 0, "yes", "no")
    return table.assign(region=region), y


@pytest.fixture(scope="module")
def exported(rows, tmp_path_factory):
    X, y = rows
    features = ["a", "b"]
    model = LogisticRegression().fit(X[features][:N_TRAIN], y[:N_TRAIN])
    held_out = X[N_TRAIN:], y[N_TRAIN:]
    without = X[features][N_TRAIN:], y[N_TRAIN:]
    models = tmp_path_factory.mktemp("exported")
    export(
        model,
        models / "slices/1",
        calibration=held_out,
        calibrator="temperature",
        max_error=0.06,
        slice_by="region",
        report=False,
    )
    export(
        model,
        models / "classes/1",
        calibration=without,
        calibrator="temperature",
        max_error=0.25,
        per_class=True,
        report=False,
    )
    export(
        model,
        models / "joint/1",
        calibration=without,
        calibrator="temperature",
        max_joint_error=0.05,
        report=False,
    )
    return models


@pytest.fixture
def server(exported, tmp_path, start_server):
    shutil.copytree(exported, tmp_path / "models")
    return start_server()


def test_each_slice_is_gated_as_it_was_certified(server, rows, tmp_path, capsys, monkeypatch):
    X, y = rows
    asked = X[N_TRAIN : N_TRAIN + 500].copy()
    asked.iloc[0, 2] = "a region that nobody knew"
    manifest = read_manifest(tmp_path / "models/slices/1")
    values = {subset.name: subset.value for subset in manifest.threshold.subsets}
    with Client(server.target) as client:
        by_slice = client.predict("slices", asked, return_probabilities=True)
        wish = max(values["north"], values["south"]) + 1e-6
        stricter = client.predict("slices", asked, threshold=wish)
        strictest = client.predict("slices", asked, threshold=1.0)
    assert values["hopeless"] == ACCEPT_NONE
    assert max(values["north"], values["south"]) <= 1.0

    expected = asked["region"].map(values).fillna(manifest.threshold.value).to_numpy()
    np.testing.assert_array_equal(by_slice.thresholds, expected)
    np.testing.assert_array_equal(by_slice.accepted, by_slice.confidence >= expected)
    assert not by_slice.accepted[0]
    assert not by_slice.accepted[asked["region"] == "hopeless"].any()
    assert by_slice.accepted[asked["region"] == "north"].any()
    assert by_slice.threshold == ACCEPT_NONE
    assert "thresholds up to 2" in repr(by_slice)
    right = by_slice.labels == y[N_TRAIN : N_TRAIN + 500]
    assert right[by_slice.accepted].mean() > 0.9
    of_wish = Thresholds(manifest.threshold).of_request(wish, looser_allowed=False)
    raised = dict(zip(values, of_wish.values[1:-1], strict=True))
    assert wish < max(raised["north"], raised["south"]) < 1.0  # at least one is raised to a proven threshold
    np.testing.assert_array_equal(stricter.thresholds, asked["region"].map(raised).fillna(ACCEPT_NONE))
    assert by_slice.certified
    np.testing.assert_array_equal(by_slice.rows_certified, np.isin(asked["region"], ["north", "south"]))
    assert not strictest.rows_certified.any()

    text = urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics").read().decode()
    assert 'tamiz_subset_threshold{model="slices",subset="hopeless",version="1"} 2.0' in text
    assert 'tamiz_subset_certified{model="slices",subset="north",version="1"} 1.0' in text
    assert 'tamiz_certificate_max_joint_error{model="joint",version="1"} 0.05' in text
    assert 'tamiz_certificate_max_error{model="joint"' not in text

    monkeypatch.setenv("COLUMNS", "400")  # so that no cell is wrapped
    assert client_main(["models", "--server", server.target]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "of all rows" in shown
    assert f"{len(values)}, by region" in shown
    assert "by predicted class" in shown


def test_the_client_writes_what_each_row_had_to_reach(server, rows, tmp_path):
    X, _ = rows
    asked = X[N_TRAIN : N_TRAIN + 50]
    asked.to_csv(tmp_path / "rows.csv", index=False)
    for name, has in (("slices", True), ("joint", False)):
        written = tmp_path / f"{name}.csv"
        command = ["predict", name, "--server", server.target, "--input", str(tmp_path / "rows.csv")]
        assert client_main([*command, "--keep", "region", "--output", str(written)]) == 0
        answers = pd.read_csv(written)
        assert ("threshold" in answers.columns) == has
        if has:
            values = {
                each.name: each.value
                for each in read_manifest(tmp_path / "models/slices/1").threshold.subsets
            }
            np.testing.assert_array_equal(answers["threshold"], answers["region"].map(values))


@pytest.mark.parametrize("name", ["slices", "classes", "joint"])
def test_served_decisions_are_the_offline_ones(server, rows, tmp_path, name):
    X, _ = rows
    asked = X[N_TRAIN + 500 : N_TRAIN + 900]
    path = tmp_path / "models" / name / "1/model.onnx"
    threshold = read_manifest(path).threshold
    feed = {"features": asked[["a", "b"]].to_numpy()}
    if name == "slices":
        feed["region"] = asked[["region"]].to_numpy(dtype=object)
    probabilities = Runner(onnx.load(path)).run(feed)
    subset = subset_index([each.name for each in threshold.subsets], slice_values(asked, "region", "asked"))
    offline = Thresholds(threshold).of_rows(probabilities, subset)
    with Client(server.target) as client:
        result = client.predict(name, asked)
    np.testing.assert_array_equal(result.thresholds, offline)
    np.testing.assert_array_equal(result.accepted, probabilities.max(axis=1) >= offline)
    assert len(np.unique(offline)) == {"slices": 3, "classes": 2, "joint": 1}[name]
