"""A specification says what is wrong with it, and where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tamiz_convert import SpecificationError, check_bundle, export
from tamiz_convert.checks import Specification, specification_of
from tamiz_convert.checks.transforms import Transform

from .applicants import applicants, fitted

SLICE = {"by": ["region"], "metric": "accuracy", "min_lower_bound": 0.9}
CHANGE = {"columns": ["debt"], "transform": "permute", "max_label_flip_rate_ub": 0.1}
DIRECTION = {"columns": ["debt"], "transform": {"scale": 2}, "max_violation_rate_ub": 0.1}


@pytest.mark.parametrize("source", [None, ["release.yaml"], 7])
def test_what_is_no_specification_is_refused(source):
    with pytest.raises(SpecificationError, match="must be a YAML file, a mapping or a Specification; got"):
        specification_of(source)


def refused(asked, message):
    with pytest.raises(SpecificationError, match=re.escape(message)):
        specification_of(asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"slises": []}, "unknown key 'slises' (did you mean 'slices'?); known keys are version, alpha"),
        (
            {"slices": [SLICE, SLICE | {"metrik": 1}]},
            "slices[1]: unknown key 'metrik' (did you mean 'metric'?)",
        ),
        ({"calibration": {"ece": {"bin": 15}}}, "calibration.ece: unknown key 'bin' (did you mean 'bins'?)"),
        ({"folder": "x"}, "unknown key 'folder'"),
        ({"slices": [{"by": ["region"]}]}, "slices[0]: the key 'metric' is missing"),
        ({"slices": SLICE}, "slices: expected a list (each entry begins with a dash)"),
        ({"slices": ["region"]}, "slices[0]: expected keys with values, got 'region'"),
        ({"alpha": "small"}, "alpha: expected a number, got 'small'"),
        ({"alpha": 1.5}, "alpha is 1.5; expected a number above 0 and below 1"),
        (
            {"slices": [SLICE | {"metric": "acuracy"}]},
            "slices[0].metric: got 'acuracy' (did you mean 'accuracy'?)",
        ),
        ({"slices": [SLICE | {"min_n": 2.5}]}, "slices[0].min_n: expected a whole number, got 2.5"),
        ({"slices": [SLICE | {"name": True}]}, "slices[0].name: expected text, got True; YAML takes yes, no"),
        ({"slices": [SLICE | {"by": [True]}]}, "slices[0].by[0]: expected text or a whole number, got True"),
        (
            {"slices": [SLICE | {"severity": "fatal"}]},
            "slices[0].severity: got 'fatal'; expected block or warn",
        ),
        ({"slices": [SLICE | {"min_lower_bound": 1.0}]}, "no number of rows proves a rate of exactly 0 or 1"),
        (
            {"slices": [SLICE | {"min_lower_bound": 90}]},
            "min_lower_bound is 90; expected a number above 0 and below 1, such as 0.9 for 90%",
        ),
        (
            {"slices": [SLICE | {"metric": "selective_risk"}]},
            "the metric selective_risk needs max_upper_bound",
        ),
        (
            {"invariance": [CHANGE | {"transform": "permutte"}]},
            "unknown transform 'permutte' (did you mean 'permute'?)",
        ),
        (
            {"invariance": [CHANGE | {"transform": {"scale": "x"}}]},
            "invariance[0].transform: the transform scale needs a number",
        ),
        (
            {"invariance": [CHANGE | {"transform": {"gaussian": {"std": 1}}}]},
            "the transform gaussian needs {rel_std: SHARE}",
        ),
        ({"invariance": [CHANGE | {"transform": ["swap"]}]}, "expected the name of a transform"),
        (
            {"invariance": [CHANGE | {"columns": []}]},
            "invariance[0]: columns is empty; expected at least one",
        ),
        ({"perturbation": [CHANGE | {"repeats": 0}]}, "perturbation[0]: repeats is 0; expected at least 1"),
        (
            {"abstention": [{"generate": "nan"}]},
            "expected exactly one of min_abstain_rate_lb, expect, got none",
        ),
        (
            {"abstention": [{"generate": "nan", "data": "x.csv", "expect": "all_abstain"}]},
            "expected exactly one of data, generate, got data and generate",
        ),
        ({"files": {"separator": ",,"}, "parity": {}}, "files: ',,': expected one character, or tab"),
        ({"files": {"encoding": "base64"}, "parity": {}}, "files: 'base64' is not a text encoding"),
        ({"files": {"missing_values": [-1]}, "parity": {}}, "files.missing_values[0]: expected text, got -1"),
        (
            {"latency": None, "parity": {}},
            "latency is empty: expected keys with values, or {} for the defaults",
        ),
        ({"selective": None}, "selective is empty: expected keys"),
        ({"calibration": {"ece": None}}, "calibration.ece is empty: expected keys"),
        ({"latency": {}}, "latency: expected max_us_1_row, max_us_64_rows or both"),
        ({"selective": {}}, "selective: expected min_coverage, max_selective_risk or both"),
        ({"baseline": [{"min_gain": 0.1}]}, "baseline[0]: expected exactly one of against, column, got none"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_means_nothing_is_named_with_its_place(asked, message):
    refused({"version": 1} | asked, message)


@pytest.mark.parametrize(
    "asked",
    [{}, {"alpha": 0.1}, {"slices": []}, {"slices": [], "baseline": []}, {"files": {"separator": ";"}}],
)
def test_a_specification_without_checks_is_refused(asked):
    """It would pass, whatever the model does."""
    refused({"version": 1} | asked, "it has no section with checks: expected one of parity, latency,")


def test_the_version_has_to_be_named_and_known():
    refused({}, "the key 'version' is missing")
    refused({"version": 2}, "version: got 2; expected 1")
    refused({"version": True}, "version: got True; expected 1")


def test_a_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "release.yaml"
    refused(path, f"{path}: cannot be read: No such file or directory")
    path.write_text("version: 1\nslices: [")
    refused(path, f"{path}: not valid YAML: ")
    path.write_text("")
    refused(path, f"{path}: the specification is empty")
    path.write_text("- version: 1")
    refused(path, f"{path}: the specification: expected keys with values, got [{{'version': 1}}]")
    path.write_text("version: 1\nalpha: 0.1\nalpha: 0.2\n")
    refused(path, f"{path}: the key 'alpha' is given twice, the second time in line 3")
    path.write_text("version: 1\nselective: {min_coverage: {{ coverage }}}\n")
    refused(path, f"{path}: not valid YAML: ")
    path.write_text("version: 1\nname: !!python/object/apply:os.getcwd []")
    refused(path, "not valid YAML: could not determine a constructor for the tag")


def test_numbers_without_a_dot_are_numbers(tmp_path):
    path = tmp_path / "release.yaml"
    path.write_text("version: 1\nparity: {max_abs_prob: 1e-6}\n")
    assert specification_of(path).parity.max_abs_prob == 1e-6


def test_a_mapping_says_the_same_as_the_file(tmp_path):
    (tmp_path / "release.yaml").write_text(
        "version: 1\nslices: [{by: region, metric: accuracy, min_lower_bound: 0.9}]"
    )
    from_file = specification_of(tmp_path / "release.yaml")
    made = specification_of({"version": 1, "slices": [SLICE]})
    assert from_file.slices == made.slices
    assert from_file.folder == tmp_path
    assert specification_of(made) is made
    assert isinstance(made, Specification)


def test_a_transform_in_python_is_checked_as_well():
    with pytest.raises(SpecificationError, match="needs a number"):
        Transform("scale", "x")


def test_the_columns_of_a_specification_are_known_before_rows_are_loaded():
    asked = {
        "version": 1,
        "slices": [SLICE],
        "baseline": [{"column": "rule"}],
        "directional": [DIRECTION | {"target": "a", "direction": "increase"}],
        "invariance": [CHANGE | {"transform": {"permute_within": "zone"}}],
        "comparison": [{"compare_to": "x", "by": ["shop"], "max_regression": 0.1}],
    }
    assert specification_of(asked).columns() == {"region", "rule", "debt", "zone", "shop"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m" / "1"
    export(fitted(*applicants(500, 0)), folder, calibration=applicants(300, 1), threshold=0.8)
    return folder


@pytest.mark.parametrize(
    ("section", "asked", "message"),
    [
        (
            "slices",
            SLICE | {"by": ["regoin"]},
            "slices[0].by: the rows have no column 'regoin' (did you mean 'region'?)",
        ),
        (
            "slices",
            SLICE | {"by": ["debt"]},
            "slices[0].by: debt would make 1,500 slices, and at most 1,000",
        ),
        ("invariance", CHANGE | {"columns": ["x"]}, "invariance[0]: the rows have no column 'x'"),
        (
            "invariance",
            CHANGE | {"transform": {"permute_within": "zone"}},
            "invariance[0]: the rows have no column 'zone'",
        ),
        ("invariance", CHANGE | {"transform": "swap"}, "invariance[0]: swap needs two columns, got 1"),
        (
            "invariance",
            CHANGE | {"columns": ["region"], "transform": {"scale": 2}},
            "invariance[0]: column 'region' does not hold numbers",
        ),
        (
            "invariance",
            CHANGE | {"transform": {"replace": "much"}},
            "invariance[0]: column 'debt' holds float64 values, and 'much' is not one",
        ),
        (
            "directional",
            DIRECTION | {"target": "defualt", "direction": "increase"},
            (
                "directional[0].target: there is no class 'defualt' (did you mean 'default'?);"
                " the classes are 'default', 'repays'"
            ),
        ),
        (
            "baseline",
            {"against": "mayority"},
            "baseline[0].against: there is no rule 'mayority' (did you mean 'majority'?)",
        ),
        (
            "minimum_functionality",
            {"name": "m", "data": "none.csv", "target": "y"},
            "minimum_functionality[0].data: none.csv does not exist",
        ),
        (
            "abstention",
            {"data": "x.txt", "expect": "all_abstain"},
            "abstention[0].data: x.txt: it is not a table",
        ),
        (
            "comparison",
            {"compare_to": "gone", "max_regression": 0.1},
            "comparison[0].compare_to: gone cannot be read",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_named_but_not_there_is_named_with_its_place(bundle, section, asked, message):
    with pytest.raises(SpecificationError, match=re.escape(message)):
        check_bundle(bundle, *applicants(1500, 2), {"version": 1, section: [asked]})


@pytest.mark.parametrize(
    ("baselines", "message"),
    [
        ({"poor": lambda rows: rows["incone"]}, "baseline 'poor' failed: KeyError: 'incone'"),
        (
            {"poor": lambda _rows: ["repays"]},
            "baseline 'poor' gives 1 labels for 1,500 rows; expected one per row",
        ),
        (
            lambda rows: rows["income"],
            "baselines must be a mapping of names to rules, such as {'rule': rule}; got function",
        ),
    ],
    ids=["raises", "one label", "no name"],
)
def test_a_rule_that_cannot_be_used_is_refused(bundle, baselines, message):
    asked = {"version": 1, "baseline": [{"against": "poor"}]}
    with pytest.raises(SpecificationError, match=re.escape(message)):
        check_bundle(bundle, *applicants(1500, 2), asked, baselines=baselines)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["default", "Repays"], "in row 1 it predicts 'Repays', which is not a class"),
        ([1, 0], "in row 0 it predicts 1, which is not a class; expected 'default', 'repays'"),
        ([True, False], "in row 0 it predicts True"),
        (["default", " repays"], "in row 1 it predicts ' repays'"),
    ],
)
def test_a_rule_that_spells_the_classes_in_another_way_is_refused(bundle, labels, shown):
    table, y = applicants(300, 2)
    given = table.assign(rule=labels * 150)
    with pytest.raises(SpecificationError, match=re.escape(f"baseline[0]: {shown}")):
        check_bundle(bundle, given, y, {"version": 1, "baseline": [{"column": "rule"}]})
    with pytest.raises(SpecificationError, match=re.escape(f"baseline 'r': {shown}")):
        check_bundle(
            bundle,
            given,
            y,
            {"version": 1, "baseline": [{"against": "r"}]},
            baselines={"r": lambda rows: rows["rule"]},
        )


def test_a_rule_may_predict_nothing(bundle):
    table, y = applicants(300, 2)
    asked = {"version": 1, "baseline": [{"column": "rule"}]}
    (result,) = check_bundle(bundle, table.assign(rule=["default", None, "repays"] * 100), y, asked)
    assert result.n_rows == 300


def cases_file(folder: Path, **columns):
    table, _ = applicants(3, 4)
    table.assign(**columns).to_csv(folder / "cases.csv", index=False)


def test_files_are_relative_to_the_specification(bundle, tmp_path):
    cases_file(tmp_path, y="repays")
    asked = "minimum_functionality: [{name: m, data: cases.csv, target: y, max_failure_rate: 1.0}]"
    (tmp_path / "release.yaml").write_text(f"version: 1\n{asked}\n")
    (result,) = check_bundle(bundle, *applicants(300, 2), tmp_path / "release.yaml")
    assert (result.status, result.n_rows) == ("passed", 3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "minimum_functionality[0].target: cases.csv has no column 'y'"),
        ({"y": "perhaps"}, "labels 'perhaps' were not seen in training"),
    ],
)
def test_cases_need_labels_that_the_model_knows(bundle, tmp_path, monkeypatch, columns, message):
    monkeypatch.chdir(tmp_path)
    cases_file(tmp_path, **columns)
    asked = {"version": 1, "minimum_functionality": [{"name": "m", "data": "cases.csv", "target": "y"}]}
    with pytest.raises(SpecificationError, match=re.escape(message)):
        check_bundle(bundle, *applicants(300, 2), asked)


def test_a_rule_has_to_label_every_row(bundle):
    asked = {"version": 1, "baseline": [{"against": "short"}]}
    with pytest.raises(SpecificationError, match="baseline 'short' gives 2 labels for 300 rows"):
        check_bundle(bundle, *applicants(300, 2), asked, baselines={"short": lambda _: ["a", "b"]})
