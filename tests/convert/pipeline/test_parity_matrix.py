"""Every estimator and every calibrator, against scikit-learn: no label flips, probabilities equal.

A calibrator sees of an estimator what kind of scores it has, how many classes, and whether they come from
trees. So each of these meets every calibrator once; the other estimators meet those that differ most.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tamiz_convert import ExportReport, export
from tamiz_convert.calibrators import METHODS

ESTIMATORS = {
    "LogisticRegression": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "RandomForest": lambda: RandomForestClassifier(30, random_state=0),
    "ExtraTrees": lambda: ExtraTreesClassifier(30, random_state=0),
    "GradientBoosting": lambda: GradientBoostingClassifier(n_estimators=20, random_state=0),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "SVC": lambda: make_pipeline(MinMaxScaler(), SVC()),
    "LinearSVC": lambda: make_pipeline(StandardScaler(), LinearSVC(max_iter=10_000)),
    "GaussianNB": GaussianNB,
    "MLP": lambda: make_pipeline(StandardScaler(), MLPClassifier((20,), max_iter=2_000, random_state=0)),
    "KNeighbors": KNeighborsClassifier,
    "DecisionTree": lambda: DecisionTreeClassifier(max_depth=6, random_state=0),
    "scaled RandomForest": lambda: make_pipeline(
        StandardScaler(), RandomForestClassifier(30, random_state=0)
    ),
    "scaled GradientBoosting": lambda: make_pipeline(
        StandardScaler(), GradientBoostingClassifier(n_estimators=20, random_state=0)
    ),
    "scaled HistGradientBoosting": lambda: make_pipeline(
        StandardScaler(), HistGradientBoostingClassifier(max_iter=20, random_state=0)
    ),
}
MARGINS_ONLY = {"SVC", "LinearSVC"}
TOLERANCES = dict.fromkeys(METHODS, 1e-5) | {"isotonic": 1e-4, "venn-abers": 1e-4}
EVERY = {"LogisticRegression", "HistGradientBoosting", "RandomForest", "LinearSVC"}
"""Logits, logits of trees, probabilities of trees, margins: they are exported with every calibrator."""
QUICK = ("none", "sigmoid", "temperature", "isotonic")
"""Enough where the estimator is what is asked about, and not the calibrator."""
ROUGH = ("none", "isotonic")
"""Nothing in between, and steps, which make the most of a difference between scores."""


def check(estimator: Any, calibrators: Any, rows: Any, y: np.ndarray, folder: Path) -> ExportReport:
    """Export with each calibrator; the export itself compares with scikit-learn."""
    for calibrator in calibrators:
        report = export(
            estimator,
            folder / calibrator / "1",
            calibration=(rows, y),
            calibrator=calibrator,
            threshold=0.8,
            report=False,
        )
        parity = report.manifest.parity
        assert parity.label_flips == 0
        assert parity.max_probability_difference <= TOLERANCES[calibrator]
        assert parity.n_rows > len(rows)
        assert list(parity.batch_sizes) == [1, 7, 64]
    return report


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("data", ["cancer", "wine"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_survives_the_export_with_a_calibrator(name, data, dtype, request, tmp_path):
    rows = request.getfixturevalue(data)
    estimator = ESTIMATORS[name]().fit(rows.train.astype(dtype), rows.y_train)
    calibrators = ROUGH if dtype == np.float32 else METHODS if name in EVERY else QUICK
    possible = [
        each for each in calibrators if not (METHODS[each].needs_probabilities and name in MARGINS_ONLY)
    ]
    check(estimator, possible, rows.held_out.astype(dtype), rows.y_held_out, tmp_path)


@pytest.mark.parametrize("name", ["RandomForest", "HistGradientBoosting", "LogisticRegression"])
def test_ten_classes(name, digits, tmp_path):
    estimator = ESTIMATORS[name]().fit(digits.train, digits.y_train)
    calibrators = ROUGH if name == "HistGradientBoosting" else METHODS
    check(estimator, calibrators, digits.held_out, digits.y_held_out, tmp_path)


def table_pipeline(final: Any, *, handle_unknown: str = "ignore") -> Pipeline:
    """A pipeline over a DataFrame: numbers imputed and scaled, strings imputed and one-hot encoded, a column
    dropped.
    """
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    strings = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown=handle_unknown)
    )
    columns = ColumnTransformer(
        [
            ("numbers", numbers, ["income", "balance"]),
            ("strings", strings, ["city", "plan"]),
            ("as it is", "passthrough", ["age"]),
        ]
    )
    return Pipeline([("columns", columns), ("classifier", final)])


FINALS = {
    "LogisticRegression": lambda: LogisticRegression(max_iter=2_000),
    "GradientBoosting": lambda: GradientBoostingClassifier(n_estimators=30, random_state=0),
    "HistGradientBoosting": lambda: HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "RandomForest": lambda: RandomForestClassifier(30, random_state=0),
}


@pytest.mark.parametrize("handle_unknown", ["ignore", "error"])
@pytest.mark.parametrize("name", FINALS)
def test_a_pipeline_over_a_table_gets_one_input_per_column(name, handle_unknown, customers, tmp_path):
    estimator = table_pipeline(FINALS[name](), handle_unknown=handle_unknown)
    estimator.fit(customers.train, customers.y_train)
    report = check(estimator, ROUGH, customers.held_out, customers.y_held_out, tmp_path)
    specs = {spec.name: spec for spec in report.manifest.inputs}
    assert list(specs) == ["age", "income", "balance", "city", "plan"]
    assert all(list(spec.shape) == [-1, 1] for spec in specs.values())
    assert {name: spec.missing_values_allowed for name, spec in specs.items()} == {
        "age": False,
        "income": False,  # no held-out row lacks it
        "balance": True,
        "city": False,
        "plan": True,  # held-out rows held missing ones
    }
