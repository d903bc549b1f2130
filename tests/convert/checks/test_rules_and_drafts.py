"""Rules that a specification names, limits by true class, and a first specification from a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from tamiz_convert import SpecificationError, check_bundle, export
from tamiz_convert.__main__ import main
from tamiz_convert.bundles.subject import Subject

from .applicants import applicants, fitted

DECISIONS = "region,debtor,answer\nnorth,1,default\nnorth,0,repays\nsouth,1,default\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "credit" / "1"
    model = fitted(*applicants(1500, 0))
    return export(
        model, folder, calibration=applicants(1200, 1), threshold=0.8, calibrator="temperature"
    ).path


@pytest.fixture(scope="module")
def rows():
    table, labels = applicants(1500, 2)
    return table.assign(debtor=(table["debt"] > 20).astype(int)), labels


def specification(folder, **sections):
    path = folder / "release.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **sections}, allow_unicode=True))
    return path


def test_a_rule_may_be_a_column_or_a_file_of_decisions(bundle, rows, tmp_path):
    table, labels = rows
    (tmp_path / "decisions.csv").write_text(DECISIONS)
    asked = specification(
        tmp_path,
        rules={
            "desk": {"file": "decisions.csv", "by": ["region", "debtor"], "answer": "answer"},
            "column": {"column": "old"},
        },
        baseline=[{"against": "desk", "severity": "warn"}, {"against": "column", "severity": "warn"}],
    )
    old = np.where(table["debtor"] == 1, "default", "repays")
    desk = np.where((table["region"] == "south") & (table["debtor"] == 0), None, old)
    found = check_bundle(bundle, table.assign(old=old), labels, asked)
    answered = Subject.read(bundle).predict(table)
    right = Subject.read(bundle).classes[answered.predicted] == labels
    gains = [right.mean() - (rule == labels).mean() for rule in (desk, old)]
    assert [each.observed for each in found] == pytest.approx(gains)
    assert [each.title for each in found] == ["baseline: against desk", "baseline: against column"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"file": "none.csv", "by": ["region"], "answer": "a"}, "none.csv"),
        ({"file": "d.csv", "by": ["region", "debtor"], "answer": "nope"}, "has no column 'nope'"),
        (
            {"file": "d.csv", "by": ["regoin"], "answer": "answer"},
            "no column 'regoin' (did you mean 'region'?)",
        ),
        (
            {"file": "d.csv", "by": ["region"], "answer": "answer"},
            "decides twice on north, the second time in row 1",
        ),
        (
            {"file": "odd.csv", "by": ["region"], "answer": "answer"},
            "predicts 'perhaps', which is not a class",
        ),
        ({"file": "d.csv"}, "a file needs by"),
        ({"column": "old", "by": ["region"]}, "by and answer belong to a file"),
        ({}, "expected exactly one of column, file"),
        ("d.csv", "rules.desk: expected keys with values"),
        ({"files": "d.csv"}, "unknown key 'files' (did you mean 'file'?)"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_its_place(bundle, rows, tmp_path, rule, said):
    (tmp_path / "d.csv").write_text(DECISIONS)
    (tmp_path / "odd.csv").write_text("region,answer\nnorth,perhaps\nsouth,repays\n")
    asked = specification(tmp_path, rules={"desk": rule}, baseline=[{"against": "desk"}])
    with pytest.raises(SpecificationError) as refused:
        check_bundle(bundle, *rows, asked)
    assert said in str(refused.value)
    assert "desk" in str(refused.value)


@pytest.mark.parametrize(("name", "baselines"), [("majority", None), ("desk", {"desk": "debtor"})])
def test_a_name_is_given_once(bundle, rows, tmp_path, name, baselines):
    asked = specification(tmp_path, rules={name: {"column": "debtor"}}, baseline=[{"against": name}])
    with pytest.raises(SpecificationError, match=f"rules.{name}: a rule of this name is"):
        check_bundle(bundle, *rows, asked, baselines=baselines)


def test_the_command_keeps_the_columns_of_rules(bundle, rows, tmp_path, capsys):
    table, labels = rows
    (tmp_path / "decisions.csv").write_text(DECISIONS)
    desk = {"file": "decisions.csv", "by": ["region", "debtor"], "answer": "answer"}
    asked = specification(tmp_path, rules={"desk": desk}, baseline=[{"against": "desk", "severity": "warn"}])
    table.assign(outcome=labels).to_csv(tmp_path / "rows.csv", index=False)
    command = ["check", str(bundle.parent), "--data", str(tmp_path / "rows.csv"), "--target", "outcome"]
    assert main([*command, "--checks", str(asked)]) == 0
    assert "baseline: against desk" in capsys.readouterr().out


@pytest.mark.parametrize("metric", ["accuracy", "coverage", "selective_risk"])
def test_limits_by_true_class_count_the_rows_of_that_class(bundle, rows, metric):
    table, labels = rows
    limit = {"max_upper_bound": 0.5} if metric == "selective_risk" else {"min_lower_bound": 0.1}
    found = check_bundle(bundle, table, labels, {"version": 1, "true_class": [{"metric": metric, **limit}]})
    subject = Subject.read(bundle)
    answered = subject.predict(table)
    right, accepted = subject.classes[answered.predicted] == labels, answered.accepted
    for each, label in zip(found, ["default", "repays"], strict=True):
        truly = labels == label
        expected = {
            "accuracy": right[truly].mean(),
            "coverage": accepted[truly].mean(),
            "selective_risk": 1 - right[truly & accepted].mean(),
        }
        assert each.title == f"true_class: {metric}, true class = {label}"
        assert each.observed == pytest.approx(expected[metric])


@pytest.mark.parametrize("classes", [["repays"], "repays"])
def test_a_limit_may_be_for_some_classes_only(bundle, rows, classes):
    check = {"metric": "accuracy", "min_lower_bound": 0.1, "classes": classes}
    (found,) = check_bundle(bundle, *rows, {"version": 1, "true_class": [check]})
    assert found.name == "accuracy, true class = repays"
    with pytest.raises(
        SpecificationError, match=r"true_class\[0\].classes: there is no class 'repay' \(did you"
    ):
        check_bundle(bundle, *rows, {"version": 1, "true_class": [check | {"classes": ["repay"]}]})


def new_checks(folder, table, *flags, target="y"):
    table.to_csv(folder / "rows.csv", index=False)
    output = folder / "release.yaml"
    return main(
        ["new-checks", str(folder / "rows.csv"), "--target", target, "--output", str(output), *flags]
    ), output


def test_a_draft_runs_on_the_table_that_it_was_made_from(bundle, rows, tmp_path):
    table, labels = rows
    status, path = new_checks(tmp_path, table.assign(y=labels))
    assert status == 0
    found = check_bundle(bundle, table, labels, path)
    kinds = {each.kind for each in found}
    assert kinds >= {"parity", "calibration", "selective", "baseline", "true_class", "slices", "perturbation"}
    drafted = yaml.safe_load(path.read_text())
    assert [each["by"] for each in drafted["slices"] if "debtor" not in each["by"]][:1] == [["region"]]
    assert set(drafted["perturbation"][0]["columns"]) == {"income", "debt"}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"n": np.arange(300), "y": np.arange(300) % 3}),
        pd.DataFrame({"a: b, [c]": ["x", "y"] * 300, "no": [0.5, 1.5] * 300, "y": ["yes", "no"] * 300}),
        pd.DataFrame({"flag": [True, False] * 150, "y": ["a\nb", "# c"] * 150}),
    ],
)
def test_any_table_has_a_draft_that_can_be_read(table, tmp_path):
    status, path = new_checks(tmp_path, table)
    assert status == 0
    assert {"version", "selective", "true_class"} <= set(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("table", "target", "said"),
    [
        (pd.DataFrame({"a": [1, 2], "y": ["x", "x"]}), "y", "holds 1 different labels"),
        (pd.DataFrame({"a": range(300), "y": range(300)}), "y", "holds 300 different labels"),
        (pd.DataFrame({"a": [1, 2], "y": ["x", "z"]}), "why", "why"),
    ],
)
def test_a_table_without_classes_has_none(table, target, said, tmp_path, capsys):
    status, path = new_checks(tmp_path, table, target=target)
    assert status == 1
    assert said in capsys.readouterr().err
    assert not path.exists()


def test_a_draft_does_not_replace_what_is_there(tmp_path, capsys):
    (tmp_path / "release.yaml").write_text("mine")
    status, path = new_checks(tmp_path, pd.DataFrame({"a": [1, 2], "y": ["x", "z"]}))
    assert status == 1
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"
