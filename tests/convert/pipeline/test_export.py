"""The export from end to end, and everything that it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from tamiz_convert import (
    BundleError,
    EstimatorError,
    ExportError,
    ParityError,
    RowsError,
    UnattainableError,
    export,
    read_manifest,
)
from tamiz_convert.__main__ import main
from tamiz_convert.pipeline import export as export_module
from tamiz_convert.sources.kinds import score_graph


@pytest.fixture(scope="module")
def model(cancer):
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer.train, cancer.y_train)


@pytest.fixture
def held_out(cancer):
    return cancer.held_out, cancer.y_held_out


@pytest.fixture
def output(tmp_path):
    return tmp_path / "models" / "cancer" / "1"


def test_the_bundle_computes_the_calibrated_probabilities_in_plain_onnxruntime(model, held_out, output):
    report = export(model, output, calibration=held_out, calibrator="sigmoid", max_error=0.05)
    session = onnxruntime.InferenceSession(report.path)
    probabilities = session.run(["probabilities"], {"features": held_out[0]})[0]
    parameters = {each.name: each.values[0] for each in report.manifest.calibrator.parameters}
    expected = 1 / (1 + np.exp(parameters["a"] * model.decision_function(held_out[0]) + parameters["b"]))
    least = 1 / (parameters["support"] + 2)
    np.testing.assert_allclose(probabilities[:, 1], (1 - 2 * least) * expected + least, atol=1e-12)


def test_the_manifest_says_what_was_done(model, held_out, output):
    report = export(model, output, calibration=held_out, max_error=0.06, confidence_level=0.95)
    manifest = read_manifest(output)
    assert manifest == report.manifest or manifest.graph_digest.startswith("sha256:")
    assert manifest.name == "cancer"
    assert manifest.estimator == "sklearn.linear_model.LogisticRegression"
    assert list(manifest.classes.integers) == [0, 1]
    assert manifest.calibrator.method == "none"
    assert manifest.calibrator.n_rows == len(held_out[0]) - manifest.threshold.certificate.n_rows
    certificate = manifest.threshold.certificate
    assert (certificate.max_error, certificate.confidence_level) == (0.06, 0.95)
    assert certificate.p_value <= 0.05
    assert certificate.expected_coverage == certificate.n_accepted / certificate.n_rows
    assert {metric.name for metric in manifest.calibrator.metrics_before} >= {"log_loss", "ece_15"}
    histograms = {each.name: each for each in manifest.reference_histograms}
    assert sum(histograms["confidence"].counts) == len(held_out[0])
    assert len(histograms) == 31
    assert "at most 0.06 of the accepted rows are wrong, with confidence 0.95" in str(report)
    assert repr(report).startswith(f"ExportReport({report.path}; threshold 0.")
    assert len(repr(report)) < len(str(report.path)) + 300


def test_two_exports_differ_in_their_date_only(model, held_out, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for calibrator in ("temperature", "isotonic"):
        one, other = (
            export(
                model,
                tmp_path / name / "m/1",
                calibration=held_out,
                calibrator=calibrator,
                threshold=0.9,
                replace=True,
            ).path.read_bytes()
            for name in "ab"
        )
        assert one == other


def test_certification_labels_do_not_touch_the_calibrator(model, held_out, tmp_path):
    X, y = held_out
    calibration, certification = (X[:150], y[:150]), (X[150:], y[150:])
    flipped = (X[150:], 1 - y[150:])
    parameters = [
        export(
            model,
            tmp_path / name / "1",
            calibration=calibration,
            certification=rows,
            calibrator="temperature",
            threshold=0.9,
        )
        .manifest.calibrator.parameters[0]
        .values
        for name, rows in (("a", certification), ("b", flipped))
    ]
    assert parameters[0] == parameters[1]


def test_candidate_thresholds_come_from_the_calibration_rows_not_from_those_that_certify(
    model, held_out, output
):
    X, y = held_out
    report = export(
        model, output, calibration=(X[:130], y[:130]), certification=(X[130:], y[130:]), max_error=0.06
    )
    session = onnxruntime.InferenceSession(report.path)

    def is_midway(rows):
        """Whether the threshold lies halfway between two neighboring confidences."""
        confidence = session.run(["probabilities"], {"features": rows})[0].max(axis=1)
        distinct = np.unique(confidence)
        midpoints = np.append((distinct[1:] + distinct[:-1]) / 2, distinct[0])  # the loosest has no neighbor
        return bool(np.isclose(midpoints, report.manifest.threshold.value, rtol=0, atol=1e-12).any())

    assert is_midway(X[:130])
    assert not is_midway(X[130:])


@pytest.mark.parametrize("off_by", [1e-3, np.nan])
def test_a_graph_that_does_not_agree_with_scikit_learn_stops_the_export(
    off_by, model, held_out, output, monkeypatch
):
    def converted(*given):
        graph = score_graph(*given)
        return replace(graph, reference=lambda asked: graph.reference(asked) + off_by)

    monkeypatch.setattr(export_module, "score_graph", converted)
    with pytest.raises(ParityError, match=r"(edge|held-out) row \d+"):
        export(model, output, calibration=held_out, threshold=0.9)
    assert not output.parent.exists()


def test_a_fixed_threshold_promises_nothing(model, held_out, output):
    manifest = export(model, output, calibration=held_out, threshold=0.75).manifest
    assert manifest.threshold.value == 0.75
    assert manifest.threshold.not_certified == "fixed by the caller"


def test_what_cannot_be_proven_stops_the_export_unless_told_otherwise(model, held_out, output):
    with pytest.raises(UnattainableError, match="Ask for max_error="):
        export(model, output, calibration=held_out, max_error=0.012)
    assert not output.parent.exists()
    report = export(model, output, calibration=held_out, max_error=0.012, allow_uncertified=True)
    assert "no threshold is proven to keep the error" in report.manifest.threshold.not_certified
    assert "not certified" in str(report)


def test_with_too_few_rows_an_uncertified_bundle_accepts_nothing(model, held_out, output):
    X, y = held_out
    report = export(model, output, calibration=(X[:40], y[:40]), max_error=0.05, allow_uncertified=True)
    assert report.manifest.threshold.value > 1


def test_a_table_without_a_column_transformer_is_one_input_with_column_names(cancer, output):
    columns = [f"c{i}" for i in range(30)]
    train, held = (pd.DataFrame(X, columns=columns) for X in (cancer.train, cancer.held_out))
    forest = RandomForestClassifier(10, random_state=0).fit(train, cancer.y_train)
    report = export(forest, output, calibration=(held[columns[::-1]], cancer.y_held_out), threshold=0.9)
    (spec,) = report.manifest.inputs
    assert (spec.name, list(spec.column_names)) == ("features", columns)


@pytest.mark.parametrize("wrap", [FrozenEstimator, lambda m: GridSearchCV(m, {"C": [1.0, 2.0]}, cv=2)])
def test_wrappers_are_taken_away(wrap, cancer, held_out, output):
    scaled = cancer.train / cancer.train.max(axis=0)
    inner = LogisticRegression(max_iter=5_000).fit(scaled, cancer.y_train)
    wrapped = wrap(inner)
    if not isinstance(wrapped, FrozenEstimator):
        wrapped.fit(scaled, cancer.y_train)
    report = export(wrapped, output, calibration=held_out, threshold=0.9)
    assert report.manifest.estimator == "sklearn.linear_model.LogisticRegression"


def test_an_estimator_that_was_calibrated_around_one_model_is_unwrapped_and_said(
    model, cancer, held_out, output
):
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(cancer.held_out, cancer.y_held_out)
    report = export(calibrated, output, calibration=held_out, threshold=0.9)
    assert "its calibrator is replaced" in report.notes[0]


def test_an_estimator_that_was_calibrated_by_averaging_is_refused_with_what_to_do(cancer, held_out, output):
    calibrated = CalibratedClassifierCV(RandomForestClassifier(5), cv=3).fit(cancer.train, cancer.y_train)
    with pytest.raises(EstimatorError, match=r"averages 3 estimators, .* Pass the estimator itself"):
        export(calibrated, output, calibration=held_out, threshold=0.9)


@pytest.mark.parametrize("dtype", [bool, float])
def test_bool_and_whole_float_classes_become_integers(dtype, cancer, output):
    forest = RandomForestClassifier(5, random_state=0).fit(cancer.train, cancer.y_train.astype(dtype))
    report = export(
        forest, output, calibration=(cancer.held_out, cancer.y_held_out.astype(dtype)), threshold=0.9
    )
    assert list(report.manifest.classes.integers) == [0, 1]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "LogisticRegression is not fitted; call fit"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Pipeline is not fitted"),
        (LinearRegression().fit([[0.0], [1.0]], [0, 1]), "LinearRegression is not a classifier"),
        (
            LinearRegression,
            r"LinearRegression is a class; expected a fitted model, such as LinearRegression\(\)",
        ),
        (
            make_pipeline(StandardScaler(), LinearRegression()).fit([[0.0], [1.0]], [0, 1]),
            r"LinearRegression \(step 'linearregression' of the Pipeline\) is not a classifier; supported",
        ),
        (
            make_pipeline(KMeans(2, n_init=1), LogisticRegression()).fit([[0.0], [1.0]], [0, 1]),
            "the preprocessing step KMeans cannot be converted: ",
        ),
        (
            make_pipeline(make_pipeline(StandardScaler())).fit([[0.0], [1.0]]),
            r"StandardScaler \(step 'standardscaler' of the Pipeline\) .*is not a classifier",
        ),
        (
            AdaBoostClassifier(n_estimators=2).fit([[0.0], [1.0]], [0, 1]),
            "AdaBoostClassifier is not supported; supp",
        ),
        (RandomForestClassifier(2).fit([[0.0], [1.0]], [1, 1]), "trained on one class only"),
        (RandomForestClassifier(2).fit([[0.0], [1.0]], [[0, 1], [1, 0]]), "has 2 targets"),
        (RandomForestClassifier(2).fit([[0.0], [1.0]], ["", "a"]), "strings that are not empty"),
        (
            HistGradientBoostingClassifier(categorical_features=[0]).fit(
                np.arange(40).reshape(-1, 1) % 3, [0, 1] * 20
            ),
            "with categorical_features is not supported",
        ),
        (3.5, "float is not supported. Supported are .*torch.nn.Module.*xgboost.Booster.*XGBClassifier"),
        ("model.onnx", r"is a path: wrap an ONNX file as OnnxModel\('model.onnx', kind="),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_estimator_that_cannot_be_exported_is_refused(estimator, message, output):
    X = np.array([[0.0], [1.0]] * 20)
    with pytest.raises(EstimatorError, match=message):
        export(estimator, output, calibration=(X, np.array([0, 1] * 20)), threshold=0.9)
    assert not output.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda X, y: (X, np.where(y == 1, 7, y)),
            r"labels 7 were not seen in training \(the first in row 0\); the classes are 0, 1",
        ),
        (
            lambda X, y: (X, y.astype(str)),
            r"labels are strings \(row 0: '.'\), but the estimator was trained on integers",
        ),
        (
            lambda X, y: (X, np.where(np.arange(len(y)) == 3, np.nan, y)),
            r"1 of \d+ calibration labels are missing .* row 3",
        ),
        (lambda X, y: (X, [None, *y[1:]]), r"1 of \d+ calibration labels are missing"),
        (lambda X, y: (X, y[:-1]), "rows and .* labels; expected one label per row"),
        (lambda X, y: (X[:0], y[:0]), "there are no calibration rows"),
        (lambda X, y: (X[:1], y[:1]), "cannot be split"),
        (lambda X, y: (X[:, :5], y), r"wants the shape \[rows, 30\], got"),
        (lambda X, y: (X[y == 1], y[y == 1]), "no calibration row of class 0:"),
        (lambda X, y: (np.where(np.arange(len(X))[:, None] == 2, np.nan, X), y), "NaN"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(model, held_out, output, change, message):
    with pytest.raises(RowsError, match=message):
        export(model, output, calibration=change(*held_out), threshold=0.9)
    assert not output.exists()


def test_rows_that_repeat_training_rows_are_refused(model, cancer, held_out, output):
    X, y = held_out
    X = X.copy()
    X[[4, 9]] = cancer.train[[0, 1]]
    with pytest.raises(RowsError, match=r"2 of .* calibration rows are training rows as well \(rows 4, 9\)"):
        export(model, output, calibration=(X, y), train=(cancer.train, cancer.y_train), threshold=0.9)
    with pytest.raises(RowsError, match="certification rows are calibration rows as well"):
        export(model, output, calibration=held_out, certification=held_out, threshold=0.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either max_error"),
        ({"max_error": 0.1, "threshold": 0.9}, "give either max_error"),
        ({"max_error": 0.0}, "max_error is 0.0; expected a number between 0 and 1"),
        ({"max_error": 2}, r"max_error is 2; expected a number between 0 and 1 \(2 % is 0.02\)"),
        ({"max_error": 0.1, "confidence_level": 1.0}, "confidence_level is 1.0"),
        ({"threshold": 1.5}, "threshold is 1.5; expected a confidence from 0 to 1"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"threshold": 0.9, "calibrator": "magic"}, "unknown calibrator 'magic'"),
        ({"threshold": 0.9, "certification_fraction": 1.0}, "certification_fraction is 1.0"),
    ],
)
def test_wishes_that_cannot_be_are_refused(model, held_out, output, options, message):
    with pytest.raises(ExportError, match=message):
        export(model, output, calibration=held_out, **options)


@pytest.mark.parametrize("where", ["churn", "churn/latest", "churn/0", "churn/01", f"churn/{2**63}", "1"])
def test_an_output_that_is_no_version_folder_is_refused(model, held_out, tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    if where != "1":
        with pytest.raises(BundleError, match="does not end in <name>/<version>"):
            export(model, where, calibration=held_out, threshold=0.9)


@pytest.mark.parametrize("name", ["loop", "null\0byte", "long" * 100])
def test_an_output_that_cannot_be_looked_at_is_refused(model, held_out, tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BundleError, match=r"the output .* cannot be written: "):
        export(model, tmp_path / name / "1", calibration=held_out, threshold=0.9)


def test_a_category_that_was_never_seen_abstains_where_scikit_learn_would_fail(output):
    random = np.random.default_rng(0)
    X = pd.DataFrame({"city": random.choice(["a", "b"], 400), "x": random.normal(size=400)})
    y = (X["city"] == "a").to_numpy().astype(int)
    columns = ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough")
    estimator = make_pipeline(columns, RandomForestClassifier(5, random_state=0)).fit(X[:200], y[:200])
    report = export(estimator, output, calibration=(X[200:], y[200:]), threshold=0.5)
    session = onnxruntime.InferenceSession(report.path)
    feed = {"city": np.array([["a"], ["c"]], dtype=object), "x": np.zeros((2, 1))}
    probabilities = session.run(None, feed)[0]
    assert np.isfinite(probabilities[0]).all()
    assert np.isnan(probabilities[1]).all()


@pytest.mark.parametrize("make", [RandomForestClassifier, GradientBoostingClassifier])
def test_a_value_beyond_float32_abstains_where_scikit_learns_trees_would_fail(make, cancer, held_out, output):
    forest = make(n_estimators=5, random_state=0).fit(cancer.train, cancer.y_train)
    session = onnxruntime.InferenceSession(export(forest, output, calibration=held_out, threshold=0.5).path)
    rows = held_out[0][:3].copy()
    rows[1, 4] = 1e39
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="too large for dtype"):
        forest.predict(rows)
    probabilities = session.run(None, {"features": rows})[0]
    assert np.isfinite(probabilities[[0, 2]]).all()
    assert np.isnan(probabilities[1]).all()


def test_margins_without_probabilities_need_a_calibrator(cancer, held_out, output):
    svc = make_pipeline(StandardScaler(), LinearSVC()).fit(cancer.train, cancer.y_train)
    with pytest.raises(EstimatorError, match="calibrator 'none' needs an estimator with probabilities"):
        export(svc, output, calibration=held_out, calibrator="none", threshold=0.9)


@pytest.fixture
def files(model, cancer, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    table = pd.DataFrame(cancer.held_out, columns=[f"c{i}" for i in range(30)]).assign(
        label=cancer.y_held_out
    )
    table.to_parquet(tmp_path / "rows.parquet")
    table.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def command(files, *extra: str, rows: str = "rows.parquet") -> list[str]:
    return [
        "sklearn",
        str(files / "model.joblib"),
        "--calibration",
        str(files / rows),
        "--target",
        "label",
        "--output",
        str(files / "models/cancer/1"),
        *extra,
    ]


def test_what_is_printed_names_the_reason_the_checks_and_few_figures(model, held_out, tmp_path):
    report = export(
        model,
        tmp_path / "m/1",
        calibration=held_out,
        threshold=0.9,
        checks={"version": 1, "selective": {"min_coverage": 0.1}},
    )
    lines = str(report).splitlines()
    assert f"chosen: {report.manifest.calibrator.reason}" in lines
    assert "checks: 1 of 1 passed" in lines
    (line,) = (line for line in lines if line.startswith("calibrator "))
    assert re.findall(r"(?:: |, )([a-zA-Z ]+) [\d.]+ → [\d.]+", line) == [
        "accuracy",
        "log loss",
        "Brier score",
        "calibration error",
    ]


def test_the_help_puts_options_in_groups(capsys):
    with pytest.raises(SystemExit):
        main(["sklearn", "--help"])
    shown = capsys.readouterr().out
    groups = ["rows:", "promise:", "calibrator:", "release checks:", "what is written:"]
    assert [line for line in shown.splitlines() if line in groups] == groups


def test_inspecting_shows_every_candidate_in_80_columns(model, held_out, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    export(
        model,
        tmp_path / "m/1",
        calibration=held_out,
        threshold=0.9,
    )
    assert main(["inspect", str(tmp_path / "m/1")]) == 0
    shown = capsys.readouterr().out
    candidates = read_manifest(tmp_path / "m/1").calibrator.candidates
    assert candidates
    assert all(re.search(rf"│ {each.method} .*│ {each.status.split()[0]}", shown) for each in candidates)
    assert max(len(line) for line in shown.splitlines()) <= 80


@pytest.mark.parametrize("rows", ["rows.parquet", "rows.csv"])
def test_the_command_exports_and_inspects(files, capsys, rows):
    assert main(command(files, "--max-error", "0.05", "--trust-pickle", rows=rows)) == 0
    assert "at most 0.05 of the accepted rows are wrong" in capsys.readouterr().out
    assert main(["inspect", str(files / "models/cancer/1")]) == 0
    shown = capsys.readouterr().out
    for word in (
        "calibrator",
        "threshold",
        "certificate",
        "sklearn.linear_model.LogisticRegression",
        "features",
        "ece_15",
    ):
        assert word in shown
    assert str(files / "models/cancer/1/report.html") in "".join(shown.split())
    manifest = read_manifest(files / "models/cancer/1")
    for each in manifest.row_sets:
        assert each.digest in "".join(shown.split())
    assert f"scores {manifest.scores_kind}" in " ".join(shown.split())
    assert main(["inspect", "--json", str(files / "models/cancer/1/model.onnx")]) == 0
    assert json.loads(capsys.readouterr().out)["calibrator"]["method"] == "none"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--threshold", "0.9"], "loading a pickle runs whatever code is in it"),
        (["--threshold", "0.9", "--trust-pickle", "--calibrator", "magic"], "unknown calibrator"),
        (["--max-error", "0.001", "--trust-pickle"], "at least 2302 accepted certification rows"),
        (["--threshold", "0.9", "--trust-pickle", "--features", "c0,zz"], "has no column 'zz'"),
        (
            ["--threshold", "0.9", "--trust-pickle", "--train", "nowhere.parquet"],
            "nowhere.parquet does not exist",
        ),
        (["--threshold", "0.9", "--trust-pickle", "--train", "rows.txt"], "rows.txt: it is not a table"),
    ],
)
def test_a_foreseen_error_is_one_line_and_status_1(files, capsys, extra, message):
    assert main(command(files, *extra)) == 1
    error = capsys.readouterr().err
    assert error.startswith("tamiz-convert: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (files / "models").exists()


def test_an_unknown_target_names_the_columns(files, capsys):
    wrong = [
        word.replace("label", "target") for word in command(files, "--threshold", "0.9", "--trust-pickle")
    ]
    assert main(wrong) == 1
    assert "has no column 'target'; it has 'c0'" in capsys.readouterr().err


def test_prices_choose_the_threshold_and_the_report_shows_what_it_costs(model, held_out, output):
    cost = {"matrix": {"0": {"1": 4}, 1: {0: 20}}, "abstention": 1}
    report = export(model, output, calibration=held_out, cost=cost)
    certificate = report.manifest.threshold.certificate
    assert certificate.method == "clopper-pearson-bound"
    assert certificate.error_upper_bound <= certificate.max_error <= 1.01 * certificate.error_upper_bound
    prices = read_manifest(output).threshold.prices
    assert (prices.abstention, list(prices.matrix)) == (1.0, [0.0, 4.0, 20.0, 0.0])
    data = json.loads((output / "report.json").read_text())
    gate, matrix, shown = data["gate"], np.array(data["confusion"]["matrix"]), data["cost"]
    total = (matrix * [[0, 4], [20, 0]]).sum() + gate["n_rows"] - gate["n_accepted"]
    assert shown["mean"] == pytest.approx(total / gate["n_rows"]) == pytest.approx(report.cost.mean)
    assert shown["interval"][0] <= shown["mean"] <= shown["interval"][1]
    assert any(
        (each["coverage"], each["cost"]) == pytest.approx((gate["coverage"], shown["mean"]))
        for each in shown["curve"]
    )
    assert f"a request costs {report.cost.mean:.4g} on average" in str(report)
    assert "What a request costs" in report.page.read_text()
    assert "At most" in report.page.read_text().split("<main")[0]


def test_prices_that_make_every_answer_too_dear_answer_nothing(model, held_out, output):
    report = export(model, output, calibration=held_out, cost={"error": 1e6, "abstention": 1})
    assert report.manifest.threshold.value > 1.0
    assert report.manifest.threshold.prices.error == 1e6
    assert "it costs least to answer nothing" in repr(report)
    assert (report.cost.mean, report.cost.interval) == (1.0, (1.0, 1.0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cost": {"error": 10}}, "cost has error; expected the price of an error and of an abstention"),
        ({"cost": {"error": 10, "abstention": 1}, "max_error": 0.1}, "given: max_error, cost"),
        (
            {"cost": {"error": 10, "abstention": 1}, "per_class": True},
            "per_class and slice_by need max_error",
        ),
        ({"cost": {"error": 10, "abstention": 1}, "groups": [1]}, "give either cost or groups"),
        ({"cost": {"matrix": [[0, 1, 2]] * 3, "abstention": 1}}, "shape [3, 3]; expected [2, 2]"),
    ],
)
def test_prices_that_cannot_be_used_are_refused_and_nothing_is_written(
    model, held_out, output, settings, said
):
    with pytest.raises(ExportError) as refused:
        export(model, output, calibration=held_out, **settings)
    assert said in str(refused.value)
    assert not output.parent.exists()


def test_the_command_takes_prices_as_a_list_or_from_a_file(tmp_path, model, held_out, capsys):
    joblib.dump(model, tmp_path / "model.joblib")
    prices = tmp_path / "prices.yaml"
    prices.write_text("abstention: 1\nmatrix:\n  0: {1: 10}\n  1: {0: 10}\n")
    command = ["sklearn", str(tmp_path / "model.joblib"), "--trust-pickle", "--target", "y", "--no-report"]
    pd.DataFrame(held_out[0]).add_prefix("x").assign(y=held_out[1]).to_csv(tmp_path / "rows.csv", index=False)
    command += ["--calibration", str(tmp_path / "rows.csv"), "--calibrator", "temperature"]
    thresholds = []
    for number, given in enumerate(("error=10, abstention=1", str(prices)), start=1):
        bundle = tmp_path / "m" / str(number)
        assert main([*command, "--cost", given, "--output", str(bundle)]) == 0
        assert "a request costs" in capsys.readouterr().out
        thresholds.append(read_manifest(bundle).threshold)
        assert main(["inspect", str(bundle)]) == 0
        assert "prices error=10,abstention=1" in " ".join(capsys.readouterr().out.split())
    assert thresholds[0] == thresholds[1]
    twice = tmp_path / "twice.yaml"
    twice.write_text("abstention: 1\nmatrix:\n  0: {1: 10}\n  1: {0: 10}\n  0x1: {0: 9}\n")
    for given, said in (
        ("error=ten,abstention=1", "is not a list of prices"),
        ("error=10,error=1,abstention=1", "gives error twice"),
        (str(twice), "the key '0x1' is given twice, the second time in line 5"),
        ("no_such_file.yaml", "cannot be read"),
        ("error:10", "cannot be read"),
        ("eror=10,abstention=1", "did you mean 'error'"),
    ):
        try:
            status = main([*command, "--cost", given, "--output", str(tmp_path / "m" / "9")])
        except SystemExit as stopped:
            status = stopped.code
        assert status != 0
        assert said in capsys.readouterr().err
    assert not (tmp_path / "m" / "9").exists()
