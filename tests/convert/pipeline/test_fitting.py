"""Constant scores are refused, and scores that separate the classes completely get a note."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TimeSeriesSplit

from tamiz_convert import RowsError, export, recalibrate
from tamiz_convert.calibrators import METHODS
from tamiz_convert.pipeline import fitting
from tamiz_convert.selection import select_calibrator


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
    assert 450 <= selection.n_rows <= 550
