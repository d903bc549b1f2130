"""Classes, slices and other promises, through the export."""

from __future__ import annotations

import json

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch import nn

from tamiz.thresholds import ACCEPT_NONE, Thresholds
from tamiz.v1.manifest_pb2 import DataType, Promise, Subdivision
from tamiz_convert import (
    ExportError,
    OnnxModel,
    RowsError,
    UnattainableError,
    export,
    read_manifest,
    recalibrate,
)
from tamiz_convert.__main__ import main
from tamiz_convert.rows.slices import slice_values, subset_index

N_TRAIN = 1_000


@pytest.fixture(scope="module")
def customers():
    """Easy rows in the north, hopeless ones in the south, three in the far west."""
    random = np.random.default_rng(3)
    n = 5_000
    table = pd.DataFrame({"a": random.normal(size=n), "b": random.normal(size=n)})
    region = random.choice(["north", "south"], n, p=[0.7, 0.3])
    region[[N_TRAIN, N_TRAIN + 1, N_TRAIN + 2]] = "west"
    noise = np.where(region == "south", 2.0, 0.2)
    y = (table["a"] + noise * random.logistic(size=n) > 0).to_numpy().astype(int)
    return table, region, y


@pytest.fixture(scope="module")
def model(customers):
    table, _, y = customers
    return LogisticRegression().fit(table[:N_TRAIN], y[:N_TRAIN])


@pytest.fixture
def held_out(customers):
    table, region, y = customers
    return table[N_TRAIN:].assign(region=region[N_TRAIN:]), y[N_TRAIN:]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "models" / "customers" / "1"


def offline_and_graph(path, feed, probabilities, values):
    """Return the thresholds by the exporter's look-up and by the graph's own output, always the same."""
    threshold = read_manifest(path).threshold
    found, subset = onnxruntime.InferenceSession(path).run(["probabilities", "subset"], feed)
    np.testing.assert_array_equal(found, probabilities)
    own = subset_index([each.name for each in threshold.subsets], values)
    return Thresholds(threshold).of_rows(found, own), Thresholds(threshold).of_rows(found, subset)


def test_a_slice_that_the_estimator_never_saw_becomes_an_input(model, customers, held_out, output):
    X, y = held_out
    report = export(
        model,
        output,
        calibration=(X, y),
        train=(customers[0][:N_TRAIN], customers[2][:N_TRAIN]),
        max_error=0.05,
        slice_by="region",
    )
    manifest = read_manifest(output)
    assert [spec.name for spec in manifest.inputs] == ["features", "region"]
    assert manifest.inputs[1].dtype == DataType.DATA_TYPE_STRING
    threshold = manifest.threshold
    assert (threshold.subdivision, threshold.slice_input) == (Subdivision.SUBDIVISION_SLICE, "region")
    north, south, west = threshold.subsets
    assert (north.name, south.name, west.name) == ("north", "south", "west")
    assert north.certificate.confidence_level == pytest.approx(1 - 0.1 / 2)  # west has too few rows
    assert (south.value, west.value, threshold.value) == (ACCEPT_NONE,) * 3
    assert threshold.certificate.n_accepted == north.certificate.n_accepted
    assert threshold.certificate.n_rows == 2_800
    assert "region south: abstains wholly, not certified: no threshold is proven" in str(report)

    session = onnxruntime.InferenceSession(output / "model.onnx")
    regions = np.array(["north", "west", "nowhere", ""], dtype=object).reshape(-1, 1)
    feed = {"features": X[["a", "b"]].to_numpy()[:4], "region": regions}
    probabilities, subset = session.run(None, feed)
    assert subset.tolist() == [0, 2, -1, -1]
    offline, by_graph = offline_and_graph(output / "model.onnx", feed, probabilities, regions.ravel())
    assert offline.tolist() == by_graph.tolist() == [north.value, *[ACCEPT_NONE] * 3]


def test_a_slice_that_the_estimator_reads_is_taken_from_the_same_input(customers, output):
    table, region, y = customers
    X = table.assign(region=region)
    columns = ColumnTransformer(
        [("region", OneHotEncoder(handle_unknown="ignore"), ["region"])], remainder="passthrough"
    )
    forest = make_pipeline(columns, RandomForestClassifier(10, max_depth=5, random_state=0))
    forest.fit(X[:N_TRAIN], y[:N_TRAIN])
    export(forest, output, calibration=(X[N_TRAIN:], y[N_TRAIN:]), max_error=0.06, slice_by="region")
    manifest = read_manifest(output)
    assert sorted(spec.name for spec in manifest.inputs) == ["a", "b", "region"]
    rows = X[N_TRAIN : N_TRAIN + 50]
    feed = {name: rows[[name]].to_numpy(dtype=object if name == "region" else float) for name in rows}
    probabilities = onnxruntime.InferenceSession(output / "model.onnx").run(None, feed)[0]
    offline, by_graph = offline_and_graph(
        output / "model.onnx", feed, probabilities, slice_values(rows, "region", "some")
    )
    np.testing.assert_array_equal(offline, by_graph)


@pytest.mark.parametrize("kind", ["int", "bool"])
def test_whole_numbers_and_bools_name_slices_too(kind, customers, held_out, output):
    table, _, y = customers
    X = held_out[0]
    values = {"int": np.where(X["region"] == "north", 7, -7), "bool": X["region"] == "north"}[kind]
    model = LogisticRegression().fit(table[:N_TRAIN].to_numpy(), y[:N_TRAIN])  # knows no names
    rows = X[["a", "b"]].assign(segment=values)
    export(model, output, calibration=(rows, held_out[1]), max_error=0.05, slice_by="segment")
    manifest = read_manifest(output)
    names = [subset.name for subset in manifest.threshold.subsets]
    assert names == (["-7", "7"] if kind == "int" else ["false", "true"])
    assert [subset.HasField("certificate") for subset in manifest.threshold.subsets] == [False, True]
    feed = {
        "features": rows[["a", "b"]].to_numpy()[:20],
        "segment": np.asarray(values)[:20].reshape(-1, 1),
    }
    (subset,) = onnxruntime.InferenceSession(output / "model.onnx").run(["subset"], feed)
    np.testing.assert_array_equal(subset, np.asarray(values)[:20] > 0)


def test_separate_certification_rows_bring_their_own_slices(model, held_out, output):
    X, y = held_out
    calibration, certification = (X[:2_000], y[:2_000]), (X[2_000:], y[2_000:])
    manifest = export(
        model,
        output,
        calibration=calibration,
        certification=certification,
        max_error=0.05,
        slice_by="region",
    ).manifest
    assert manifest.threshold.certificate.n_rows == 2_000
    assert "0 certification rows (and 3 calibration rows)" in manifest.threshold.subsets[2].not_certified


def test_each_predicted_class_gets_its_threshold(digits, output):
    forest = RandomForestClassifier(50, random_state=0).fit(digits.train, digits.y_train)
    report = export(
        forest, output, calibration=(digits.held_out, digits.y_held_out), max_error=0.2, per_class=True
    )
    threshold = read_manifest(output).threshold
    assert threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
    assert [subset.name for subset in threshold.subsets] == [str(digit) for digit in range(10)]
    assert threshold.value == max(subset.value for subset in threshold.subsets)
    certified = [subset.certificate for subset in threshold.subsets if subset.HasField("certificate")]
    assert certified
    assert threshold.certificate.n_accepted == sum(each.n_accepted for each in certified)
    assert threshold.certificate.n_errors == sum(each.n_errors for each in certified)
    assert "predicted 3: " in str(report)
    outputs = onnxruntime.InferenceSession(output / "model.onnx").get_outputs()
    assert [each.name for each in outputs] == ["probabilities"]


@pytest.mark.parametrize("kind", ["sklearn", "torch", "onnx"])
def test_a_model_that_reads_columns_by_order_passes_over_those_of_the_report(kind, customers, tmp_path):
    table, region, y = customers
    X = table[:N_TRAIN].to_numpy()
    linear = LogisticRegression().fit(X, y[:N_TRAIN])
    model = linear
    if kind == "onnx":
        file = to_onnx(linear, X[:1].astype(np.float32), options={id(linear): {"zipmap": False}})
        (tmp_path / "m.onnx").write_bytes(file.SerializeToString())
        model = OnnxModel(tmp_path / "m.onnx", "probabilities")
    elif kind == "torch":
        model = nn.Linear(2, 2).eval()
        with torch.no_grad():
            model.weight.copy_(torch.tensor(np.vstack([-linear.coef_, linear.coef_]) / 2))
    rows = table[N_TRAIN:].copy()
    rows.insert(0, "region", region[N_TRAIN:])
    report = export(
        model,
        tmp_path / "m/1",
        calibration=(rows, y[N_TRAIN:]),
        calibrator="temperature",
        threshold=0.8,
        slices=["region"],
    )
    assert list(report.manifest.inputs[0].shape) == [-1, 2]
    assert "region" not in report.manifest.inputs[0].column_names
    slices = json.loads((tmp_path / "m/1/report.json").read_text())["slices"]
    assert "north" in json.dumps(slices)
    again = recalibrate(
        tmp_path / "m/1",
        tmp_path / "m/2",
        calibration=(rows, y[N_TRAIN:]),
        calibrator="temperature",
        threshold=0.8,
        slices=["region"],
    )
    assert list(again.manifest.calibrator.parameters[0].values) == pytest.approx(
        list(report.manifest.calibrator.parameters[0].values)
    )


def test_a_column_of_text_before_a_model_without_names_is_named(customers, tmp_path, capsys):
    table, region, y = customers
    joblib.dump(LogisticRegression().fit(table.to_numpy(), y), tmp_path / "m.joblib")
    table.assign(region=region, y=y)[N_TRAIN:].to_parquet(tmp_path / "rows.parquet")
    command = ["sklearn", str(tmp_path / "m.joblib"), "--trust-pickle", "--threshold", "0.8"]
    command += ["--calibration", str(tmp_path / "rows.parquet"), "--target", "y"]
    assert main([*command, "--output", str(tmp_path / "m/1")]) == 1
    assert (
        "not numbers: 'region'; leave out columns that are not features, for example with --features"
        in capsys.readouterr().err
    )
    assert main([*command, "--output", str(tmp_path / "m/1"), "--slices", "region"]) == 0


def test_a_bundle_with_slices_beside_a_matrix_is_recalibrated_and_compared_by_command(
    customers, tmp_path, capsys
):
    table, region, y = customers
    joblib.dump(LogisticRegression().fit(table[:N_TRAIN].to_numpy(), y[:N_TRAIN]), tmp_path / "m.joblib")
    table.assign(region=region, other="x", y=y)[N_TRAIN:].to_parquet(tmp_path / "rows.parquet")
    rows = ["--target", "y", "--features", "a,b"]
    certified = ["--calibration", str(tmp_path / "rows.parquet"), *rows, "--max-error", "0.2"]
    models = [str(tmp_path / "m/1"), str(tmp_path / "m/2")]
    first = ["sklearn", str(tmp_path / "m.joblib"), "--trust-pickle", "--slice-by", "region"]
    assert main([*first, *certified, "--output", models[0]]) == 0
    assert main(["recalibrate", models[0], *certified, "--output", models[1]]) == 0
    assert read_manifest(tmp_path / "m/2").threshold.slice_input == "region"
    assert main(["compare", *models, "--data", str(tmp_path / "rows.parquet"), *rows]) == 0
    assert "do the same" in capsys.readouterr().out


def test_other_promises_are_called_what_they_are(model, held_out, output):
    X, y = held_out[0][["a", "b"]], held_out[1]
    joint = export(model, output, calibration=(X, y), max_joint_error=0.05)
    certificate = joint.manifest.threshold.certificate
    assert certificate.promise == Promise.PROMISE_JOINT_ERROR
    assert certificate.n_errors / certificate.n_rows <= 0.05
    assert "at most 0.05 of all rows are accepted and wrong" in str(joint)
    assert "of the accepted rows are wrong" not in str(joint)

    covering = export(model, output, calibration=(X, y), min_coverage=0.8, replace=True)
    certificate = covering.manifest.threshold.certificate
    assert certificate.promise == Promise.PROMISE_COVERAGE
    assert (certificate.min_coverage, certificate.max_error) == (0.8, 0.0)
    assert certificate.expected_coverage >= 0.8
    assert "at least 0.8 of the rows are accepted (this says nothing about errors)" in str(covering)
    assert "wrong" not in str(covering).replace("errors", "")


def test_what_no_subset_can_prove_stops_the_export_unless_told_otherwise(model, held_out, output):
    X, y = held_out
    hopeless = X["region"] != "north"
    rows = {"calibration": (X[hopeless], y[hopeless]), "max_error": 0.02, "slice_by": "region"}
    with pytest.raises(UnattainableError, match="none of the 2 subsets can be certified"):
        export(model, output, **rows)
    assert not output.exists()
    threshold = export(model, output, **rows, allow_uncertified=True).manifest.threshold
    assert threshold.value == ACCEPT_NONE
    assert [subset.value for subset in threshold.subsets] == [ACCEPT_NONE] * 2
    assert threshold.not_certified.startswith("none of the 2 subsets")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "given: none of them"),
        ({"max_error": 0.1, "min_coverage": 0.9}, "given: max_error, min_coverage"),
        ({"max_joint_error": 1.0}, "max_joint_error is 1.0; expected a number between 0 and 1"),
        ({"min_coverage": 0.0}, "min_coverage is 0.0"),
        ({"max_error": 0.1, "per_class": True, "slice_by": "region"}, "either per_class or slice_by"),
        ({"min_coverage": 0.9, "per_class": True}, "per_class and slice_by need max_error"),
        ({"threshold": 0.9, "slice_by": "region"}, "per_class and slice_by need max_error"),
        ({"max_error": 0.1, "slice_by": "a"}, "column 'a' of the calibration rows holds floats"),
        ({"max_error": 0.1, "slice_by": "planet"}, "have no column 'planet' to slice by"),
    ],
)
def test_wishes_that_cannot_be_are_refused(model, held_out, output, options, message):
    with pytest.raises(ExportError, match=message):
        export(model, output, calibration=held_out, **options)


@pytest.mark.parametrize("train_has_the_slice", [False, True])
def test_a_copy_of_a_training_row_is_found_although_it_has_a_slice(
    model, customers, held_out, output, train_has_the_slice
):
    X, y = held_out
    X = X.copy()
    X.loc[X.index[5], ["a", "b"]] = customers[0].loc[0, ["a", "b"]]
    train = customers[0][:N_TRAIN]
    if train_has_the_slice:
        train = train.assign(region="elsewhere"), customers[2][:N_TRAIN]
    with pytest.raises(RowsError, match=r"1 of .* calibration rows are training rows as well \(rows 5\)"):
        export(model, output, calibration=(X, y), train=train, max_error=0.05, slice_by="region")


@pytest.fixture
def command(model, held_out, tmp_path, output):
    joblib.dump(model, tmp_path / "model.joblib")
    held_out[0].assign(label=held_out[1]).to_parquet(tmp_path / "rows.parquet")
    return [
        *("sklearn", str(tmp_path / "model.joblib"), "--trust-pickle"),
        *("--calibration", str(tmp_path / "rows.parquet"), "--target", "label", "--output", str(output)),
    ]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--max-error", "0.05", "--slice-by", "region"],
            ["region north: threshold", "region west: abstains"],
        ),
        (["--max-error", "0.2", "--per-class"], ["predicted 0: threshold", "predicted 1: threshold"]),
        (["--max-joint-error", "0.05"], ["of all rows are accepted and wrong"]),
        (["--min-coverage", "0.8"], ["at least 0.8 of the rows are accepted"]),
    ],
)
def test_the_command_knows_them_all(command, output, capsys, flags, words):
    assert main([*command, *flags]) == 0
    printed = capsys.readouterr().out
    assert main(["inspect", str(output)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in words:
        assert word in printed
        assert word in shown
