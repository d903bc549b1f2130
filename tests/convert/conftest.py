"""Real rows and estimators trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from tamiz.bundle_format import OnnxParts
from tamiz.files import replace_together
from tamiz_server.model.graph_check import check_graph


@dataclass(frozen=True)
class Rows:
    """Rows split into those that are trained on and those that are not."""

    train: Any
    y_train: np.ndarray
    held_out: Any
    y_held_out: np.ndarray


def halves(X: Any, y: np.ndarray) -> Rows:
    order = np.random.default_rng(0).permutation(len(y))
    one, other = order[: len(y) // 2], order[len(y) // 2 :]
    if isinstance(X, pd.DataFrame):
        return Rows(X.iloc[one], y[one], X.iloc[other], y[other])
    return Rows(X[one], y[one], X[other], y[other])


@pytest.fixture(scope="session")
def cancer() -> Rows:
    """Two classes; values rounded, as measured values are, so that split thresholds are hit."""
    X, y = load_breast_cancer(return_X_y=True)
    return halves(X.round(2), y)


@pytest.fixture(scope="session")
def wine() -> Rows:
    """Three classes with string labels."""
    X, y = load_wine(return_X_y=True)
    return halves(X.round(1), np.array(["barolo", "grignolino", "barbera"])[y])


@pytest.fixture(scope="session")
def digits() -> Rows:
    """Ten classes."""
    X, y = load_digits(return_X_y=True)
    return halves(X, y)


@pytest.fixture(scope="session")
def customers() -> Rows:
    """A made table with numbers, some missing, whole numbers, text beyond ASCII, and an unused column."""
    random = np.random.default_rng(7)
    n = 900
    table = pd.DataFrame(
        {
            "age": random.integers(18, 80, n),
            "income": random.lognormal(10, 0.5, n).round(1),
            "balance": random.normal(0, 1, n).round(2),
            "city": random.choice(["Málaga", "Zürich", "東京", "Oslo"], n),
            "plan": random.choice(["basic", "plus"], n),
            "note": random.choice(["x", "y"], n),
        }
    )
    table.loc[random.random(n) < 0.1, "balance"] = np.nan
    table.loc[random.random(n) < 0.1, "plan"] = None
    signal = (
        table["age"] / 20
        + np.log(table["income"])
        + table["balance"].fillna(0)
        + (table["city"] == "Oslo")
        + 2 * (table["plan"] == "plus")
        + random.normal(0, 1, n)
    )
    return halves(table, np.where(signal > signal.median(), "churns", "stays"))


@pytest.fixture(autouse=True)
def look_through_every_graph(monkeypatch):
    """The server's check of graphs must accept every graph that a test exports."""

    def replace_checked(path, content, *beside, **options):
        check_graph(path, OnnxParts.of(content))
        replace_together(path, content, *beside, **options)

    monkeypatch.setattr("tamiz_convert.bundles.bundle.replace_together", replace_checked)
