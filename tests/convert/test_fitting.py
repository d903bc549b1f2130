"""Scores that say nothing, and scores that say everything, are told."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tamiz_convert import RowsError, export
from tamiz_convert.calibrators import METHODS


@pytest.fixture(scope="module")
def rows():
    X = np.random.default_rng(0).normal(size=(400, 2))
    return X[np.abs(X[:, 0]) > 0.1]


@pytest.mark.parametrize("calibrator", ["auto", *METHODS])
def test_a_model_that_gives_every_row_the_same_scores_is_refused(calibrator, rows, tmp_path):
    y = (rows[:, 0] > 0).astype(int)
    model = LogisticRegression().fit(rows, y)
    model.coef_[:] = 0.0
    with pytest.raises(RowsError, match="have the same scores: the model tells none of them apart"):
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
