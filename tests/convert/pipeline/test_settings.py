"""One definition of a setting gives its signature, help, checks and flag."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tamiz_convert import (
    BundleError,
    EstimatorError,
    ExportError,
    RowsError,
    export,
    read_manifest,
    recalibrate,
)
from tamiz_convert.command_line.arguments import parser
from tamiz_convert.pipeline.settings import DEFINITIONS, complete, type_of
from tamiz_convert.pipeline.task import Task, silent

X = np.zeros((4, 2))
Y = np.array([0, 1, 0, 1])
SEEN, UNSEEN = np.split(np.random.default_rng(0).integers(0, 2, (400, 12)), 2)
COMMANDS = {
    "sklearn": ["sklearn", "model.joblib"],
    "torch": ["torch", "model.pt"],
    "booster": ["booster", "model.json"],
    "onnx": ["onnx", "model.onnx", "--scores", "logits"],
    "recalibrate": ["recalibrate", "models/m/1"],
}
NEEDED = ["--calibration", "rows.csv", "--target", "y", "--threshold", "0.5", "--output", "models/m/2"]


@pytest.mark.parametrize("function", [export, recalibrate])
def test_the_signature_shows_every_setting_with_its_default(function):
    shown = inspect.signature(function).parameters
    for name, definition in DEFINITIONS.items():
        assert shown[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert shown[name].default == definition.default
        assert shown[name].annotation == type_of(name)
    own = {"export": ["model", "output", "classes"], "recalibrate": ["bundle", "output"]}
    assert list(shown) == [*own[function.__name__], *DEFINITIONS]


@pytest.mark.parametrize("function", [export, recalibrate])
def test_the_help_documents_every_setting_and_no_other(function):
    text = inspect.getdoc(function)
    assert "**settings" not in text
    arguments = text.partition("Args:\n")[2].partition("\n\n")[0]
    entries = [line.strip().partition(":")[0] for line in arguments.splitlines() if line[:5].strip()]
    assert entries == list(inspect.signature(function).parameters)
    words = " ".join(text.split())
    for name, definition in DEFINITIONS.items():
        assert f"{name}: {definition.text}" in words


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_writes_a_bundle_has_each_flag_with_the_setting_s_default(command):
    parsed = vars(parser().parse_args([*COMMANDS[command], *NEEDED]))
    given = {"calibration", "threshold"}
    for name, definition in DEFINITIONS.items():
        if definition.flag is None:
            assert name not in parsed
        elif name == "splitter":
            assert parsed[name] is False
        elif name not in given:
            assert parsed[name] == definition.default


def test_a_misspelled_setting_is_named_with_the_one_that_is_meant():
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'max_eror' \(did you mean 'max_error'\?\)"
    ):
        export(None, "m/1", calibration=(X, Y), max_eror=0.1)
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument 'classes' .*; the settings are calibration, "
    ):
        recalibrate("m/1", "m/2", calibration=(X, Y), classes=[0, 1])


def test_rows_that_are_missing_are_named():
    with pytest.raises(
        TypeError, match="missing keyword argument 'calibration': rows that the model was not"
    ):
        export(None, "m/1", threshold=0.5)


@pytest.mark.parametrize("name", ["calibration", "certification", "check_rows"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (X, r"type ndarray and shape \[4, 2\]"),
        (pd.DataFrame(X), r"type DataFrame and shape \[4, 2\]"),
        ((X, Y, Y), "type tuple and length 3"),
        ((row for row in X), "type generator"),
        ({"x": X, "y": Y}, "type dict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_without_labels_are_refused(name, value, shown):
    rows = {"calibration": (X, Y), name: value}
    with pytest.raises(RowsError, match=rf"{name} has {shown}; expected .* {name}=\(X, y\)"):
        export(None, "m/1", **rows, threshold=0.5)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_error", "0.02", "'0.02'; expected a number or None"),
        ("threshold", True, "True; expected a number or None"),
        ("per_class", "no", "'no'; expected True or False"),
        ("replace", None, "None; expected True or False"),
        ("seed", 1.5, "1.5; expected a whole number"),
        ("calibrator", ["beta"], r"\['beta'\]; expected text"),
        ("name", 3, "3; expected text or None"),
        ("seed", None, "None; expected a whole number"),
        ("seed", -1, "-1; expected a whole number from 0 to 4294967295"),
        ("slices", None, "None; expected the name of a column, or several"),
        ("selection", 3, "3; expected SelectionSettings or None"),
        ("progress", "yes", "'yes'; expected a function, False or None"),
    ],
)
def test_a_value_of_another_type_is_refused_before_the_model_is_looked_at(name, value, expected):
    with pytest.raises(ExportError, match=rf"^{name} is {expected}$"):
        export(None, "m/1", **{"calibration": (X, Y), name: value})


def test_numbers_of_numpy_are_numbers():
    given = {
        "max_error": np.float32(0.1),
        "confidence_level": np.float64(0.9),
        "seed": np.int64(1),
        "per_class": np.True_,
    }
    assert complete({"calibration": (X, Y), **given})["seed"] == 1


def test_no_rows_at_all_are_refused():
    with pytest.raises(RowsError, match=r"calibration is None; expected .* calibration=\(X, y\)"):
        export(None, "m/1", calibration=None, threshold=0.5)


def test_a_calibrator_that_does_not_exist_is_refused_before_the_model_is_looked_at():
    with pytest.raises(
        EstimatorError, match=r"'platt' \(did you mean 'sigmoid'\?\); there are: auto, none, "
    ):
        export(None, "m/1", calibration=(X, Y), calibrator="platt", threshold=0.5)


def test_a_bundle_is_replaced_only_on_request(tmp_path):
    model, rows = LogisticRegression().fit(SEEN, SEEN[:, 0]), (UNSEEN, UNSEEN[:, 0])
    path = export(model, tmp_path / "m/1", calibration=rows, threshold=0.6).path
    before = path.read_bytes()
    refused = r"m/1 already holds a bundle; write to a higher version, such as .*m/2, or pass replace=True"
    with pytest.raises(BundleError, match=refused):
        export(model, tmp_path / "m/1", calibration=rows, threshold=0.7)
    with pytest.raises(BundleError, match=refused):
        recalibrate(path, tmp_path / "m/1", calibration=rows, threshold=0.7)
    assert path.read_bytes() == before
    report = export(model, tmp_path / "m/1", calibration=rows, threshold=0.7, replace=True)
    assert read_manifest(path).threshold.value == report.manifest.threshold.value == 0.7
    recalibrate(path, tmp_path / "m/1", calibration=rows, threshold=0.8, replace=True)
    assert read_manifest(path).threshold.value == 0.8


def test_a_bundle_that_another_export_wrote_meanwhile_is_not_replaced(tmp_path):
    model, rows = LogisticRegression().fit(SEEN, SEEN[:, 0]), (UNSEEN, UNSEEN[:, 0])

    def files():
        return {path.name: path.read_bytes() for path in (tmp_path / "m/1").iterdir()}

    written = {}

    def other(step, _share):
        if step == "writing":
            export(model, tmp_path / "m/1", calibration=rows, threshold=0.6)
            written.update(files())

    with pytest.raises(BundleError, match=r"m/1/model.onnx cannot be written: it is there already"):
        export(model, tmp_path / "m/1", calibration=rows, threshold=0.7, progress=other)
    assert files() == written
    assert sorted(written) == ["model.onnx", "report.html", "report.json"]


@pytest.mark.parametrize(
    ("settings", "n_certifying"),
    [
        ({"max_error": 0.1}, 80),
        ({"max_error": 0.1, "certification_fraction": 0.5}, 50),
        ({"max_error": 0.1, "calibrator": "auto"}, 70),
        ({"max_error": 0.1, "per_class": True}, 70),
        ({"max_error": 0.1, "slice_by": "region"}, 70),
        ({"cost": {"error": 10, "abstention": 1}}, 70),
        ({"min_coverage": 0.5}, 80),
        ({"max_joint_error": 0.1}, 80),
        ({"threshold": 0.9}, 80),
    ],
)
def test_more_rows_certify_where_the_others_only_place_the_candidates(tmp_path, settings, n_certifying):
    asked = complete({"calibration": (X, Y), "calibrator": "none", **settings})
    assert Task.of(tmp_path / "m/1", asked, silent).plan.n_certifying(100) == n_certifying
