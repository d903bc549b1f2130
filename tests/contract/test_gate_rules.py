"""Which rows can be answered: those of values that the model handles, and of probabilities that are some."""

import numpy as np
import pytest

from tamiz.gate_rules import proper_rows, valid_rows
from tamiz.v1.manifest_pb2 import DataType, InputSpec

F32, STRING = DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_STRING


def spec(name="x", dtype=F32, *, missing=False):
    return InputSpec(name=name, dtype=dtype, missing_values_allowed=missing)


def rows_of(*rows):
    return {"x": np.array(rows, dtype=np.float32)}


def test_finite_rows_are_all_valid():
    assert valid_rows(rows_of([1, 2, 3], [4, 5, 6]), [spec()]) is None
    assert (
        valid_rows(rows_of([3e38, 3e38, 3e38]), [spec()]) is None
    )  # the sum of squares overflows, the values are fine


def test_nan_is_invalid_where_missing_values_are_not_allowed():
    assert valid_rows(rows_of([1, np.nan, 3], [4, 5, 6]), [spec()]).tolist() == [False, True]
    assert valid_rows(rows_of([1, np.nan, 3], [4, 5, 6]), [spec(missing=True)]) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinity_is_always_invalid(value):
    assert valid_rows(rows_of([1, value, 3], [4, 5, 6]), [spec(missing=True)]).tolist() == [False, True]


def test_a_row_is_invalid_when_any_of_its_inputs_is():
    inputs = {"x": np.array([[np.nan], [1], [2]]), "z": np.array([[0], [1], [np.inf]])}
    specs = [spec("x"), spec("z")]
    assert valid_rows(inputs, specs).tolist() == [False, True, False]


def test_integers_and_strings_are_always_valid():
    inputs = {"i": np.array([[1]]), "s": np.array([["a"]], dtype=object)}
    assert valid_rows(inputs, [spec("i", DataType.DATA_TYPE_INT64), spec("s", STRING)]) is None


@pytest.mark.parametrize(
    ("row", "is_proper"),
    [
        ([0.25, 0.75], True),
        ([0.0, 1.0], True),
        ([0.25, 0.75 + 9e-7], True),
        ([0.25, 0.75 + 2e-6], False),
        ([-9e-7, 1.0], True),
        ([-2e-6, 1.0], False),
        ([np.nan, 1.0], False),
        ([np.inf, -np.inf], False),
    ],
)
def test_probabilities_are_not_negative_and_sum_to_one(row, is_proper):
    assert proper_rows(np.array([row, [0.5, 0.5]])).tolist() == [is_proper, True]
