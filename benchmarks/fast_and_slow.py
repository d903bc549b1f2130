"""The benchmarks' two models: a logistic regression, and a network that needs milliseconds per batch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from tamiz_convert import export


def export_fast_and_slow(repository: Path, width: int) -> None:
    """Write the models `fast` and `slow`, which has two hidden layers of this width."""
    X, y = load_breast_cancer(return_X_y=True)
    X = (X / X.max(axis=0)).astype(np.float32)
    slow = MLPClassifier((width, width), max_iter=1, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # one pass is enough: the model only has to be slow
        slow.fit(X[:64], y[:64])
    for name, model in (("fast", LogisticRegression().fit(X[::2], y[::2])), ("slow", slow)):
        data = (X[1::2], y[1::2])
        export(model, repository / name / "1", calibration=data, calibrator="sigmoid", threshold=0.9)
