"""A bundle gets a new calibrator and a new threshold; its graph up to the scores stays the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from google.protobuf import json_format
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from tamiz.bundle_format import MANIFEST_KEY
from tamiz.v1.manifest_pb2 import Subdivision
from tamiz_client import Client
from tamiz_convert import BundleError, EstimatorError, RowsError, export, read_manifest, recalibrate
from tamiz_convert.__main__ import main
from tamiz_convert.bundles.bundle import read_bundle
from tamiz_convert.bundles.graph import cut_at_scores, from_bundle
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.calibrators.temperature import Temperature
from tamiz_convert.pipeline.graft import graft
from tamiz_convert.sources.sklearn_graph import from_sklearn

ESTIMATORS = {
    "logits": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    "margins": lambda: make_pipeline(StandardScaler(), LinearSVC()),
    "probabilities": lambda: RandomForestClassifier(20, random_state=0),
}
CALIBRATORS = ("sigmoid", "isotonic", "temperature")


@pytest.fixture(scope="module", params=ESTIMATORS)
def trained(request, cancer):
    return ESTIMATORS[request.param]().fit(cancer.train, cancer.y_train)


@pytest.fixture(scope="module")
def logistic(cancer):
    return ESTIMATORS["logits"]().fit(cancer.train, cancer.y_train)


@pytest.fixture(scope="module")
def rows(cancer):
    return cancer.held_out, cancer.y_held_out


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def bundle(logistic, rows, models):
    return export(logistic, models / "m/1", calibration=rows, max_error=0.06).path


def rewrite(path, change):
    """Write a bundle again with another manifest, its digest still right."""
    model, manifest = read_bundle(path)
    change(manifest)
    helper.set_model_props(model, {MANIFEST_KEY: json_format.MessageToJson(manifest)})
    path.write_bytes(model.SerializeToString(deterministic=True))


def assert_same_calibrator(one, other):
    """The metrics before are those of the graph instead of the estimator: equal but for the last digits."""
    for field in ("method", "parameters", "n_rows", "metrics_after"):
        assert getattr(one.calibrator, field) == getattr(other.calibrator, field)
    before = [{each.name: each.value for each in side.calibrator.metrics_before} for side in (one, other)]
    assert before[0] == pytest.approx(before[1], abs=1e-9)


def as_format_1(manifest):
    manifest.format_version = 1
    manifest.scores_kind = ""


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_the_same_rows_and_settings_give_what_the_export_gave(trained, rows, models, calibrator):
    settings = {"calibration": rows, "calibrator": calibrator, "max_error": 0.1, "seed": 3, "report": False}
    one = export(trained, models / "m/1", **settings).manifest
    recalibrate(models / "m/1", models / "m/2", **settings)
    two = read_manifest(models / "m/2")
    assert two.recalibrated_from == read_manifest(models / "m/1").graph_digest
    assert_same_calibrator(two, one)
    assert two.threshold == one.threshold
    assert two.row_sets == one.row_sets
    assert two.reference_histograms == one.reference_histograms
    assert two.graph_digest == two.recalibrated_from


@pytest.mark.parametrize("first", CALIBRATORS)
@pytest.mark.parametrize("second", CALIBRATORS)
def test_the_graph_as_far_as_the_scores_is_the_same_bytes(trained, rows, models, first, second):
    X, y = rows
    export(
        trained, models / "m/1", calibration=(X[:150], y[:150]), calibrator=first, threshold=0.9, report=False
    )
    recalibrate(
        models / "m/1",
        models / "m/2",
        calibration=(X[150:], y[150:]),
        calibrator=second,
        threshold=0.8,
        report=False,
    )
    original = from_sklearn(trained, X).model.graph
    for version in "12":
        model, manifest = read_bundle(models / "m" / version)
        cut = cut_at_scores(model, len(manifest.classes.integers)).graph
        for field in ("node", "initializer", "input", "output"):
            parts = [each.SerializeToString(deterministic=True) for each in getattr(cut, field)]
            assert parts == [each.SerializeToString(deterministic=True) for each in getattr(original, field)]


def test_the_new_probabilities_are_the_new_calibrators(logistic, bundle, rows, models):
    X, y = rows
    report = recalibrate(
        bundle, models / "m/2", calibration=(X[:200], y[:200]), calibrator="sigmoid", threshold=0.9
    )
    parameters = {each.name: each.values[0] for each in report.manifest.calibrator.parameters}
    found = onnxruntime.InferenceSession(report.path).run(["probabilities"], {"features": X})[0]
    expected = 1 / (1 + np.exp(parameters["a"] * logistic.decision_function(X) + parameters["b"]))
    n = parameters["support"]
    np.testing.assert_allclose(found[:, 1], (1 - 2 / (n + 2)) * expected + 1 / (n + 2), atol=1e-12)


def test_what_the_old_bundle_says_of_inputs_classes_and_estimator_stays(bundle, rows, models):
    recalibrate(bundle, models / "m/2", calibration=rows, calibrator="isotonic", threshold=0.9)
    old, new = read_manifest(models / "m/1"), read_manifest(models / "m/2")
    for field in ("inputs", "classes", "estimator", "scores_kind", "name"):
        assert getattr(new, field) == getattr(old, field)
    assert new.graph_digest != old.graph_digest == new.recalibrated_from


def test_a_table_with_strings_and_missing_values_is_read_as_the_export_read_it(customers, models):
    columns = ColumnTransformer(
        [
            ("number", "passthrough", ["age", "income", "balance"]),
            ("text", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"]),
        ]
    )
    model = make_pipeline(columns, HistGradientBoostingClassifier(random_state=0))
    model.fit(customers.train, customers.y_train)
    settings = {"calibration": (customers.held_out, customers.y_held_out), "max_error": 0.2}
    one = export(model, models / "m/1", **settings).manifest
    two = recalibrate(models / "m/1", models / "m/2", **settings).manifest
    assert_same_calibrator(two, one)
    assert two.threshold == one.threshold
    assert two.row_sets == one.row_sets
    with pytest.raises(RowsError, match=r"missing column.*'plan'"):
        recalibrate(
            models / "m/1",
            models / "m/3",
            calibration=(customers.held_out.drop(columns="plan"), customers.y_held_out),
            threshold=0.9,
        )


@pytest.mark.parametrize("column", ["city", "balance"])
def test_rows_that_abstain_whatever_the_threshold_is_are_noted(column, customers, models):
    columns = ColumnTransformer(
        [
            ("number", "passthrough", ["age", "income", "balance"]),
            ("text", OneHotEncoder(handle_unknown="ignore"), ["city", "plan"]),
        ]
    )
    filled = customers.train.fillna({"city": "none", "balance": 0.0, "income": 0.0, "age": 0, "plan": "none"})
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20, random_state=0))
    model.fit(filled, customers.y_train)
    held_out = customers.held_out.fillna(
        {"city": "none", "balance": 0.0, "income": 0.0, "age": 0, "plan": "none"}
    )
    settings = {"threshold": 0.6, "calibrator": "sigmoid", "allow_duplicates": True, "report": False}
    export(model, models / "m/1", calibration=(held_out, customers.y_held_out), **settings)
    held_out.loc[held_out.index[::3], column] = None
    done = recalibrate(
        models / "m/1", models / "m/2", calibration=(held_out, customers.y_held_out), **settings
    )
    (note,) = [note for note in done.notes if "abstain whatever the threshold is" in note]
    assert f"'{column}' holds a missing value that the bundle does not take" in note


def test_several_classes_with_string_labels(wine, models):
    model = GaussianNB().fit(wine.train, wine.y_train)
    rows = (wine.held_out, wine.y_held_out)
    one = export(model, models / "m/1", calibration=rows, threshold=0.9).manifest
    two = recalibrate(models / "m/1", models / "m/2", calibration=rows, threshold=0.9).manifest
    assert_same_calibrator(two, one)
    assert list(two.classes.strings) == ["barbera", "barolo", "grignolino"]


@pytest.mark.parametrize("named", [True, False])
def test_thresholds_by_slice_are_certified_again_by_slice(customers, models, named):
    columns = ["age", "income"]
    X = customers.train[columns]
    model = GaussianNB().fit(X if named else X.to_numpy(), customers.y_train)
    table = customers.held_out[[*columns, "city"]].reset_index(drop=True)
    settings = {"calibration": (table, customers.y_held_out), "max_error": 0.45, "seed": 1}
    one = export(model, models / "m/1", **settings, slice_by="city").manifest
    assert one.threshold.subdivision == Subdivision.SUBDIVISION_SLICE
    two = recalibrate(models / "m/1", models / "m/2", **settings).manifest
    assert two.threshold == one.threshold
    assert two.inputs == one.inputs
    assert_same_calibrator(two, one)
    assert read_manifest(models / "m/2").graph_digest == read_manifest(models / "m/1").graph_digest
    np.testing.assert_array_equal(
        Subject.read(models / "m/1").predict(table).accepted,
        Subject.read(models / "m/2").predict(table).accepted,
    )

    fixed = recalibrate(models / "m/2", models / "m/3", calibration=settings["calibration"], threshold=0.7)
    assert fixed.manifest.inputs == one.inputs, "the same requests reach it"
    outputs = [each.name for each in read_bundle(models / "m/3")[0].graph.output]
    assert outputs == ["probabilities", "subset"]
    assert Subject.read(models / "m/3").predict(table).accepted.any()


@pytest.mark.parametrize("named", [True, False])
def test_a_bundle_with_slices_from_the_command_line(customers, models, named, monkeypatch):
    columns = ["age", "income"]
    X = customers.train[columns]
    model = GaussianNB().fit(X if named else X.to_numpy(), customers.y_train)
    table = customers.held_out[[*columns, "city"]].reset_index(drop=True)
    settings = {
        "calibration": (table, customers.y_held_out),
        "max_error": 0.45,
        "seed": 1,
        "slice_by": "city",
    }
    export(model, models / "m/1", **settings)
    table.assign(y=customers.y_held_out).to_parquet(models / "rows.parquet")
    monkeypatch.chdir(models)
    rows = ["--target", "y", "--seed", "1"]
    command = [
        "recalibrate",
        "m/1",
        "--calibration",
        "rows.parquet",
        "--max-error",
        "0.45",
        "--output",
        "m/2",
        *rows,
    ]
    assert main(command) == 0
    assert read_manifest(models / "m/2").threshold == read_manifest(models / "m/1").threshold
    command = [
        "compare",
        "m/1",
        "m/2",
        "--data",
        "rows.parquet",
        "--slices",
        "city",
        "--json",
        "out.json",
        *rows,
    ]
    assert main(command) == 0
    assert "A and B do the same" in (models / "out.json").read_text()


def test_thresholds_by_class_are_certified_again_by_class(logistic, rows, models):
    settings = {"calibration": rows, "max_error": 0.15}
    one = export(logistic, models / "m/1", **settings, per_class=True).manifest
    two = recalibrate(models / "m/1", models / "m/2", **settings).manifest
    assert len(two.threshold.subsets) == 2
    assert two.threshold == one.threshold


def test_another_output_of_the_graph_survives(logistic, rows):
    graph = from_sklearn(logistic, rows[0])
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["features"], ["largest"], name="largest", keepdims=0),
            helper.make_node("Shape", ["features"], ["subset"], name="subset"),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("subset", TensorProto.INT64, [2]))
    grafted = graft(model, Temperature(0.5, "logits"), n_classes=2)
    again = graft(cut_at_scores(grafted, 2), Temperature(0.5, "logits"), n_classes=2)
    for each in (grafted, again):
        session = onnxruntime.InferenceSession(each.SerializeToString())
        assert [output.name for output in session.get_outputs()] == ["probabilities", "subset"]
        assert session.run(["subset"], {"features": rows[0]})[0].tolist() == list(rows[0].shape)
    assert again == grafted


def test_what_a_loop_reads_from_outside_survives():
    """scores = features if the constant says so, else zeros. Both branches read names of the outer graph."""
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", [name], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.DOUBLE, None)],
        )
        for name in ("features", "other")
    ]
    graph = helper.make_graph(
        [
            helper.make_node(
                "If", ["yes"], ["scores"], name="If", then_branch=branches[0], else_branch=branches[1]
            ),
            helper.make_node("Softmax", ["scores"], ["probabilities"], name="Softmax"),
        ],
        "loop",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, [None, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, 3])],
        [
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("other", TensorProto.DOUBLE, [1, 3], [0.0, 0.0, 0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    cut = cut_at_scores(model, 3)
    assert {each.name for each in cut.graph.initializer} == {"yes", "other"}
    assert [node.name for node in cut.graph.node] == ["If"]


@pytest.mark.parametrize("calibrator", ["none", "temperature"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_what_the_scores_of_a_bundle_of_format_1_are_follows_from_its_calibrator(
    cancer, rows, models, kind, calibrator
):
    estimator = ESTIMATORS[kind]().fit(cancer.train, cancer.y_train)
    path = export(
        estimator, models / "m/1", calibration=rows, calibrator=calibrator, threshold=0.9, report=False
    ).path
    rewrite(path, as_format_1)
    assert from_bundle(*read_bundle(path)).kind == kind


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_margins_of_format_1_are_known_by_having_no_metrics_before(cancer, rows, models, calibrator):
    estimator = ESTIMATORS["margins"]().fit(cancer.train, cancer.y_train)
    path = export(
        estimator, models / "m/1", calibration=rows, calibrator=calibrator, threshold=0.9, report=False
    ).path
    rewrite(path, as_format_1)
    assert from_bundle(*read_bundle(path)).kind == "margins"
    with pytest.raises(EstimatorError, match="only margins"):
        recalibrate(path, models / "m/2", calibration=rows, calibrator="none", threshold=0.9)


def test_a_bundle_of_format_1_that_does_not_show_its_scores_is_refused(logistic, rows, models):
    path = export(logistic, models / "m/1", calibration=rows, calibrator="sigmoid", threshold=0.9).path
    rewrite(path, as_format_1)
    with pytest.raises(BundleError, match="does not say whether its scores are logits or probabilities"):
        recalibrate(path, models / "m/2", calibration=rows, threshold=0.9)
    assert not (models / "m/2").exists()


def test_the_version_itself_is_replaced_only_if_that_is_meant(bundle, rows, models):
    before = bundle.read_bytes()
    for source in (bundle, bundle.parent):
        with pytest.raises(BundleError, match=r"higher version, such as .*m/2, or pass replace=True"):
            recalibrate(source, models / "m/1", calibration=rows, threshold=0.9)
    assert bundle.read_bytes() == before
    recalibrate(bundle, models / "m/1", calibration=rows, threshold=0.9, replace=True)
    assert read_manifest(bundle).threshold.value == 0.9


def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(bundle, rows, models):
    X, y = rows
    for calibration, message in (
        ((X[:, :5], y), r"wants the shape .rows, 30., got .\d+, 5."),
        ((X, y + 1), "labels 2 were not seen"),
        ((X, np.array(["no", "yes"])[y]), "labels are strings"),
        ((X[:0], y[:0]), "no calibration rows"),
        ((X, y[:5]), "one label per row"),
    ):
        with pytest.raises(RowsError, match=message):
            recalibrate(bundle, models / "m/2", calibration=calibration, threshold=0.9)
    assert not (models / "m/2").exists()


def test_a_broken_bundle_is_refused(bundle, rows, models):
    content = bundle.read_bytes()
    for spoiled, message in (
        (content[: len(content) // 2], "truncated"),
        (content.replace(b"Softmax", b"Sigmoid"), "not the one that was exported"),
        (b"\x00\xff", "not an ONNX file"),
    ):
        bundle.write_bytes(spoiled)
        with pytest.raises(BundleError, match=message):
            recalibrate(bundle, models / "m/2", calibration=rows, threshold=0.9)
    with pytest.raises(BundleError, match="cannot be read"):
        recalibrate(models / "none/1", models / "m/2", calibration=rows, threshold=0.9)


def test_a_bundle_without_scores_is_refused(make_bundle, tmp_path):
    path = make_bundle("m/1", "softmax")
    calibration = (np.zeros((10, 2), np.float32), np.array(["no", "yes"] * 5))
    with pytest.raises(BundleError, match="no tensor 'scores'"):
        recalibrate(path, tmp_path / "models/m/2", calibration=calibration, threshold=0.9)


def test_a_recalibrated_bundle_is_served_and_answers_as_onnxruntime_does(bundle, rows, models, start_server):
    X, _ = rows
    path = recalibrate(bundle, models / "m/2", calibration=rows, calibrator="isotonic", max_error=0.04).path
    expected = onnxruntime.InferenceSession(path).run(["probabilities"], {"features": X})[0]
    threshold = read_manifest(path).threshold.value
    with Client(start_server().target) as client:
        result = client.predict("m", X, return_probabilities=True)
    assert result.model_version == 2
    np.testing.assert_array_equal(result.accepted, expected.max(axis=1) >= threshold)
    assert 0 < result.accepted.sum() < len(X)
    np.testing.assert_allclose(result.probabilities[result.accepted], expected[result.accepted], atol=1e-12)


def test_from_the_command_line(bundle, cancer, tmp_path, models, capsys):
    table = pd.DataFrame(cancer.held_out).rename(columns=str).assign(target=cancer.y_held_out)
    table.to_parquet(tmp_path / "new.parquet")
    command = [
        "recalibrate",
        str(bundle),
        "--calibration",
        str(tmp_path / "new.parquet"),
        "--target",
        "target",
    ]
    assert main([*command, "--max-error", "0.06", "--output", str(models / "m/2")]) == 0
    assert "at most 0.06 of the accepted rows are wrong" in capsys.readouterr().out
    assert read_manifest(models / "m/2").threshold == read_manifest(models / "m/1").threshold
    assert main(["inspect", str(models / "m/2")]) == 0
    assert read_manifest(models / "m/1").graph_digest in "".join(capsys.readouterr().out.split())
    assert main([*command, "--threshold", "0.9", "--output", str(models / "m/1")]) == 1
    assert "already holds a bundle; write to a higher version" in capsys.readouterr().err
    assert main([*command, "--threshold", "0.9", "--output", str(models / "m/1"), "--replace"]) == 0
