"""Two real data sets, each with an estimator trained on its own part of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 0


@dataclass(frozen=True)
class Task:
    """A trained estimator, and rows that it has not seen.

    Attributes:
        name: the model's name.
        estimator: trained on 40 % of the rows.
        held_out: (X, y), another 40 %, for calibrator and certificate.
        test: (X, y), the rest; nothing has seen them before the server is asked.
        max_error: the error to promise for accepted rows.
    """

    name: str
    estimator: Any
    held_out: tuple[NDArray[np.float64], NDArray[Any]]
    test: tuple[NDArray[np.float64], NDArray[Any]]
    max_error: float


def tasks() -> Iterator[Task]:
    """Return the demo's tasks: two classes with string labels, and ten with integers."""
    cancer = load_breast_cancer()
    labels = cancer.target_names[cancer.target].astype(str)
    yield _task(
        "breast_cancer", cancer.data, labels, make_pipeline(StandardScaler(), LogisticRegression()), 0.03
    )
    digits = load_digits()
    yield _task("digits", digits.data, digits.target, RandomForestClassifier(200, random_state=SEED), 0.02)


def _task(name: str, X: Any, y: Any, estimator: Any, max_error: float) -> Task:
    split: Callable[..., Any] = train_test_split
    rest, test, y_rest, y_test = split(X, y, test_size=0.2, stratify=y, random_state=SEED)
    train, held_out, y_train, y_held_out = split(
        rest, y_rest, test_size=0.5, stratify=y_rest, random_state=SEED
    )
    return Task(name, estimator.fit(train, y_train), (held_out, y_held_out), (test, y_test), max_error)
