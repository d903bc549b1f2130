"""Slices: which values can name one, and that graph and exporter agree on the slice of every row."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tamiz.bundle_format import PROBABILITIES
from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import DataType, InputSpec, Subdivision, SubsetThreshold, Threshold
from tamiz_convert.errors import RowsError
from tamiz_convert.pipeline.subset_graph import append_subset, inputs_with
from tamiz_convert.rows.slices import (
    MISSING,
    SliceColumn,
    slice_values,
    subset_index,
    take_slices,
)


def values_of(*values, dtype=None) -> np.ndarray:
    return slice_values(pd.DataFrame({"s": pd.Series(values, dtype=dtype)}), "s", "calibration")


@pytest.mark.parametrize(
    ("values", "dtype", "names"),
    [
        (["b", "a", "b"], None, ["a", "b"]),
        (["b", None, "a"], None, [MISSING, "a", "b"]),
        (["b", np.nan, ""], object, [MISSING, "b"]),
        (["b", "a"], "category", ["a", "b"]),
        (["b", pd.NA], "string", [MISSING, "b"]),
        ([3, -1, 3], None, ["-1", "3"]),
        ([3, 1], "Int64", ["1", "3"]),
        ([3, 1], "category", ["1", "3"]),
        ([True, False], None, ["false", "true"]),
    ],
)
def test_text_whole_numbers_and_bools_name_slices(values, dtype, names):
    assert SliceColumn.of("s", values_of(*values, dtype=dtype)).names == names


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([0.5, 1.5], None, r"holds floats, .* put the values into bins"),
        ([1.0, np.nan], None, "holds floats"),
        ([1, pd.NA], "Int64", "has missing values; fill them in"),
        (["a", 1], object, "not all text, all whole numbers or all bool, such as 'a': convert them"),
        ([True, 2], object, "not all text, all whole numbers or all bool, such as True"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), None, "not all text, .* such as "),
    ],
)
def test_other_values_are_refused(values, dtype, message):
    with pytest.raises(RowsError, match=message):
        values_of(*values, dtype=dtype)


def test_too_many_slices_or_two_of_one_name_are_refused():
    with pytest.raises(RowsError, match="has 101 values; at most 100 slices"):
        SliceColumn.of("s", np.arange(101))
    with pytest.raises(RowsError, match="has missing values and also the value"):
        SliceColumn.of("s", np.array(["", MISSING], dtype=object))
    with pytest.raises(RowsError, match="one type in the calibration rows and another"):
        SliceColumn.of("s", np.array([1]), np.array(["a"], dtype=object))


def test_the_column_is_taken_out_unless_the_estimator_knows_it():
    table = pd.DataFrame({"x": [1.0, 2.0], "s": ["a", "b"]})
    y = np.array([0, 1])
    given_ = take_slices((table, y), (table, y), table, "s", ["x"])
    assert list(given_.calibration[0].columns) == list(given_.certification[0].columns) == ["x"]
    assert list(given_.train.columns) == ["x"]
    assert given_.slices[1].tolist() == ["a", "b"]
    assert list(take_slices((table, y), None, None, "s", ["x", "s"]).calibration[0].columns) == ["x", "s"]
    assert take_slices((table, y), None, None, None, ["x"]).column is None
    with pytest.raises(RowsError, match="have no column 'region' to slice by; they have 'x', 's'"):
        take_slices((table, y), None, None, "region", [])
    with pytest.raises(
        RowsError, match="the calibration rows are a ndarray without column names: pass a DataFrame"
    ):
        take_slices((table.to_numpy(), y), None, None, "s", [])


def test_an_input_of_the_same_name_is_used_or_refused():
    column = SliceColumn.of("s", np.array(["a"], dtype=object))
    other = InputSpec(name="x", dtype=DataType.DATA_TYPE_FLOAT64, shape=[-1, 1])
    assert inputs_with((other,), column) == (other, column.spec)
    assert inputs_with((other, column.spec), column) == (other, column.spec)
    clash = InputSpec(name="s", dtype=DataType.DATA_TYPE_FLOAT64, shape=[-1, 4])
    with pytest.raises(RowsError, match="is also the name of an input of the model"):
        inputs_with((clash,), column)


def graph(column: SliceColumn) -> onnxruntime.InferenceSession:
    plain = helper.make_graph(
        [helper.make_node("Identity", ["p"], [PROBABILITIES])],
        "plain",
        [helper.make_tensor_value_info("p", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
    )
    model = helper.make_model(plain, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    extended = append_subset(model, column)
    assert [each.name for each in extended.graph.output] == ["probabilities", "subset"]
    assert isinstance(model, onnx.ModelProto)
    assert len(model.graph.output) == 1  # the given one is left alone
    return onnxruntime.InferenceSession(extended.SerializeToString())


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.tuples(st.lists(TEXT, min_size=1, max_size=6), st.lists(TEXT, min_size=1, max_size=6)),
        st.tuples(*[st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6)] * 2),
        st.tuples(*[st.lists(st.booleans(), min_size=1, max_size=6)] * 2),
    )
)
def test_the_graph_and_the_exporter_put_every_row_into_the_same_slice(known_and_asked):
    known, asked = known_and_asked
    dtype = object if isinstance(known[0], str) else None
    column = SliceColumn.of("s", np.array(known, dtype=dtype))
    values = np.array([*asked, *known], dtype=dtype)
    (found,) = graph(column).run(["subset"], {"p": np.zeros((len(values), 2)), **column.feed(values)})
    np.testing.assert_array_equal(found, column.index(values))
    assert (found[len(asked) :] >= 0).all()
    assert found.dtype == np.int64


def by_slice() -> Threshold:
    return Threshold(
        value=0.9,
        subdivision=Subdivision.SUBDIVISION_SLICE,
        slice_input="s",
        subsets=[SubsetThreshold(name="a", value=0.6), SubsetThreshold(name="b", value=0.9)],
    )


def test_thresholds_of_rows():
    probabilities = np.array([[0.2, 0.8], [0.7, 0.3], [0.5, 0.5]])
    subset = subset_index(["a", "b"], np.array(["b", "a", "c"], dtype=object))
    assert Thresholds(by_slice()).of_rows(probabilities, subset).tolist() == [0.9, 0.6, 0.9]
    assert Thresholds(by_slice()).of_rows(probabilities).tolist() == [0.9] * 3
    by_class = Threshold(
        value=0.7,
        subdivision=Subdivision.SUBDIVISION_PREDICTED_CLASS,
        subsets=[SubsetThreshold(name="0", value=0.5), SubsetThreshold(name="1", value=0.7)],
    )
    assert Thresholds(by_class).of_rows(probabilities).tolist() == [0.7, 0.5, 0.5]
    assert Thresholds(Threshold(value=0.4)).of_rows(probabilities).tolist() == [0.4] * 3


@pytest.mark.parametrize("index", [-1, -2, 2, 99, -(2**63), 2**63 - 1])
def test_an_index_that_points_nowhere_takes_the_strictest_threshold(index):
    thresholds = Thresholds(by_slice())
    assert thresholds.of_rows(np.zeros((1, 2)), np.array([index])).tolist() == [0.9]
    assert subset_index(["a"], np.array(["x", "a"], dtype=object)).tolist() == [-1, 0]
