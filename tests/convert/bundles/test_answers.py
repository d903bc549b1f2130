"""The exporter decides offline as the server's gate does, and certifies what the gate answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from tamiz.gate import NO_CLASS, decide_batch, valid_rows
from tamiz.thresholds import ACCEPT_NONE, Thresholds
from tamiz.v1.manifest_pb2 import DataType, InputSpec, Manifest, Subdivision, SubsetThreshold, Threshold
from tamiz_convert import OnnxModel, export
from tamiz_convert.bundles.answers import judged
from tamiz_server.model.inputs import Spec

N_CLASSES = 3
DIVISIONS = (
    Subdivision.SUBDIVISION_UNSPECIFIED,
    Subdivision.SUBDIVISION_PREDICTED_CLASS,
    Subdivision.SUBDIVISION_SLICE,
)
LIMITS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, ACCEPT_NONE, float("nan")]))
CELLS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0, -0.1, float("nan"), float("inf")]))


@st.composite
def asked(draw):
    """Probabilities, most of them proper, with a feature, a slice and thresholds of every kind."""
    n_rows = draw(st.sampled_from([1, 4, 60]))  # the gate decides few rows and many in different ways
    probabilities = draw(arrays(np.float64, (n_rows, N_CLASSES), elements=CELLS))
    with np.errstate(all="ignore"):
        scaled = probabilities / probabilities.sum(axis=1, keepdims=True)
    probabilities = np.where(draw(arrays(np.bool_, (n_rows, 1))), probabilities, scaled)
    feature = draw(arrays(np.float32, (n_rows, 1), elements=st.sampled_from([0.0, np.nan, np.inf])))
    subset = draw(arrays(np.int64, n_rows, elements=st.integers(-2, N_CLASSES + 1)))
    by = draw(st.sampled_from(DIVISIONS))
    limits = draw(st.lists(LIMITS, min_size=N_CLASSES, max_size=N_CLASSES))
    return probabilities, feature, subset, by, limits, draw(st.booleans())


@given(asked())
def test_the_offline_answer_is_the_gates_decision(given_rows):
    probabilities, feature, subset, by, limits, may_miss = given_rows
    spec = InputSpec(
        name="x", dtype=DataType.DATA_TYPE_FLOAT32, shape=[-1, 1], missing_values_allowed=may_miss
    )
    threshold = Threshold(value=max(limits), subdivision=by)
    if by != Subdivision.SUBDIVISION_UNSPECIFIED:
        threshold.subsets.extend(SubsetThreshold(name=str(i), value=value) for i, value in enumerate(limits))
    manifest = Manifest(inputs=[spec], threshold=threshold)
    sliced = subset if by == Subdivision.SUBDIVISION_SLICE else None
    found = judged(manifest, {"x": feature}, probabilities, sliced)
    decided = decide_batch(
        probabilities,
        Thresholds(threshold).of_rows(probabilities, sliced).tolist(),
        valid_rows({"x": feature}, [Spec.of(spec)]),
    )
    assert found.accepted.tolist() == decided.accepted
    for row in np.flatnonzero(found.accepted):
        assert found.predicted[row] == decided.class_index[row] != NO_CLASS
        assert found.confidence[row] == decided.confidence[row]


@pytest.mark.parametrize("by", DIVISIONS)
def test_a_threshold_that_is_no_number_accepts_nothing(by):
    nan = float("nan")
    threshold = Threshold(value=nan, subdivision=by, subsets=[SubsetThreshold(name="0", value=nan)] * 2)
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0]])
    manifest = Manifest(threshold=threshold)
    answers = judged(manifest, {"x": np.zeros((2, 1))}, probabilities, np.array([0, 7]))
    assert not answers.accepted.any()


@pytest.mark.parametrize("tolerated", [False, True])
def test_rows_that_the_gate_refuses_are_not_counted_as_accepted_by_the_certificate(tolerated, tmp_path):
    """A graph that is sure about a missing value: the gate abstains anyway, unless NaN is allowed."""
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Where", ["missing", "right", "x"], ["known"]),
        helper.make_node("MatMul", ["known", "slope"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tolerant",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("logits", TensorProto.DOUBLE, [None, 2])],
        [
            numpy_helper.from_array(np.array([4.0]), "right"),
            numpy_helper.from_array(np.array([[0.0, 3.0], [0.0, 0.0]]), "slope"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (tmp_path / "tolerant.onnx").write_bytes(model.SerializeToString())
    random = np.random.default_rng(0)
    X = random.normal(size=(2_000, 2))
    y = (X[:, 0] + random.logistic(size=len(X)) / 3 > 0).astype(int)
    X[:800, 0], y[:800] = np.nan, 1  # always right, and answered only where NaN is allowed
    report = export(
        OnnxModel(tmp_path / "tolerant.onnx", "logits", missing_values_allowed=tolerated),
        tmp_path / "m/1",
        calibration=(X, y),
        calibrator="temperature",
        max_error=0.2,
    )
    certificate = report.manifest.threshold.certificate
    n_known = certificate.n_rows - 400
    assert certificate.n_accepted > 0.8 * (certificate.n_rows if tolerated else n_known)
    assert tolerated or certificate.n_accepted <= 1.1 * n_known
    (confidence,) = (each for each in report.manifest.reference_histograms if each.name == "confidence")
    assert sum(confidence.counts) == (2_000 if tolerated else 1_200)
