"""Two bundles on the same rows: the measurements are right, and noise is not called a difference."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import sync_playwright
from scipy.stats import binom
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.programs import CHROMIUM, needs

from tamiz.gate import NO_CLASS, decide_batch, valid_rows
from tamiz.v1.manifest_pb2 import Classes, Subdivision, SubsetThreshold
from tamiz_convert import BundleError, ExportError, RowsError, compare, export
from tamiz_convert.__main__ import main
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.bundles.bundle import read_bundle, write_bundle
from tamiz_convert.bundles.graph import output_of
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.comparison.differences import (
    HIGHER_IS_BETTER,
    Measured,
    differences,
    exact_p_value,
)
from tamiz_convert.comparison.page import to_html, to_json
from tamiz_convert.metrics.calibration_error import ece
from tamiz_convert.metrics.holm import holm_corrected
from tamiz_convert.metrics.losses import accuracy, brier, log_loss
from tamiz_convert.metrics.ranking import aurc, risk_coverage_curve
from tamiz_convert.metrics.summary import summarize
from tamiz_server.model.inputs import Spec


@pytest.fixture(scope="module")
def bundles(cancer, tmp_path_factory):
    """tumors/1 is a logistic regression, tumors/2 a random forest."""
    models = tmp_path_factory.mktemp("compared") / "models"
    held_out = (cancer.held_out[:150], cancer.y_held_out[:150])
    for version, model in (
        ("1", make_pipeline(StandardScaler(), LogisticRegression())),
        ("2", RandomForestClassifier(30, random_state=0)),
    ):
        model.fit(cancer.train, cancer.y_train)
        export(
            model,
            models / "tumors" / version,
            calibration=held_out,
            calibrator="temperature",
            max_error=0.1,
            allow_uncertified=True,
            seed=2,
            report=False,
        )
    return models / "tumors/1", models / "tumors/2"


@pytest.fixture(scope="module")
def rows(cancer):
    return cancer.held_out[150:], cancer.y_held_out[150:]


@pytest.fixture(scope="module")
def found(bundles, rows):
    return compare(*bundles, *rows, slices={"half": np.where(np.arange(len(rows[1])) % 2, "odd", "even")})


def follower(column: int, folder):
    """A bundle that predicts what one of two columns says, 0 or 1."""
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50, dtype=float)
    model = LogisticRegression(C=100).fit(X, X[:, column])
    return export(
        model, folder, calibration=(X, X[:, column]), threshold=0.6, allow_duplicates=True, report=False
    ).path


def permuted(bundle, folder):
    """The same bundle with its classes in reverse order."""
    model, manifest = read_bundle(bundle)
    old = model.graph.output[0]
    n_classes = old.type.tensor_type.shape.dim[1].dim_value
    for node in model.graph.node:
        node.output[:] = ["in_order" if name == old.name else name for name in node.output]
    model.graph.node.append(helper.make_node("Gather", ["in_order", "reversed"], [old.name], axis=1))
    order = np.arange(n_classes)[::-1].copy()
    model.graph.initializer.append(numpy_helper.from_array(order, "reversed"))
    onnx.checker.check_model(model)
    labels = list(manifest.classes.strings)[::-1], list(manifest.classes.integers)[::-1]
    manifest.classes.CopyFrom(Classes(strings=labels[0], integers=labels[1]))
    return write_bundle(model, manifest, folder)


def coverage_at_risk(probabilities, y, risk):
    """The largest coverage of a threshold with at most this error."""
    curve = risk_coverage_curve(probabilities, y)
    return curve.coverage[curve.risk <= risk].max(initial=0.0)


def test_what_is_measured_is_what_the_metrics_say(bundles, rows, found):
    X, y = rows
    for bundle, side in zip(bundles, ("a", "b"), strict=True):
        model, manifest = read_bundle(bundle)
        probabilities = Subject(model, manifest).predict(X).probabilities
        for name, value in summarize(probabilities, y):
            if name in HIGHER_IS_BETTER:
                assert getattr(found.measure(name), side) == pytest.approx(value, abs=1e-12), name
        accepted = probabilities.max(axis=1) >= manifest.threshold.value
        wrong = probabilities.argmax(axis=1) != y
        assert getattr(found.measure("coverage"), side) == accepted.mean()
        assert getattr(found.measure("selective_error"), side) == pytest.approx(wrong[accepted].mean())
        at_error = coverage_at_risk(probabilities, y, found.at_error)
        assert getattr(found.measure("coverage_at_error"), side) == pytest.approx(at_error)
    assert found.at_error == 0.1
    assert found.discordance.both_right + found.discordance.only_a_right == (
        pytest.approx(found.measure("accuracy").a * len(y))
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_counting_a_row_several_times_is_measuring_it_several_times(data):
    n = data.draw(st.integers(1, 30))
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    probabilities = random.dirichlet([0.7, 0.7, 0.7], n).round(data.draw(st.sampled_from([1, 6])))
    probabilities[:, 2] = 1.0 - probabilities[:, :2].sum(axis=1)
    y = random.integers(0, 3, n)
    confidence = probabilities.max(axis=1)
    answers = Answers(probabilities, probabilities.argmax(axis=1), confidence, confidence >= 0.6)
    times = random.multinomial(n, np.full(n, 1 / n))
    measured = Measured(answers, y, np.ones(n, dtype=bool), 0.2).measure(times)
    p, labels = np.repeat(probabilities, times, axis=0), np.repeat(y, times)
    accepted = np.repeat(answers.accepted, times)
    wrong = p.argmax(axis=1) != labels
    expected = [
        accuracy(p, labels),
        log_loss(p, labels),
        brier(p, labels),
        ece(p, labels),
        aurc(p, labels),
        accepted.mean(),
        wrong[accepted].mean() if accepted.any() else np.nan,
        coverage_at_risk(p, labels, 0.2),
    ]
    np.testing.assert_allclose(measured, expected, atol=1e-9)


def test_a_bundle_does_the_same_as_itself(bundles, rows):
    same = compare(bundles[0], bundles[0] / "model.onnx", *rows, n_resamples=200)
    assert same.verdict == f"A and B do the same on these {len(rows[1])} rows."
    assert same.headline == "A and B do the same."
    assert [each.difference for each in same.measures] == [0.0] * len(HIGHER_IS_BETTER)
    assert all(each.interval == (0.0, 0.0) and each.p_value == 1.0 for each in same.measures)
    assert (same.discordance.other_label, same.discordance.p_value) == (0, 1.0)
    assert same.a.graph_digest == same.b.graph_digest


def test_a_comparison_is_shown_in_a_line(found):
    assert repr(found) == f"Comparison(A = tumors/1, B = tumors/2: {found.headline})"
    assert str(found) == f"A = tumors/1, B = tumors/2: {found.verdict}"
    assert found.threshold == (found.a.value, found.b.value)
    assert found.coverage == (found.measure("coverage").a, found.measure("coverage").b)


def test_a_notebook_shows_the_headline_and_a_browser_the_page(found, monkeypatch, tmp_path):
    assert found.headline in found._repr_html_()
    assert "A = tumors/1" in found._repr_html_()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    found.open()
    (page,) = tmp_path.glob("*/comparison.html")
    assert opened == [page.as_uri()]
    assert found.headline in page.read_text()
    monkeypatch.setattr("webbrowser.open", lambda _address: False)
    with pytest.raises(ExportError, match="there is no browser"):
        found.open()


def test_two_good_models_on_few_rows_are_not_told_apart(found):
    assert found.verdict.startswith("No difference beyond noise on these 135 rows: neither A nor B")
    assert found.measure("accuracy").difference != 0


def test_the_same_seed_gives_the_same_comparison(bundles, rows):
    one, other = (compare(*bundles, *rows, n_resamples=100, seed=5) for _ in range(2))
    assert one.measures == other.measures
    assert one.measures != compare(*bundles, *rows, n_resamples=100, seed=6).measures


def test_a_better_model_is_called_better(cancer, bundles, rows, tmp_path):
    poor = make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer.train, np.roll(cancer.y_train, 1))
    calibration = (cancer.held_out[:150], cancer.y_held_out[:150])
    export(poor, tmp_path / "tumors/3", calibration=calibration, threshold=0.9)
    better = compare(tmp_path / "tumors/3", bundles[1], *rows, n_resamples=400)
    for name in ("accuracy", "brier", "aurc", "coverage_at_error"):
        assert better.measure(name).better == "B", name
    assert "B is better in accuracy (" in better.verdict
    assert better.headline.startswith("B is better: right on ")
    worse = compare(bundles[1], tmp_path / "tumors/3", *rows, n_resamples=400)
    assert "A is better in accuracy (" in worse.verdict
    assert worse.measure("accuracy").difference == -better.measure("accuracy").difference


def test_the_winner_over_all_rows_that_loses_in_a_slice_is_named(tmp_path):
    """98 % and 80 % against 95 % and 95 %: the first wins overall only because most rows are of one kind."""
    y = np.tile([0, 1], 1000)
    region = np.where(np.arange(2000) < 1800, "north", "south")
    a, b = y.copy(), y.copy()
    a[:36] = 1 - y[:36]
    b[100:190] = 1 - y[100:190]
    a[1800:1840] = 1 - y[1800:1840]
    b[1900:1910] = 1 - y[1900:1910]
    table = np.column_stack([a, b]).astype(float)
    found = compare(
        follower(0, tmp_path / "m/1"), follower(1, tmp_path / "m/2"), table, y, slices={"region": region}
    )
    north, south = found.slices
    assert (north.accuracy_a, north.accuracy_b) == (0.98, 0.95)
    assert (south.accuracy_a, south.accuracy_b) == (0.8, 0.95)
    assert found.measure("accuracy").a == 0.962 > found.measure("accuracy").b == 0.95
    assert (found.ahead, north.better, south.better) == ("A", "A", "B")
    reversal = (
        "But A, right more often over all rows, loses in region = south (accuracy of A 80.0%, of B 95.0%,"
        " 200 rows)."
    )
    assert reversal in found.verdict
    assert ", but not everywhere: see " in found.headline
    assert "\n" not in found.headline
    assert len(found.headline) < 110
    assert "But" not in compare(tmp_path / "m/1", tmp_path / "m/2", table, y).verdict


def test_a_slice_that_is_lost_by_a_row_or_two_is_said_to_be_noise(tmp_path):
    y = np.tile([0, 1], 100)
    a, b = y.copy(), y.copy()
    a[:30] = 1 - y[:30]
    b[190:192] = 1 - y[190:192]
    table = np.column_stack([a, b]).astype(float)
    slices = {"kind": np.where(np.arange(200) < 180, "x", "y")}
    found = compare(follower(0, tmp_path / "m/1"), follower(1, tmp_path / "m/2"), table, y, slices=slices)
    assert "B is better in accuracy" in found.verdict
    assert "But" not in found.verdict
    assert found.verdict.endswith("B is behind, within noise, in kind = y.")


def test_chance_is_called_a_difference_no_more_often_than_promised():
    """Two models that are wrong independently, equally often, with equal confidences."""
    random = np.random.default_rng(0)
    n, repetitions, claimed = 100, 40, 0
    for repetition in range(repetitions):
        sides = []
        for _ in range(2):
            confidence = random.uniform(0.5, 1.0, n)
            predicted = np.where(random.random(n) < confidence, 0, 1)
            p = np.where(predicted == 0, confidence, 1 - confidence)
            answers = Answers(np.column_stack([p, 1 - p]), predicted, confidence, confidence >= 0.8)
            sides.append(Measured(answers, np.zeros(n, dtype=np.int64), np.ones(n, dtype=bool), 0.2))
        found = differences(*sides, n_resamples=400, seed=repetition)
        claimed += min(holm_corrected([each.p_value for each in found.values()])) <= 0.05
    assert claimed <= binom.ppf(0.999, repetitions, 0.05)


def test_exact_p_values_are_those_of_the_books():
    assert exact_p_value(0, 0) == 1.0
    assert exact_p_value(0, 5) == pytest.approx(2 / 2**5)
    assert exact_p_value(8, 2) == exact_p_value(2, 8) == pytest.approx(2 * binom.cdf(2, 10, 0.5))


def test_classes_in_another_order_are_matched_by_their_labels(wine, tmp_path):
    model = GaussianNB().fit(wine.train, wine.y_train)
    held_out = (wine.held_out, wine.y_held_out)
    path = export(model, tmp_path / "m/1", calibration=held_out, threshold=0.8).path
    other = permuted(path, tmp_path / "m/2")
    found = compare(path, other, *held_out, n_resamples=50)
    assert found.verdict.startswith("A and B do the same")
    assert found.discordance.other_label == 0
    assert compare(other, path, *held_out, n_resamples=50).measure("accuracy").a > 0.8


def test_bundles_that_answer_another_question_are_refused(bundles, wine, rows, cancer, tmp_path):
    model = GaussianNB().fit(wine.train, wine.y_train)
    export(model, tmp_path / "wine/1", calibration=(wine.held_out, wine.y_held_out), threshold=0.8)
    with pytest.raises(BundleError, match=r"different classes, 0, 1 in A \(tumors/1\) and barbera, barolo"):
        compare(bundles[0], tmp_path / "wine/1", *rows)
    few = LogisticRegression(max_iter=5000).fit(cancer.train[:, :4], cancer.y_train)
    export(
        few,
        tmp_path / "few/1",
        calibration=(cancer.held_out[:, :4], cancer.y_held_out),
        threshold=0.8,
        report=False,
    )
    with pytest.raises(BundleError, match=r"only A \(tumors/1\) reads 'features': numbers, \[30\], only B"):
        compare(bundles[0], tmp_path / "few/1", *rows)
    (tmp_path / "few/1/model.onnx").write_bytes(b"\x00")
    with pytest.raises(BundleError, match="not an ONNX file"):
        compare(bundles[0], tmp_path / "few/1", *rows)


def test_a_row_that_one_of_them_cannot_score_counts_as_abstained_and_in_nothing_else(
    bundles, cancer, rows, tmp_path
):
    tolerant = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(
        np.where(np.random.default_rng(0).random(cancer.train.shape) < 0.02, np.nan, cancer.train),
        cancer.y_train,
    )
    with_missing = cancer.held_out[:150].copy()
    with_missing[:20, 3] = np.nan
    export(tolerant, tmp_path / "m/1", calibration=(with_missing, cancer.y_held_out[:150]), threshold=0.5)
    X, y = rows[0].copy(), rows[1]
    X[:10, 3] = np.nan
    X[10:12, 0] = np.inf
    found = compare(bundles[0], tmp_path / "m/1", X, y, n_resamples=50)
    assert (found.a.n_unscored, found.b.n_unscored) == (12, 2)
    assert found.n_compared == len(y) - 12
    assert found.measure("coverage").b == (len(y) - 2) / len(y)
    assert "12 of 135 rows have no probabilities from A (12) or from B (2)" in found.remarks[0]
    clean = compare(bundles[0], tmp_path / "m/1", X[12:], y[12:], n_resamples=50)
    for name in ("accuracy", "log_loss", "brier", "ece_15", "aurc"):
        assert found.measure(name).b == pytest.approx(clean.measure(name).b)
    with pytest.raises(RowsError, match="no row has probabilities from both bundles"):
        compare(bundles[0], tmp_path / "m/1", np.full_like(X, np.nan), y)


def test_offline_answers_are_the_servers_decisions(bundles, rows):
    X = rows[0].copy()
    X[3, 2], X[5, 1] = np.nan, -np.inf
    for bundle in bundles:
        model, manifest = read_bundle(bundle)
        answers = Subject(model, manifest).predict(X)
        specs = [Spec.of(spec) for spec in manifest.inputs]
        decided = decide_batch(
            answers.probabilities, [manifest.threshold.value] * len(X), valid_rows({"features": X}, specs)
        )
        assert answers.accepted.tolist() == decided.accepted
        assert answers.predicted[answers.accepted].tolist() == [
            index for index, accepted in zip(decided.class_index, decided.accepted, strict=True) if accepted
        ]
        takes_nan = manifest.inputs[0].missing_values_allowed
        assert ((answers.predicted[3] == NO_CLASS), answers.predicted[5]) == (not takes_nan, NO_CLASS)
        assert 0 < answers.accepted.sum() < len(X)


def test_thresholds_may_differ_by_predicted_class_and_by_slice(bundles, rows):
    X = rows[0]
    model, manifest = read_bundle(bundles[0])
    probabilities = Subject(model, manifest).predict(X).probabilities
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    manifest.threshold.value = 0.95
    manifest.threshold.subsets.extend([SubsetThreshold(value=0.6), SubsetThreshold(value=0.9)])
    manifest.threshold.subdivision = Subdivision.SUBDIVISION_PREDICTED_CLASS
    by_class = Subject(model, manifest).predict(X)
    np.testing.assert_array_equal(by_class.accepted, confidence >= np.array([0.6, 0.9])[predicted])

    manifest.threshold.subdivision = Subdivision.SUBDIVISION_SLICE
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["features", "first"], ["radius"], axis=1),
            helper.make_node("Floor", ["radius"], ["floor"]),
            helper.make_node("Mod", ["floor", "three"], ["remainder"], fmod=1),
            helper.make_node("Sub", ["remainder", "one"], ["shifted"]),
            helper.make_node("Cast", ["shifted"], ["subset"], to=TensorProto.INT64),
        ]
    )
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0), "first"),
            numpy_helper.from_array(np.array(3.0), "three"),
            numpy_helper.from_array(np.array(1.0), "one"),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("subset", TensorProto.INT64, [None]))
    onnx.checker.check_model(output_of(model, "subset"))
    subset = np.floor(X[:, 0]).astype(int) % 3 - 1
    assert set(subset) == {-1, 0, 1}
    by_slice = Subject(model, manifest).predict(X)
    np.testing.assert_array_equal(by_slice.accepted, confidence >= np.array([0.6, 0.9, 0.95])[subset])


def test_a_bundle_that_accepts_nothing_has_no_error_to_show(bundles, rows, tmp_path):
    model, manifest = read_bundle(bundles[1])
    manifest.threshold.value = 2.0
    found = compare(bundles[0], write_bundle(model, manifest, tmp_path / "m/1"), *rows, n_resamples=50)
    assert found.measure("coverage").b == 0.0
    error = found.measure("selective_error")
    assert (error.b, error.difference, error.interval, error.better) == (None, None, None, None)
    assert json.loads(to_json(found))["measures"][6]["b"] is None
    assert "–" in to_html(found)


def test_what_cannot_be_compared_is_refused(bundles, rows):
    X, y = rows
    for arguments, error, message in (
        ({"labels": y + 1}, RowsError, "labels 2 were not seen"),
        ({"rows": X[:, :5]}, RowsError, r"wants the shape \[rows, 30\], got \[135, 5\]"),
        (
            {"slices": ["region"]},
            RowsError,
            r"no column 'region' to slice by; pass a DataFrame, or slices=\{name: values\}",
        ),
        ({"slices": {"x": y[:3]}}, RowsError, "slice 'x' has 3 values for 135 rows"),
        ({"slices": {"x": X[:, 0]}}, RowsError, "different values; at most 100 slices are compared"),
        ({"at_error": 1.0}, ExportError, "at_error is 1.0; expected a share"),
        ({"n_resamples": 0}, ExportError, "n_resamples is 0; expected a whole number, at least 1"),
        ({"n_resamples": 1.5}, ExportError, "n_resamples is 1.5; expected a whole number"),
        ({"at_error": "0.05"}, ExportError, "at_error is '0.05'; expected a share"),
    ):
        with pytest.raises(error, match=message):
            compare(*bundles, **({"rows": X, "labels": y} | arguments))


def test_slices_in_another_order_than_their_rows_are_refused(tmp_path):
    y = np.tile([0, 1], 20)
    rows = pd.DataFrame(np.column_stack([y, y]).astype(float), columns=["a", "b"])
    kind = pd.Series(np.where(np.arange(40) < 10, "x", "y"))
    bundle = follower(0, tmp_path / "m/1")
    for each in (kind, kind.to_numpy()[::-1], kind.set_axis(kind.index + 1)):
        assert compare(bundle, bundle, rows, y, slices={"kind": each}, n_resamples=10).slices
    with pytest.raises(RowsError, match="values of slice 'kind' have the index of the rows, but in another"):
        compare(bundle, bundle, rows, y, slices={"kind": kind.iloc[::-1]})


@pytest.fixture(scope="module")
def churn(customers, tmp_path_factory):
    """churn/1 and churn/2, and a file of rows with their labels."""
    folder = tmp_path_factory.mktemp("churn")
    columns, X, y = ["age", "income"], customers.held_out, customers.y_held_out
    for version, model in (("1", GaussianNB()), ("2", LogisticRegression(max_iter=1000))):
        model.fit(customers.train[columns], customers.y_train)
        export(model, folder / "churn" / version, calibration=(X[:200], y[:200]), threshold=0.6)
    X[200:].assign(churns=y[200:]).to_parquet(folder / "rows.parquet")
    return folder


@pytest.fixture
def command(churn, monkeypatch):
    monkeypatch.chdir(churn)
    monkeypatch.setenv("COLUMNS", "80")
    return ["compare", "churn/1", "churn/2", "--data", "rows.parquet", "--target", "churns"]


def test_from_the_command_line_within_80_columns(command, churn, capsys):
    more = ["--slices", "city,plan", "--at-error", "0.3", "--json", "out.json", "--html", "out.html"]
    assert main([*command, *more]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for text in (
        "churn/1",
        "GaussianNB",
        "coverage at 30% error",
        "東京",
        "(missing)",
        "only A",
        "64 rows",
        "McNemar",
    ):
        assert text in shown
    data = json.loads((churn / "out.json").read_text())
    assert data["n_rows"] == 250
    assert {each["value"] for each in data["slices"]} >= {"basic", "plus", "(missing)", "Málaga"}
    assert data["verdict"].split()[0] in shown
    assert (churn / "out.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--slices", "country"], "rows.parquet has no column 'country'"),
        (["--slices", "income"], "column 'income' has"),
        (["--html", "nowhere/out.html"], "nowhere/out.html cannot be written"),
        (["--target", "y"], "has no column 'y'"),
        (["--data", "none.parquet"], "none.parquet does not exist"),
    ],
)
def test_the_command_line_says_what_is_wrong(command, more, message, capsys):
    assert main([*command, *more]) == 1
    assert message in capsys.readouterr().err


def test_columns_that_a_bundle_names_have_to_be_there(churn, command, capsys):
    pd.read_parquet("rows.parquet").drop(columns="age").to_parquet("short.parquet")
    assert main([*command, "--data", "short.parquet"]) == 1
    assert "short.parquet has no column 'age'" in capsys.readouterr().err


@needs("chromium")
def test_the_page_opens_without_an_error_and_asks_nobody_for_anything(found, tmp_path):
    path = tmp_path / "comparison.html"
    path.write_text(to_html(found), encoding="utf-8")
    said, asked = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        assert page.locator("h2").count() == 6
        assert page.locator("svg[role=img]").count() == 4
        assert page.locator(".lead").inner_text() == found.headline
        assert page.get_by_text(found.verdict).is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert said == []
    assert asked == [path.as_uri()]


@pytest.mark.parametrize("columns", [list("abcd"), list("dcba"), ["x", *"badc"]], ids="".join)
def test_a_bundle_without_names_is_compared_in_the_order_of_one_with_names(cancer, tmp_path, columns):
    model = LogisticRegression(max_iter=5000).fit(cancer.train[:, :4], cancer.y_train)
    X, y = cancer.held_out[:, :4], cancer.y_held_out
    table = pd.DataFrame(X, columns=list("abcd"))
    export(model, tmp_path / "m/1", calibration=(X, y), threshold=0.8, report=False)
    export(model, tmp_path / "m/2", calibration=(table, y), threshold=0.8, report=False)
    rows = table.assign(x=0.0)[columns]
    rows.assign(y=y).to_csv(tmp_path / "rows.csv", index=False)
    for pair in (("1", "2"), ("2", "1")):
        paths = [str(tmp_path / "m" / version) for version in pair]
        found = compare(*paths, rows, y, n_resamples=10)
        assert found.measure("accuracy").difference == 0
        assert found.measure("accuracy").a > 0.8
        assert main(["compare", *paths, "--data", str(tmp_path / "rows.csv"), "--target", "y"]) == 0


@pytest.mark.parametrize("names_columns", [True, False])
def test_a_bundle_with_thresholds_by_slice_is_compared_with_one_without(cancer, tmp_path, names_columns):
    columns = [f"c{i}" for i in range(30)]
    table = pd.DataFrame(cancer.held_out, columns=columns)
    train = pd.DataFrame(cancer.train, columns=columns) if names_columns else cancer.train
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, cancer.y_train)
    sliced = table.assign(ward=np.where(np.arange(len(table)) % 2 == 0, "east", "west"))
    plain = table if names_columns else table.to_numpy()
    export(model, tmp_path / "m/1", calibration=(plain, cancer.y_held_out), max_error=0.1, report=False)
    export(
        model,
        tmp_path / "m/2",
        calibration=(sliced, cancer.y_held_out),
        max_error=0.2,
        slice_by="ward",
        report=False,
    )
    for pair in (("1", "2"), ("2", "1")):
        found = compare(*(tmp_path / "m" / version for version in pair), sliced, cancer.y_held_out)
        assert found.measure("accuracy").difference == 0
        assert found.discordance.other_label == 0
    sliced.assign(y=cancer.y_held_out).to_csv(tmp_path / "rows.csv", index=False)
    paths = [str(tmp_path / "m" / version) for version in "12"]
    assert main(["compare", *paths, "--data", str(tmp_path / "rows.csv"), "--target", "y"]) == 0


def test_a_stricter_gate_on_the_same_model_is_no_better_model(bundles, rows, tmp_path):
    model, manifest = read_bundle(bundles[0])
    for number, value in ((1, 0.5), (2, 0.97)):
        manifest.threshold.value = value
        write_bundle(model, manifest, tmp_path / "m" / str(number))
    for one, other in ((1, 2), (2, 1)):
        found = compare(tmp_path / f"m/{one}", tmp_path / f"m/{other}", *rows, n_resamples=400)
        assert found.measure("coverage").better == ("A" if one == 1 else "B")
        assert found.headline.startswith(
            "Neither model is shown to be better, but the gates differ: answered"
        )
