"""Evidence of real exports: two classes, ten classes with a threshold each, a table with slices."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tamiz.v1.manifest_pb2 import (
    Candidate,
    Certificate,
    Classes,
    Manifest,
    Metric,
    Promise,
    Subdivision,
    SubsetThreshold,
    Threshold,
)
from tamiz_convert import export
from tamiz_convert.bundles.bundle import read_manifest
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.certificates.certify import certify
from tamiz_convert.certificates.fixed_sequence import METHOD
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.check_result import CheckResult
from tamiz_convert.errors import UnattainableError
from tamiz_convert.evidence import AttainableError, Baseline, Evidence, Latency, ScoredRows
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.metrics.binomial import upper_bound
from tamiz_convert.report import PAGE_NAME, report_files
from tamiz_convert.sources.sklearn_graph import from_sklearn


def scored(
    estimator: Any, path: Path, X: Any, y: np.ndarray, threshold: float, slices: tuple[str, ...]
) -> ScoredRows:
    graph = from_sklearn(estimator, X)
    return ScoredRows(
        y=np.searchsorted(graph.classes, y),
        probabilities=Runner(onnx.load(path)).run(graph.feed(X)),
        probabilities_before=Identity(graph.kind).predict(graph.reference(X)),
        thresholds=np.full(len(y), threshold),
        slices={name: X[name].to_numpy().astype(str) for name in slices},
    )


def evidence_of(
    estimator: Any, rows: Any, folder: Path, *, max_error: float, slices: tuple[str, ...] = (), **extra: Any
) -> Evidence:
    """Train on `train`, export, and measure on two halves of `held_out`."""
    estimator.fit(rows.train, rows.y_train)
    half = len(rows.y_held_out) // 2
    take = (lambda X, s: X.iloc[s]) if isinstance(rows.held_out, pd.DataFrame) else (lambda X, s: X[s])
    first, last = slice(0, half), slice(half, None)
    fitting, certifying = ((take(rows.held_out, s), rows.y_held_out[s]) for s in (first, last))
    report = export(estimator, folder, calibration=fitting, certification=certifying, max_error=max_error)
    manifest = read_manifest(report.path)
    value = manifest.threshold.value
    return Evidence(
        manifest,
        scored(estimator, report.path, *fitting, value, slices),
        scored(estimator, report.path, *certifying, value, slices),
        notes=report.notes,
        **extra,
    )


def per_class(evidence: Evidence, max_error: float, confidence_level: float = 0.9) -> Evidence:
    """Give each predicted class a threshold of its own, the probability of failure shared out."""
    fitting, certifying, manifest = evidence.calibration, evidence.certification, Manifest()
    manifest.CopyFrom(evidence.manifest)
    names = [str(name) for name in manifest.classes.integers or manifest.classes.strings]
    level = 1.0 - (1.0 - confidence_level) / len(names)
    subsets = []
    for k, name in enumerate(names):
        a, b = fitting.prediction == k, certifying.prediction == k
        try:
            found = certify(
                Outcomes(fitting.confidence[a], fitting.wrong[a]),
                Outcomes(certifying.confidence[b], certifying.wrong[b]),
                max_error=max_error,
                confidence_level=level,
            )
        except UnattainableError as error:
            subsets.append(SubsetThreshold(name=name, value=2.0, not_certified=str(error)))
            continue
        own = Certificate(
            method=METHOD,
            max_error=max_error,
            confidence_level=level,
            n_rows=found.n_rows,
            n_accepted=found.n_accepted,
            n_errors=found.n_errors,
            p_value=found.p_value,
            error_upper_bound=found.error_upper_bound,
            expected_coverage=found.n_accepted / found.n_rows,
            promise=Promise.PROMISE_SELECTIVE_ERROR,
        )
        subsets.append(SubsetThreshold(name=name, value=found.threshold, certificate=own))
    values = np.array([each.value for each in subsets])
    rows = replace(certifying, thresholds=values[certifying.prediction])
    n, k = int(rows.accepted.sum()), int((rows.accepted & rows.wrong).sum())
    whole = Certificate(
        method=METHOD,
        max_error=max_error,
        confidence_level=confidence_level,
        n_rows=len(rows.y),
        n_accepted=n,
        n_errors=k,
        p_value=binom.cdf(k, n, max_error),
        error_upper_bound=upper_bound(k, n, 1.0 - confidence_level),
        expected_coverage=n / len(rows.y),
    )
    threshold = Threshold(
        value=values.max(),
        certificate=whole,
        subdivision=Subdivision.SUBDIVISION_PREDICTED_CLASS,
        subsets=subsets,
    )
    manifest.threshold.CopyFrom(threshold)
    return replace(evidence, manifest=manifest, certification=rows)


def page_text(evidence: Evidence) -> str:
    """The page of a report."""
    return report_files(evidence)[PAGE_NAME].decode()


@pytest.fixture(scope="session", autouse=True)
def same_time() -> None:
    os.environ["SOURCE_DATE_EPOCH"] = "1764000000"


@pytest.fixture(scope="session")
def cancer_evidence(cancer: Any, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folder = tmp_path_factory.mktemp("models") / "breast_cancer" / "1"
    return evidence_of(
        model,
        cancer,
        folder,
        max_error=0.05,
        attainable=[AttainableError(n, 2.3 / n + 0.01, 0.9) for n in (50, 100, 143, 300, 600, 1200)],
        latency=[Latency(1, 11.2, 12.4), Latency(64, 31.0, 33.5)],
        baselines=[Baseline("always the most frequent class", 0.63, 143)],
    )


@pytest.fixture(scope="session")
def digits_evidence(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("models") / "digits" / "1"
    whole = evidence_of(RandomForestClassifier(60, random_state=0), digits, folder, max_error=0.1)
    calibrator = whole.manifest.calibrator
    calibrator.reason = (
        "Smallest log loss out of fold; sigmoid is within one standard error but has more parameters."
    )
    for method, loss in (("temperature", 0.21), ("sigmoid", 0.22), ("isotonic", 0.35)):
        chosen = method == "temperature"
        status = (
            "chosen"
            if chosen
            else "vetoed: ruins the order of rows"
            if method == "isotonic"
            else "not better"
        )
        calibrator.candidates.append(
            Candidate(
                method=method, chosen=chosen, status=status, metrics=[Metric(name="log_loss", value=loss)]
            )
        )
    return per_class(whole, 0.15)


@pytest.fixture(scope="session")
def customers_evidence(customers: Any, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """With slices, checks and notes."""
    table = replace(
        customers,
        train=customers.train.fillna({"balance": 0.0, "plan": "none"}),
        held_out=customers.held_out.fillna({"balance": 0.0, "plan": "none"}),
    )
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city", "plan"]),
            (StandardScaler(), ["age", "income", "balance"]),
        ),
        LogisticRegression(),
    )
    folder = tmp_path_factory.mktemp("models") / "churn" / "3"
    return evidence_of(
        model,
        table,
        folder,
        max_error=0.2,
        slices=("city", "plan"),
        checks=[
            CheckResult(
                "accuracy by city = Oslo",
                "slices",
                "block",
                "passed",
                55,
                0.87,
                0.78,
                0.7,
                0.002,
                "at least 70% right.",
            ),
            CheckResult(
                "sensor noise",
                "perturbation",
                "warn",
                "failed",
                225,
                0.06,
                0.09,
                0.03,
                0.2,
                "6% of labels flipped.",
            ),
            CheckResult(
                "rare plan", "slices", "block", "inconclusive", 4, None, None, 0.7, None, "Only 4 rows."
            ),
        ],
        baselines=[Baseline("always the most frequent class", 0.51, 225)],
    )


@pytest.fixture(scope="session")
def made_evidence() -> Callable[..., Evidence]:
    """`made(n_rows, n_classes)` makes evidence of so many rows and classes, with odd names if wanted."""

    def make(n_rows: int, n_classes: int, names: list[str] | None = None, slices: Any = None) -> Evidence:
        random = np.random.default_rng(0)
        logits = 3.0 * random.normal(size=(n_rows, n_classes))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        y = (probabilities.cumsum(axis=1) > random.random((n_rows, 1))).argmax(axis=1)
        rows = ScoredRows(
            y,
            probabilities,
            probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True),
            np.full(n_rows, 0.8),
            slices or {},
        )
        manifest = Manifest(
            name="made",
            classes=Classes(strings=names or [f"class {k}" for k in range(n_classes)]),
            threshold=Threshold(value=0.8, not_certified="fixed by the caller"),
        )
        return Evidence(manifest, rows, rows)

    return make
