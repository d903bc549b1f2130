"""A release that is blocked writes nothing but the results of its checks."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tamiz_convert import BlockedError, RowsError, SpecificationError, export, read_manifest, recalibrate
from tamiz_convert.__main__ import main
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.check_result import CheckResult
from tamiz_convert.checks import write_json, write_junit
from tamiz_convert.pipeline.release import Release
from tamiz_convert.rows.held_out import SplitPlan, held_out

from .applicants import applicants, fitted

PASSES = {"version": 1, "slices": [{"by": ["region"], "metric": "accuracy", "min_lower_bound": 0.8}]}
FAILS = {"version": 1, "slices": [{"by": ["region"], "metric": "accuracy", "min_lower_bound": 0.99}]}


@pytest.fixture(scope="module")
def model():
    return fitted(*applicants(2000, 0))


@pytest.fixture(scope="module")
def calibration():
    return applicants(2000, 1)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "models" / "credit" / "1"


def test_a_passed_release_is_written_with_its_results(model, calibration, output):
    report = export(model, output, calibration=calibration, threshold=0.8, checks=PASSES)
    assert output.is_dir()
    assert [each.status for each in report.checks] == ["passed", "passed"]


def test_a_blocked_release_leaves_nothing_on_disk(model, calibration, output, tmp_path):
    with pytest.raises(BlockedError, match="2 of 2 release checks are not passed") as blocked:
        export(model, output, calibration=calibration, threshold=0.8, checks=FAILS)
    assert list(tmp_path.iterdir()) == []
    assert [each.status for each in blocked.value.results] == ["failed", "failed"]
    assert "accuracy, region = north" in str(blocked.value)


def test_a_blocked_release_leaves_the_bundle_that_was_there(model, calibration, output):
    export(model, output, calibration=calibration, threshold=0.8)
    before = (output / "model.onnx").read_bytes()
    with pytest.raises(BlockedError):
        export(model, output, calibration=calibration, threshold=0.7, checks=FAILS, replace=True)
    assert (output / "model.onnx").read_bytes() == before


def test_a_mistake_in_the_specification_is_found_before_anything_is_converted(calibration, output):
    with pytest.raises(SpecificationError, match="unknown key"):
        export(None, output, calibration=calibration, threshold=0.8, checks={"version": 1, "slises": []})


def test_a_recalibrated_bundle_is_held_to_the_checks_as_well(model, calibration, output):
    export(model, output, calibration=calibration, threshold=0.8)
    with pytest.raises(BlockedError):
        recalibrate(output, output.parent / "2", calibration=applicants(1500, 5), threshold=0.8, checks=FAILS)
    assert not (output.parent / "2").exists()


def test_the_checks_see_their_own_rows_if_there_are_any(model, calibration, output):
    own = applicants(700, 9)
    report = export(model, output, calibration=calibration, threshold=0.8, checks=PASSES, check_rows=own)
    assert sum(each.n_rows for each in report.checks) == 700
    options = {"calibration": calibration, "threshold": 0.8, "checks": PASSES, "replace": True}
    with pytest.raises(RowsError, match="check rows are calibration rows as well"):
        export(model, output, **options, check_rows=calibration)
    more = calibration[0].assign(shop="a")[["shop", *calibration[0].columns[::-1]]]
    other = options | {"calibration": own, "certification": calibration}
    with pytest.raises(RowsError, match="check rows are certification rows as well"):
        export(model, output, **other, check_rows=(more, calibration[1]))
    with pytest.raises(RowsError, match="check rows are training rows as well"):
        export(model, output, **options, check_rows=own, train=own[0][:20])


def test_the_checked_graph_answers_as_the_written_one(model, calibration, output):
    path = export(model, output, calibration=calibration, threshold=0.8).path
    table, _ = applicants(300, 8)
    answers = Subject.read(path).predict(table)
    expected = model.predict(table)
    assert (Subject.read(path).classes[answers.predicted] == expected).all()
    np.testing.assert_array_equal(answers.accepted, answers.confidence >= read_manifest(path).threshold.value)


def test_simpler_rules_are_measured_without_any_checks(model, calibration, output):
    path = export(model, output, calibration=calibration, threshold=0.8).path
    subject = Subject.read(path)
    parts = held_out(calibration, None, None, subject.classes, SplitPlan())
    release = Release.of(None, {"debt": lambda rows: np.where(rows["debt"] > 20, "default", "repays")}, None)
    outcome = release.hold(subject, parts, 0)
    assert outcome.checks == ()
    measured = [(each.name, each.n_rows) for each in outcome.baselines]
    assert measured == [("majority", 1400), ("debt", 1400), ("this bundle", 1400)]
    accepted = subject.predict(parts.certifying.rows).accepted
    most_frequent = parts.certifying.y == np.bincount(parts.fitting.y).argmax()
    assert outcome.baselines[0].n_accepted == accepted.sum()
    assert outcome.baselines[0].accuracy_accepted == pytest.approx(most_frequent[accepted].mean())
    assert outcome.baselines[1].accuracy > outcome.baselines[0].accuracy


def result(name, status, severity="block", on_inconclusive="warn", message="as <told> & \x07seen"):
    return CheckResult(name, "slices", severity, status, 10, 0.5, None, 0.9, 0.1, message, on_inconclusive)


RESULTS = [
    result("good", "passed"),
    result("bad", "failed"),
    result("doubtful", "failed", severity="warn"),
    result("few", "inconclusive"),
    result("few, by policy", "inconclusive", on_inconclusive="block"),
]


def test_junit_reads_back(tmp_path):
    write_junit(RESULTS, tmp_path / "junit.xml")
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert root.tag == "testsuites"
    assert {key: root.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "5",
        "failures": "2",
        "skipped": "1",
        "errors": "0",
    }
    (suite,) = root
    assert (suite.tag, suite.get("name"), suite.get("tests")) == ("testsuite", "slices", "5")
    assert [case.get("classname") for case in suite] == ["tamiz.slices"] * 5
    children = {case.get("name"): [child.tag for child in case] for case in suite}
    assert children == {
        "good": ["system-out"],
        "bad": ["failure", "system-out"],
        "doubtful": ["system-out"],
        "few": ["skipped", "system-out"],
        "few, by policy": ["failure", "system-out"],
    }
    assert suite.find("testcase[@name='bad']/failure").get("message") == "as <told> &  seen"
    assert suite.find("testcase[@name='doubtful']/system-out").text.startswith("warning: ")


def test_sections_are_suites_of_their_own(model, calibration, output, tmp_path):
    asked = PASSES | {"selective": {"min_coverage": 0.1}, "parity": {}}
    report = export(model, output, calibration=calibration, threshold=0.8, checks=asked)
    write_junit(report.checks, tmp_path / "junit.xml")
    suites = ET.parse(tmp_path / "junit.xml").getroot()
    assert [suite.get("name") for suite in suites] == ["parity", "selective", "slices"]


def test_json_reads_back(tmp_path):
    write_json(RESULTS, tmp_path / "checks.json")
    found = json.loads((tmp_path / "checks.json").read_text())
    assert found["blocked"] is True
    assert [each["blocks"] for each in found["checks"]] == [False, True, False, False, True]
    assert found["checks"][0]["limit"] == 0.9


@pytest.fixture
def files(model, calibration, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    for name, (table, labels) in {"calibration": calibration, "fresh": applicants(1500, 7)}.items():
        table.assign(y=labels, shop=np.where(np.arange(len(table)) % 2, "a", "b")).to_parquet(
            tmp_path / f"{name}.parquet"
        )
    (tmp_path / "passes.yaml").write_text(
        "version: 1\nslices: [{by: [shop], metric: accuracy, min_lower_bound: 0.8}]\n"
    )
    (tmp_path / "fails.yaml").write_text(
        "version: 1\nslices: [{by: [shop], metric: accuracy, min_lower_bound: 0.99}]\n"
    )
    return tmp_path


def export_command(files, checks):
    return [
        "sklearn",
        str(files / "model.joblib"),
        "--trust-pickle",
        "--calibration",
        str(files / "calibration.parquet"),
        "--target=y",
        "--threshold=0.8",
        f"--checks={files / checks}",
        f"--junit={files / 'junit.xml'}",
        f"--checks-json={files / 'checks.json'}",
        "--output",
        str(files / "models" / "credit" / "1"),
    ]


def test_the_command_line_writes_results_also_when_blocked(files, capsys):
    assert main(export_command(files, "fails.yaml")) == 1
    out, err = capsys.readouterr()
    assert "accuracy, shop = a" in out
    assert "2 checks: 0 passed, 0 warnings, 2 block the release" in out
    assert "2 of 2 release checks are not passed" in err
    assert not (files / "models").exists()
    assert json.loads((files / "checks.json").read_text())["blocked"] is True
    assert ET.parse(files / "junit.xml").getroot().get("failures") == "2"
    assert main(export_command(files, "passes.yaml")) == 0
    assert json.loads((files / "checks.json").read_text())["blocked"] is False
    assert "2 checks: 2 passed, 0 warnings, 0 block the release" in capsys.readouterr().out


def test_a_slice_column_may_be_one_that_the_model_does_not_read(files):
    assert main(export_command(files, "passes.yaml")) == 0
    names = [spec.name for spec in read_manifest(files / "models/credit/1").inputs]
    assert "shop" not in names


def test_a_bundle_on_disk_is_checked_by_a_command(files, capsys):
    assert main(export_command(files, "passes.yaml")) == 0
    command = ["check", str(files / "models/credit/1"), f"--data={files / 'fresh.parquet'}", "--target=y"]
    assert main([*command, f"--checks={files / 'passes.yaml'}"]) == 0
    capsys.readouterr()
    junit = files / "second.xml"
    assert main([*command, f"--checks={files / 'fails.yaml'}", f"--junit={junit}"]) == 1
    assert "2 of 2 release checks are not passed" in capsys.readouterr().err
    assert ET.parse(junit).getroot().get("failures") == "2"


def test_a_bundle_of_a_matrix_takes_its_columns_in_order(files, capsys):
    table, labels = applicants(1200, 0)
    numbers = table[["income", "debt"]]
    calibration, y = applicants(800, 1)
    plain = LogisticRegression().fit(numbers.to_numpy(), labels)
    export(
        plain,
        files / "models/plain/1",
        calibration=(calibration[["income", "debt"]].to_numpy(), y),
        threshold=0.8,
    )
    (files / "numbers.yaml").write_text(
        "version: 1\n"
        "perturbation:\n"
        "- {columns: [0], transform: {gaussian: {rel_std: 0.001}}, max_label_flip_rate_ub: 0.05}\n"
    )
    command = ["check", str(files / "models/plain/1"), f"--data={files / 'fresh.parquet'}", "--target=y"]
    checked = [*command, f"--checks={files / 'numbers.yaml'}"]
    assert main([*checked, "--features=income,debt"]) == 0
    assert main(checked) == 1
    assert "row 0: 'south' does not fit float64" in capsys.readouterr().err
