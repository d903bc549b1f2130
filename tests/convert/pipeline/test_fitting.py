"""Scores that are constant or in reverse are refused; other extremes get a note."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from tamiz_convert import EstimatorError, RowsError, export, recalibrate
from tamiz_convert.calibrators import METHODS
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.pipeline import fitting
from tamiz_convert.selection import select_calibrator
from tamiz_convert.selection.flips import turned


@pytest.fixture(scope="module")
def rows():
    X = np.random.default_rng(0).normal(size=(400, 2))
    return X[np.abs(X[:, 0]) > 0.1]


@pytest.mark.parametrize("calibrator", ["auto", *METHODS])
def test_a_model_that_gives_every_row_the_same_scores_is_refused(calibrator, rows, tmp_path):
    y = (rows[:, 0] > 0).astype(int)
    model = LogisticRegression().fit(rows, y)
    model.coef_[:] = 0.0
    with pytest.raises(RowsError, match="have the same scores: the model cannot tell them apart"):
        export(model, tmp_path / "m/1", calibration=(rows, y), calibrator=calibrator, threshold=0.5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_that_separate_the_classes_are_noted(n_classes, rows, tmp_path):
    y = np.searchsorted([0.0, 1.0][: n_classes - 1], rows[:, 0])
    apart = rows + 9.0 * y[:, None]
    model = LogisticRegression(C=1e3, max_iter=10_000).fit(apart, y)
    found = export(model, tmp_path / "m/1", calibration=(apart, y), max_error=0.2, report=False)
    assert any("separate the classes of all" in note for note in found.notes)
    y[:20] = 0
    found = export(
        model, tmp_path / "m/2", calibration=(apart, y), calibrator="temperature", threshold=0.9, report=False
    )
    assert not any("separate the classes" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "folds"),
    [
        ({}, "5 stratified folds"),
        ({"groups": np.arange(1_000) // 4}, "5 stratified folds of whole groups"),
        ({"splitter": TimeSeriesSplit(3)}, repr(TimeSeriesSplit(3))),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_what_is_said_of_the_rows_reaches_the_folds_of_the_choice(
    options, folds, again, tmp_path, monkeypatch
):
    random = np.random.default_rng(1)
    X = random.normal(size=(1_000, 2))
    y = (X[:, 0] + random.logistic(size=1_000) / 2 > 0).astype(int)
    model = LogisticRegression().fit(X[:, ::-1], y)
    chosen = []

    def recorded(*arguments, **settings):
        chosen.append(select_calibrator(*arguments, **settings))
        return chosen[-1]

    if again:
        export(
            model, tmp_path / "m/1", calibration=(X, y), calibrator="temperature", threshold=0.6, report=False
        )
    monkeypatch.setattr(fitting, "select_calibrator", recorded)
    held_out = {"calibration": (X, y), "threshold": 0.6, "report": False, **options}
    if again:
        recalibrate(tmp_path / "m/1", tmp_path / "m/2", **held_out)
    else:
        export(model, tmp_path / "m/1", **held_out)
    (selection,) = chosen
    assert selection.folds == folds
    assert 250 <= selection.n_rows <= 350


def scored(change, n=1_200, seed=0):
    """Return rows of three classes with their labels, and a network whose scores are changed."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 3)).astype(np.float32)
    odds = np.exp(2 * X)
    y = np.array([random.choice(3, p=row / row.sum()) for row in odds])

    class Net(torch.nn.Module):
        def forward(self, x):
            return change(2 * x)

    return Net().eval(), (X, y)


@pytest.mark.parametrize("calibrator", ["auto", "dirichlet", "vector", "temperature", "none"])
@pytest.mark.parametrize("change", [lambda z: -z, lambda z: z[:, [1, 2, 0]]], ids=["sign", "order"])
def test_scores_in_reverse_are_refused_before_a_calibrator_turns_them_round(change, calibrator, tmp_path):
    model, rows = scored(change)
    with pytest.raises(RowsError, match=r"rank the classes in reverse.*Check the order of classes="):
        export(model, tmp_path / "m/1", calibration=rows, calibrator=calibrator, threshold=0.5)


def test_a_calibrator_that_turns_two_classes_round_is_refused_or_passed_over(tmp_path):
    model, rows = scored(lambda z: z[:, [1, 0, 2]] * torch.tensor([0.5, 0.5, 1.0]))
    with pytest.raises(
        EstimatorError, match=r"dirichlet cannot be used.*(exchanges the|reverses the order).*temperature"
    ):
        export(model, tmp_path / "m/1", calibration=rows, calibrator="dirichlet", threshold=0.4)
    found = export(model, tmp_path / "m/1", calibration=rows, threshold=0.4, report=False)
    status = {each.method: each.status for each in found.manifest.calibrator.candidates}
    assert status["dirichlet"].startswith(
        ("vetoed: it exchanges the labels", "vetoed: it reverses the order")
    )
    assert found.manifest.calibrator.method not in ("dirichlet", "vector")


@pytest.mark.parametrize("unit", [1e6, 50.0, 1.0, 0.2, 1e-8])
def test_the_unit_of_the_scores_does_not_matter_to_the_temperature_but_is_told(unit, tmp_path):
    model, rows = scored(lambda z: z * unit)
    options = {"calibration": rows, "calibrator": "temperature", "threshold": 0.4, "report": False}
    found = export(model, tmp_path / "m/1", **options)
    assert found.manifest.calibrator.parameters[0].values[0] * unit == pytest.approx(1.0, rel=0.2)
    assert any("far from 1" in note for note in found.notes) == (unit not in (0.2, 1.0))


def contradicting(by: float):
    """A model that rules class 2 out in half of the rows, also where it is right."""
    return scored(lambda z: torch.cat([z[:, :2], z[:, 2:] - by * (z[:, :1] > 0)], dim=1))


def test_a_class_that_is_ruled_out_where_it_is_right_is_told_by_the_temperature(tmp_path):
    model, rows = contradicting(50.0)
    options = {"calibration": rows, "calibrator": "temperature", "threshold": 0.2, "report": False}
    found = export(model, tmp_path / "m/1", **options)
    assert any("as a class does that the model rules out" in note for note in found.notes)


def test_a_temperature_that_reverses_the_scores_is_not_called_its_own_way_out(tmp_path):
    model, rows = contradicting(1_000.0)
    with pytest.raises(EstimatorError, match="they contradict their labels") as caught:
        export(model, tmp_path / "m/1", calibration=rows, calibrator="temperature", threshold=0.2)
    assert "Name another" not in str(caught.value)


def test_a_model_of_balanced_classes_may_be_calibrated_and_the_moved_labels_are_told(tmp_path):
    random = np.random.default_rng(0)
    X = random.normal(size=(3_000, 2))
    y = (X[:, 0] + random.logistic(size=3_000) > 3.0).astype(int)
    model = LogisticRegression(class_weight="balanced").fit(X[:1_000], y[:1_000])
    found = export(
        model,
        tmp_path / "m/1",
        calibration=(X[1_000:], y[1_000:]),
        calibrator="sigmoid",
        threshold=0.9,
        report=False,
    )
    assert any("changes the label of" in note for note in found.notes)


def test_a_class_that_is_never_scored_is_told(tmp_path):
    model, rows = scored(lambda z: torch.cat([z[:, :2], 0.0 * z[:, 2:]], dim=1))
    found = export(model, tmp_path / "m/1", calibration=rows, threshold=0.4, report=False)
    assert any("gives class 2 the same score in all" in note for note in found.notes)


def test_scores_that_say_nothing_are_told(tmp_path):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(2_000, 2)), random.integers(0, 2, 2_000)
    model = LogisticRegression().fit(X[:50], y[:50])
    model.coef_[:] *= 1e-4
    found = export(
        model, tmp_path / "m/1", calibration=(X, y), calibrator="none", threshold=0.5, report=False
    )
    assert any("no threshold will" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic", "beta"])
def test_labels_that_get_worse_beyond_noise_are_noticed(kind):
    random = np.random.default_rng(1)
    p = random.random(2_000)
    y = (random.random(2_000) < p).astype(np.int64)
    own = np.column_stack([1 - p, p])
    assert (
        turned(own, fit(kind, p[:, None], y, kind="probabilities", n_classes=2).predict(p[:, None]), y)
        is None
    )
    assert "reverses the order" in turned(own, own[:, ::-1], y)
    low = 0.3 * p
    assert "labels for the worse" in turned(own, np.column_stack([1 - low, low]), y)


def test_exchanged_classes_are_found_where_a_third_one_hides_them():
    random = np.random.default_rng(0)
    own = softmax(random.normal(size=(4_000, 3)) * [0.3, 0.3, 4.0], axis=1)
    y = own.argmax(axis=1)
    assert "exchanges the labels of the classes number 0, 1" in turned(own, own[:, [1, 0, 2]], y)


@pytest.mark.parametrize("missing", [[0], [3], [1, 7]])
def test_classes_without_held_out_rows_fall_back_to_a_calibrator_that_needs_none_of_each(
    missing, digits, tmp_path
):
    model = make_pipeline(MinMaxScaler(), LogisticRegression()).fit(digits.train, digits.y_train)
    kept = ~np.isin(digits.y_held_out, missing)
    rows = (digits.held_out[kept], digits.y_held_out[kept])
    found = export(model, tmp_path / "m/1", calibration=rows, threshold=0.5, report=False)
    assert found.manifest.calibrator.method in ("none", "temperature")
    named = ", ".join(map(str, missing))
    (note,) = [
        each for each in found.notes if each.startswith(f"there is no calibration row of class {named}:")
    ]
    assert f"the calibrator is {found.manifest.calibrator.method}" in note
    with pytest.raises(RowsError, match=r"add some, or choose none or temperature, which need none"):
        export(model, tmp_path / "m/2", calibration=rows, threshold=0.5, calibrator="vector", report=False)
