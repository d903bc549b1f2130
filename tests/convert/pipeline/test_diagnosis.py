"""A graph that does not follow its estimator is at fault: the export says so, and why, before certifying."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, StandardScaler

from tamiz_convert import OnnxModel, ParityError, export
from tamiz_convert.pipeline.reference_check import Reference
from tamiz_convert.rows.labeled import LabeledRows
from tamiz_convert.sources.kinds import score_graph
from tamiz_convert.sources.preprocessing_graph import Preprocessing


@pytest.fixture(scope="module")
def rows():
    X = np.random.default_rng(0).normal(size=(200, 2))
    return LabeledRows(X, (X[:, 0] > 0).astype(np.int64))


@pytest.fixture(scope="module")
def graph(rows):
    """A score graph of a logistic regression on two floats."""
    return score_graph(LogisticRegression().fit(rows.rows, rows.y), rows.rows)


def changed(graph, reference):
    """Return the graph with another reference: rows → what is added to the estimator's scores."""
    return replace(graph, reference=lambda X: graph.reference(X) + reference(X), compares_anywhere=False)


def step(X):
    """Return a step function of the first column, with a step between two neighbours of float32."""
    return (np.float64(np.float32(X[:, :1])) > X[:, :1]).astype(np.float64)


def cast_to(graph, elem_type):
    """Return the graph with scores that went through a type."""
    model = graph.model.__class__()
    model.CopyFrom(graph.model)
    model.graph.node[-1].output[0] = "exact"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["exact"], ["rounded"], to=elem_type),
            helper.make_node("Cast", ["rounded"], ["scores"], to=TensorProto.DOUBLE),
        ]
    )
    return replace(graph, model=model)


@pytest.mark.parametrize(
    ("added", "cause"),
    [
        (lambda X: np.full((len(X), 1), 0.3), "The conversion of sklearn.*LogisticRegression is at fault"),
        (lambda X: -X[:, :1] * 0.01, "The conversion of"),
        (lambda X: X[:, :1].mean(axis=0) + np.zeros((len(X), 1)), "differently alone and among others"),
        (lambda X: X[:, :1].max(axis=0) + np.zeros((len(X), 1)), "differently alone and among others"),
        (step, "rounded to float32 they agree"),
        (lambda X: np.round(X[:, :1] * 1e7) % 2, "own answer jumps here"),
        (lambda X: np.round(X[:, 1:] * 1e8) % 3, "own answer jumps here"),
    ],
)
def test_the_cause_is_named(graph, rows, added, cause):
    with pytest.raises(ParityError, match=cause):
        Reference.checked(changed(graph, added), rows, 0)


def test_float16_is_named(graph, rows):
    with pytest.raises(ParityError, match="computes in float16"):
        Reference.checked(cast_to(graph, TensorProto.FLOAT16), rows, 0)


@pytest.mark.parametrize("value", [np.nan, None])
def test_a_missing_value_that_the_conversion_takes_otherwise_is_named(value):
    table = pd.DataFrame({"a": ["u", "v"] * 50, "b": np.linspace(-1, 1, 100)}).astype({"a": object})
    table.loc[3, "a"] = value
    y = (table["b"] > 0).astype(int).to_numpy()
    encoder = ColumnTransformer(
        [("a", OneHotEncoder(handle_unknown="ignore"), ["a"])], remainder="passthrough"
    )
    graph = score_graph(make_pipeline(encoder, LogisticRegression()).fit(table, y), table)
    wrong = changed(graph, lambda X: X[["a"]].isna().to_numpy() * 1.0)
    with pytest.raises(ParityError, match=r"missing value in 'a'.*SimpleImputer"):
        Reference.checked(wrong, LabeledRows(table, y.astype(np.int64)), 0)


@pytest.mark.parametrize("promise", [{"max_error": 0.2}, {"min_coverage": 0.5}, {"threshold": 0.6}])
@pytest.mark.parametrize("calibrator", ["auto", "isotonic", "none"])
def test_a_fault_of_the_conversion_is_not_reported_as_a_bad_model(
    graph, rows, promise, calibrator, tmp_path, monkeypatch
):
    negated = replace(graph, reference=lambda X: -graph.reference(X))
    monkeypatch.setattr("tamiz_convert.pipeline.export.score_graph", lambda *_: negated)
    with pytest.raises(ParityError, match="at fault, not the model"):
        export(
            LogisticRegression(),
            tmp_path / "m/1",
            calibration=(rows.rows, rows.y),
            calibrator=calibrator,
            **promise,
        )
    assert not (tmp_path / "m").exists()


def doubled(self, step, matrix):
    """A conversion that is wrong: twice what a scaler gives."""
    scaled = self._builder.add("Div", matrix.name, self._builder.constant(step.scale_ / 2.0))
    return replace(matrix, name=scaled)


COLUMNS = ColumnTransformer([("keep", "passthrough", [0]), ("scaled", MaxAbsScaler(), [1])])


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([MaxAbsScaler()], r"conversion of the step MaxAbsScaler\(\) is at fault"),
        ([StandardScaler(), MaxAbsScaler(), MinMaxScaler()], r"of the step MaxAbsScaler\(\) is at fault"),
        ([COLUMNS], r"conversion of MaxAbsScaler\(\), 'scaled' of the ColumnTransformer, is at fault"),
        ([StandardScaler(), make_union(PCA(1), MaxAbsScaler())], r"of the step FeatureUnion\(.* is at fault"),
    ],
)
def test_the_step_of_a_pipeline_that_the_graph_does_not_follow_is_named(rows, steps, named, monkeypatch):
    monkeypatch.setitem(Preprocessing._own, MaxAbsScaler, doubled)
    model = make_pipeline(*map(clone, steps), LogisticRegression()).fit(rows.rows, rows.y)
    with pytest.raises(ParityError, match=named):
        Reference.checked(score_graph(model, rows.rows), rows, 0)


def test_a_row_that_the_graph_answers_by_its_batch_is_named(tmp_path, rows):
    X = rows.rows.astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "centred",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [0])],
    )
    path = tmp_path / "centred.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ParityError, match=r"differently in another batch: .*call model\.eval\(\)"):
        export(OnnxModel(path, "logits"), tmp_path / "m/1", calibration=(X, rows.y), threshold=0.6)
