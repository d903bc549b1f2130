"""Sample weights from the caller to the bundle, and where they are refused."""

from __future__ import annotations

import json

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from tamiz_convert import ExportError, RowsError, export, read_manifest, recalibrate
from tamiz_convert.__main__ import main
from tamiz_convert.metrics.losses import log_loss

CALIBRATOR = "temperature"


def drawn(n: int, seed: int, *, share: float = 0.5) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of two regions; in the south the model is much too sure. `share` of the rows are southern."""
    random = np.random.default_rng(seed)
    a, south = random.normal(size=n), random.random(n) < share
    y = (random.random(n) < expit(np.where(south, 0.5, 4.0) * a)).astype(int)
    return pd.DataFrame({"a": a, "region": np.where(south, "south", "north")}), y


@pytest.fixture(scope="module")
def model():
    rows, y = drawn(2_000, 0, share=0.0)
    return LogisticRegression().fit(rows[["a"]].to_numpy(), y)


@pytest.fixture(scope="module")
def rows():
    table, y = drawn(600, 1)
    return table[["a"]].to_numpy(), y, np.where(table["region"] == "south", 9.0, 1.0)


def beta(report) -> float:
    parameters = {each.name: each.values[0] for each in report.manifest.calibrator.parameters}
    return parameters["beta"]


def test_the_calibrator_serves_the_rows_that_the_weights_stand_for(model, rows, tmp_path):
    X, y, weights = rows
    table, y_true = drawn(6_000, 2, share=0.9)
    certification = table[["a"]].to_numpy(), y_true
    common = {"certification": certification, "calibrator": CALIBRATOR, "max_error": 0.45, "report": False}
    plain = export(model, tmp_path / "m/1", calibration=(X, y), **common)
    weighted = export(model, tmp_path / "m/2", calibration=(X, y), sample_weight=weights, **common)
    losses = [
        next(each.value for each in report.manifest.calibrator.metrics_after if each.name == "log_loss")
        for report in (plain, weighted)
    ]
    assert losses[1] < losses[0] - 0.01
    fitting, certifying = weighted.manifest.row_sets
    assert fitting.worth == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert certifying.worth == 0.0
    assert weighted.manifest.threshold.certificate.n_rows == 6_000
    assert {sum(each.counts) for each in weighted.manifest.reference_histograms} == {6_000}
    assert any("600 rows that fit the calibrator count by their sample weights" in n for n in weighted.notes)


def test_equal_weights_give_the_same_bundle_as_none(model, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    X, y, _ = rows
    one, other = (
        export(model, tmp_path / name / "m/1", calibration=(X, y), threshold=0.8, report=False, **settings)
        for name, settings in (("a", {}), ("b", {"sample_weight": np.full(len(y), 3)}))
    )
    assert one.path.read_bytes() == other.path.read_bytes()


def test_without_a_promise_the_split_rows_measure_by_weight(model, rows, tmp_path):
    X, y, weights = rows
    report = export(
        model,
        tmp_path / "m/1",
        calibration=(X, y),
        sample_weight=weights,
        threshold=0.8,
        calibrator=CALIBRATOR,
        certification_fraction=0.5,
    )
    assert all(each.worth for each in report.manifest.row_sets)
    data = json.loads(report.page.with_suffix(".json").read_text())
    assert data["calibration"]["n_worth"] == pytest.approx(report.manifest.row_sets[1].worth)
    assert [each["n_worth"] for each in data["row_sets"]] == [
        pytest.approx(each.worth) for each in report.manifest.row_sets
    ]
    assert data["attainable"] == []
    page = report.page.read_text()
    assert "In this section rows count by their sample weights" in page
    assert "by their sample weights</td>" in page
    found = {each.name: each.value for each in report.manifest.calibrator.metrics_before}
    own = model.predict_proba(X)
    all_weighted, all_plain = log_loss(own, y, weights=weights), log_loss(own, y)
    assert abs(found["log_loss"] - all_weighted) < abs(found["log_loss"] - all_plain)


@pytest.mark.parametrize(
    "promise", [{"max_error": 0.3}, {"min_coverage": 0.5}, {"cost": {"error": 5, "abstention": 1}}]
)
@pytest.mark.parametrize("allow", [False, True])
def test_a_certificate_of_weighted_rows_is_refused(model, rows, tmp_path, promise, allow):
    X, y, weights = rows
    with pytest.raises(ExportError, match="a certificate counts each of its rows once") as refused:
        export(
            model,
            tmp_path / "m/1",
            calibration=(X, y),
            sample_weight=weights,
            allow_uncertified=allow,
            **promise,
        )
    assert "repeat each row that often instead, with allow_duplicates=True" in str(refused.value)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "checks", [{"checks": {"version": 1}}, {"baselines": {"always": lambda X: np.zeros(len(X), int)}}]
)
def test_checks_of_weighted_rows_are_refused(model, rows, tmp_path, checks):
    X, y, weights = rows
    with pytest.raises(ExportError, match="release checks and baselines count each of their rows once"):
        export(model, tmp_path / "m/1", calibration=(X, y), sample_weight=weights, threshold=0.8, **checks)


@pytest.mark.parametrize("bad", [[1.0], np.full(600, -1.0), np.zeros(600), "region"])
def test_bad_weights_stop_the_export_and_nothing_is_written(model, rows, tmp_path, bad):
    X, y, _ = rows
    with pytest.raises(RowsError, match="sample weights"):
        export(model, tmp_path / "m/1", calibration=(X, y), sample_weight=bad, threshold=0.8)
    assert not (tmp_path / "m").exists()


def test_a_recalibration_takes_weights_too(model, rows, tmp_path):
    X, y, weights = rows
    common = {"calibration": (X, y), "threshold": 0.8, "calibrator": CALIBRATOR, "report": False}
    first = export(model, tmp_path / "m/1", sample_weight=weights, **common)
    again = recalibrate(tmp_path / "m/1", tmp_path / "m/2", sample_weight=weights, **common)
    plain = recalibrate(tmp_path / "m/1", tmp_path / "m/3", **common)
    assert beta(again) == pytest.approx(beta(first), rel=1e-9)
    assert beta(plain) != pytest.approx(beta(first), rel=0.02)


def test_the_command_reads_them_from_a_column(model, rows, tmp_path, capsys):
    X, y, weights = rows
    joblib.dump(model, tmp_path / "model.joblib")
    table = pd.DataFrame({"a": X[:, 0], "weight": weights, "y": y})
    table.to_csv(tmp_path / "rows.csv", index=False)
    table[:100].assign(weight="heavy").to_csv(tmp_path / "words.csv", index=False)
    np.savez(tmp_path / "rows.npz", a=X, weight=weights, y=y)
    command = ["sklearn", str(tmp_path / "model.joblib"), "--trust-pickle", "--target", "y", "--no-report"]
    command += ["--sample-weight", "weight", "--calibrator", CALIBRATOR]

    def run(file: str, version: int, *promise: str) -> int:
        output = ["--output", str(tmp_path / f"m/{version}")]
        return main([*command, "--calibration", str(tmp_path / file), *promise, *output])

    assert run("rows.csv", 1, "--threshold", "0.8") == 0
    manifest = read_manifest(tmp_path / "m/1")
    assert list(manifest.inputs[0].shape) == [-1, 1]
    assert all(each.worth for each in manifest.row_sets)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "m/1")]) == 0
    assert "by their sample weights" in " ".join(capsys.readouterr().out.split())
    for file, promise, said in (
        ("words.csv", ("--threshold", "0.8"), "the sample weight of row 0 is 'heavy'"),
        ("rows.csv", ("--max-error", "0.3"), "a certificate counts each of its rows once"),
        ("rows.npz", ("--threshold", "0.8"), "rows.npz"),
    ):
        assert run(file, 2, *promise) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "m/2").exists()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_slices_and_groups_go_with_weights(model, tmp_path, library):
    parts = []
    for seed in (3, 4):
        table, y = drawn(1_500, seed)
        parts.append((table if library == "pandas" else pl.from_pandas(table), y))
    weights = np.where(parts[0][0]["region"].to_numpy() == "south", 0, 1 + np.arange(1_500) % 3)
    report = export(
        model,
        tmp_path / "m/1",
        calibration=parts[0],
        certification=parts[1],
        sample_weight=weights,
        groups=np.arange(1_500) // 2,
        certification_groups=np.arange(1_500) // 2 + 1_500,
        slice_by="region",
        max_error=0.3,
        report=False,
    )
    assert report.manifest.row_sets[0].n_rows == np.count_nonzero(weights)
    assert report.manifest.row_sets[0].worth > 0.8 * np.count_nonzero(weights)
    assert [each.name for each in report.manifest.threshold.subsets] == ["north", "south"]
    assert any("calibration rows have the sample weight 0" in note for note in report.notes)
