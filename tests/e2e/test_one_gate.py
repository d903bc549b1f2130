"""There is one gate: what a certificate counted is what the server answers, improper rows included."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from tamiz.gate import NO_CLASS, TOLERANCE
from tamiz.v1.manifest_pb2 import SubsetThreshold, Threshold
from tamiz_client import Client
from tamiz_convert import OnnxModel, export, read_manifest
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.errors import UnattainableError

N_TREES = 1_000
"""So many votes, added up in float32, that the sums miss 1 by more than 1e-6 in most rows."""


@dataclass(frozen=True)
class Rows:
    """Rows with their labels."""

    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Forest:
    """A forest as an ONNX file, and the rows that it has not seen."""

    model: OnnxModel
    calibration: Rows
    certification: Rows
    fresh: Rows


@pytest.fixture(scope="module")
def forest(tmp_path_factory) -> Forest:
    X, y = make_classification(
        2_200, 12, n_informative=8, n_classes=3, n_clusters_per_class=1, class_sep=1.5, random_state=0
    )
    X = X.astype(np.float32)
    estimator = RandomForestClassifier(N_TREES, max_depth=3, random_state=0).fit(X[:400], y[:400])
    converted = to_onnx(
        estimator,
        initial_types=[("features", FloatTensorType([None, 12]))],
        options={"zipmap": False},
        target_opset=17,
    )
    path = tmp_path_factory.mktemp("forest") / "forest.onnx"
    path.write_bytes(converted.SerializeToString())
    parts = [Rows(X[a:b], y[a:b]) for a, b in ((400, 800), (800, 1_500), (1_500, 2_200))]
    return Forest(OnnxModel(path, "probabilities"), *parts)


PROMISES = {"error": {"max_error": 0.15}, "coverage": {"min_coverage": 0.9}}


@pytest.fixture
def server(forest, tmp_path, start_server):
    for name, promise in PROMISES.items():
        export(
            forest.model,
            tmp_path / "models" / name / "1",
            calibration=(forest.calibration.X, forest.calibration.y),
            certification=(forest.certification.X, forest.certification.y),
            calibrator="none",
            report=False,
            **promise,
        )
    return start_server()


def test_a_float32_forest_is_answered_as_its_certificate_says(forest, server, tmp_path):
    sums = Subject.read(tmp_path / "models/error/1").predict(forest.fresh.X).probabilities.sum(axis=1)
    assert np.mean(np.abs(sums - 1.0) > 1e-6) > 0.2
    with Client(server.target) as client:
        for name in PROMISES:
            certificate = read_manifest(tmp_path / "models" / name / "1").threshold.certificate
            certified = client.predict(name, forest.certification.X)
            assert certificate.n_rows == len(forest.certification.y)
            assert int(certified.accepted.sum()) == certificate.n_accepted, name
            wrong = certified.labels[certified.accepted] != forest.certification.y[certified.accepted]
            assert int(wrong.sum()) == certificate.n_errors, name

            fresh = client.predict(name, forest.fresh.X)
            assert fresh.accepted.mean() == pytest.approx(certificate.expected_coverage, abs=0.06), name
            assert "INVALID_OUTPUT" not in fresh.reasons
            if name == "coverage":
                assert fresh.accepted.mean() > 0.88


NAMES = ("p0", "p1", "p2")
SPOILED = [
    np.array(row)
    for row in (
        [np.nan, 0.2, 0.8],  # a missing value
        [0.0, np.inf, 0.0],
        [0.0, 0.0, 0.0],
        [0.0, 0.97, 0.97],
        [-0.2, 0.0, 1.2],  # the graph cuts it off at 0 and 1, so that it is the surest of all
        [0.98, 0.01, 0.01 + 2 * TOLERANCE],
        [0.98, 0.01, 0.01 - 2 * TOLERANCE],
        [0.98, 0.01, 0.01 + 0.5 * TOLERANCE],
    )
]
"""Rows that a model may give where it should give probabilities; the gate answers two of them."""


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory) -> tuple[OnnxModel, dict[str, tuple[pd.DataFrame, np.ndarray]]]:
    """A graph whose probabilities are its inputs, and rows, a quarter of them odd."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["features"], ["probabilities"])],
        "given",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, [None, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, 3])],
    )
    path = tmp_path_factory.mktemp("spoiled") / "given.onnx"
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
        ).SerializeToString()
    )
    random = np.random.default_rng(1)
    parts = {}
    for name, share in (("calibration", 0.0), ("certification", 0.25), ("fresh", 0.25)):
        p = random.dirichlet(np.full(3, 0.2), 1_500)
        y = (p.cumsum(axis=1) > random.random((len(p), 1))).argmax(axis=1)
        for row in np.flatnonzero(random.random(len(p)) < share):
            p[row] = SPOILED[random.integers(len(SPOILED))]
            y[row] = np.nan_to_num(p[row]).argmax()
        table = pd.DataFrame(p, columns=list(NAMES)).assign(region=random.choice(["north", "south"], len(p)))
        parts[name] = table, y
    return OnnxModel(path, "probabilities"), parts


POLICIES = {
    "error": {"max_error": 0.15},
    "joint": {"max_joint_error": 0.1},
    "coverage": {"min_coverage": 0.6},
    "classes": {"max_error": 0.15, "per_class": True},
    "slices": {"max_error": 0.15, "slice_by": "region"},
}


def columns_of(name: str) -> list[str]:
    return [*NAMES, "region"] if name == "slices" else list(NAMES)


def exported(spoiled, folder: Path, name: str, **policy):
    model, parts = spoiled
    columns = columns_of(name)
    return export(
        model,
        folder / name / "1",
        calibration=(parts["calibration"][0][columns], parts["calibration"][1]),
        certification=(parts["certification"][0][columns], parts["certification"][1]),
        calibrator="none",
        allow_duplicates=True,
        **policy,
    )


@pytest.fixture(scope="module")
def repository(spoiled, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for name, policy in POLICIES.items():
        exported(spoiled, folder, name, report=False, **policy)
    return folder


@pytest.fixture
def served(repository, tmp_path, start_server):
    """Starts a server over the repository, and returns its target."""
    (tmp_path / "models").symlink_to(repository)
    return lambda *flags: start_server(*flags).target


def test_what_the_gate_refuses_is_not_answered_in_any_certificate(spoiled, repository, served):
    client = Client(served())
    for name in POLICIES:
        threshold = read_manifest(repository / name / "1").threshold
        certificate = threshold.certificate
        for part in ("certification", "fresh"):
            table, y = spoiled[1][part]
            answers = client.predict(name, table[columns_of(name)])
            improper = np.isin(answers.reasons, ["INVALID_INPUT", "INVALID_OUTPUT"])
            assert 0.15 < improper.mean() < 0.22
            if part == "certification":
                wrong = answers.accepted & (answers.labels != y)
                counts = len(y), int(answers.accepted.sum()), int(wrong.sum())
                assert counts == (certificate.n_rows, certificate.n_accepted, certificate.n_errors), name
            else:
                assert answers.coverage == pytest.approx(certificate.expected_coverage, abs=0.05), name


def test_a_coverage_that_only_refused_rows_would_reach_is_not_promised(spoiled, tmp_path):
    with pytest.raises(UnattainableError, match="have no confidence"):
        exported(spoiled, tmp_path, "coverage", min_coverage=0.9)


def test_the_report_counts_what_the_gate_answers(spoiled, tmp_path):
    report = exported(spoiled, tmp_path, "slices", max_error=0.15, slices=["region"])
    shown = json.loads((report.path.parent / "report.json").read_text())
    certificate = report.manifest.threshold.certificate
    as_exported = next(point for point in shown["thresholds"]["points"] if point["as_exported"])
    for counts in (shown["gate"], as_exported):
        assert (counts["n_accepted"], counts["n_errors"]) == (certificate.n_accepted, certificate.n_errors)
    answers = Subject.read(report.path).predict(spoiled[1]["certification"][0][columns_of("slices")])
    n_scored = int(np.count_nonzero(answers.predicted != NO_CLASS))
    assert n_scored < 0.85 * certificate.n_rows
    assert shown["calibration"]["n_rows"] == sum(shown["confidence_histogram"]["counts"]) == n_scored
    assert shown["risk_coverage"]["after"][-1]["coverage"] == pytest.approx(n_scored / certificate.n_rows)
    classes, regions = shown["slices"]
    assert sum(each["n_rows"] for each in classes["values"]) == n_scored
    assert sum(each["n_rows"] for each in regions["values"]) == certificate.n_rows
    (reference,) = (each for each in report.manifest.reference_histograms if each.name == "confidence")
    assert sum(reference.counts) == n_scored + len(spoiled[1]["calibration"][1])
    assert all(np.isfinite(metric.value) for metric in report.manifest.calibrator.metrics_after)


MISSES = (
    0.0,
    0.5 * TOLERANCE,
    -0.5 * TOLERANCE,
    TOLERANCE,
    -TOLERANCE,
    2 * TOLERANCE,
    -2 * TOLERANCE,
    0.1,
    1.0,
)


@st.composite
def asked(draw):
    """Few or many rows of every kind, and the threshold that the request asks for."""
    n_rows = draw(st.sampled_from([1, 3, 33, 34, 120]))
    rows = draw(hnp.arrays(np.float64, (n_rows, 3), elements=st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.9])))
    totals = rows.sum(axis=1, keepdims=True)
    rows = np.divide(rows, totals, out=np.zeros_like(rows), where=totals > 0.0)
    at = draw(hnp.arrays(np.int64, n_rows, elements=st.integers(0, 2)))
    rows[np.arange(n_rows), at] += draw(hnp.arrays(np.float64, n_rows, elements=st.sampled_from(MISSES)))
    odd = draw(
        hnp.arrays(np.float64, (n_rows, 3), elements=st.sampled_from([0.0] * 12 + [np.nan, np.inf, -np.inf]))
    )
    wish = draw(st.none() | st.sampled_from([0.0, 0.5, 0.9, 1.0]) | st.just("a confidence"))
    steps = draw(st.integers(-1, 1))
    return rows + odd, wish, steps, draw(hnp.arrays(np.bool_, n_rows))


def applied(
    subset: SubsetThreshold | None, whole: Threshold, wish: float | None, *, looser: bool
) -> tuple[float, bool]:
    """Return what a row of a subset has to reach, and whether that is proven; None: of no known subset."""
    one = subset or whole
    wished = one.value if wish is None else wish if looser else max(wish, one.value)
    if (subset is None and whole.subsets) or wished < one.value:
        return wished, False
    proven = [each for each in one.certificate.proven_thresholds if each >= wished]
    return (min(proven), True) if proven else (wished, False)


@pytest.mark.parametrize("looser", [False, True])
def test_server_and_exporter_decide_alike(repository, served, looser):
    client = Client(served(*["--allow-looser-thresholds"] * looser))
    subjects = {name: Subject.read(repository / name / "1") for name in ("error", "classes", "slices")}

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.sampled_from(sorted(subjects)), asked())
    def decisions(name, question) -> None:
        subject = subjects[name]
        thresholds = subject.manifest.threshold
        by_name = {each.name: each for each in thresholds.subsets}
        rows, wish, steps, in_north = question
        table = pd.DataFrame(rows, columns=list(NAMES)).assign(region=np.where(in_north, "north", "nowhere"))
        table = table[columns_of(name)]
        offline = subject.predict(table)
        if wish == "a confidence":
            wish = float(np.clip(offline.confidence[0] + steps * np.spacing(offline.confidence[0]), 0.0, 1.0))
        online = client.predict(name, table, threshold=wish)
        np.testing.assert_array_equal(online.confidence, offline.confidence)
        has_class = offline.predicted != NO_CLASS
        np.testing.assert_array_equal(
            np.isin(online.reasons, ["INVALID_INPUT", "INVALID_OUTPUT"]), ~has_class
        )
        subsets = offline.predicted.tolist() if name == "classes" else table.get("region", [""] * len(rows))
        own, certified = map(
            np.array,
            zip(
                *(applied(by_name.get(str(each)), thresholds, wish, looser=looser) for each in subsets),
                strict=True,
            ),
        )
        expected = has_class & (offline.confidence >= own)
        np.testing.assert_array_equal(online.accepted, expected)
        np.testing.assert_array_equal(online.thresholds[has_class], own[has_class])
        np.testing.assert_array_equal(online.rows_certified[has_class], certified[has_class])
        assert online.certified == (certified[expected].all() if by_name else certified[0])
        assert online.labels[expected].tolist() == offline.predicted[expected].tolist()
        if wish is None:
            np.testing.assert_array_equal(offline.accepted, expected)

    decisions()
