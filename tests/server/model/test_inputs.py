"""Wire bytes to arrays: valid inputs come through unchanged, and errors say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tamiz.dtypes import NUMERIC_DTYPES, to_data_type
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import Strings, Tensor
from tamiz_server.errors import InvalidRequest
from tamiz_server.model.inputs import Spec, read_inputs

F32, STRING = DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_STRING


def spec(
    name: str = "x", dtype: int = F32, shape: tuple[int, ...] = (-1, 3), *, missing: bool = False
) -> Spec:
    return Spec.of(InputSpec(name=name, dtype=dtype, shape=shape, missing_values_allowed=missing))


def tensor(
    name: str = "x", dtype: int = F32, shape: tuple[int, ...] = (2, 3), raw: bytes = b"\0" * 24
) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=shape, raw=raw)


def strings(name: str, *values: str) -> Tensor:
    return Tensor(name=name, dtype=STRING, shape=[len(values), 1], strings=Strings(values=values))


@given(
    st.sampled_from(sorted(NUMERIC_DTYPES)).flatmap(
        lambda t: hnp.arrays(NUMERIC_DTYPES[t], hnp.array_shapes(min_dims=1, max_dims=3, min_side=1))
    )
)
def test_every_numeric_array_comes_through_unchanged(array):
    data_type = to_data_type(array.dtype)
    sent = Tensor.FromString(
        Tensor(name="x", dtype=data_type, shape=array.shape, raw=array.tobytes()).SerializeToString()
    )
    inputs, n_rows = read_inputs([sent], [spec(dtype=data_type, shape=(-1, *array.shape[1:]))])
    assert n_rows == len(array)
    np.testing.assert_array_equal(inputs["x"], array)
    assert inputs["x"].dtype == array.dtype


@given(st.lists(st.text(), min_size=1))
def test_strings_come_through_unchanged(values):
    inputs, n_rows = read_inputs([strings("s", *values)], [spec("s", STRING, (-1, 1))])
    assert n_rows == len(values)
    assert inputs["s"][:, 0].tolist() == values


def test_inputs_are_found_by_name_in_any_order():
    sent = [strings("s", "a", "b"), tensor()]
    inputs, n_rows = read_inputs(sent, [spec(), spec("s", STRING, (-1, 1))])
    assert n_rows == 2
    assert list(inputs) == ["x", "s"]


def test_a_dynamic_dimension_takes_any_size_but_none():
    dynamic = spec(shape=(-1, -1))
    assert read_inputs([tensor(shape=(1, 6))], [dynamic])[0]["x"].shape == (1, 6)
    with pytest.raises(InvalidRequest, match=r"float32\[rows, any\], got shape \[6, 0\]"):
        read_inputs([tensor(shape=(6, 0), raw=b"")], [dynamic])


@pytest.mark.parametrize(
    ("sent", "like"),
    [
        (tensor(shape=(2, -1, -1), raw=b"\0" * 8), spec(shape=(-1, -1, -1))),
        (
            Tensor(name="x", dtype=STRING, shape=(2, -1, -1), strings=Strings(values=["a", "b"])),
            spec(dtype=STRING, shape=(-1, -1, -1)),
        ),
    ],
)
def test_a_size_below_zero_is_no_size_where_any_size_will_do(sent, like):
    with pytest.raises(InvalidRequest, match=r"got shape \[2, -1, -1\]"):
        read_inputs([sent], [like])


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ([], r"input 'x' of float32\[rows, 3\] is missing"),
        ([tensor("z")], r"unknown input 'z': the model reads input 'x' of float32\[rows, 3\]"),
        ([tensor(), tensor("z")], r"unknown input 'z'"),
        ([tensor(), tensor()], r"input 'x' was sent twice"),
        (
            [tensor(dtype=DataType.DATA_TYPE_FLOAT64)],
            r"expected input 'x' of float32\[rows, 3\], got dtype float64",
        ),
        ([tensor(dtype=0)], r"got dtype unspecified"),
        ([tensor(dtype=99)], r"got dtype number 99"),
        ([tensor(shape=(2, 4))], r"got shape \[2, 4\]"),
        ([tensor(shape=(6,))], r"got shape \[6\]"),
        ([tensor(shape=())], r"got shape \[\]"),
        ([tensor(shape=(0, 3), raw=b"")], r"input 'x' has 0 rows: expected at least one"),
        ([tensor(shape=(-2, 3))], r"input 'x' has -2 rows"),
        ([tensor(raw=b"\0" * 23)], r"input 'x' of shape \[2, 3\] takes 24 bytes of float32, got 23"),
        ([tensor(shape=(2**40, 3))], r"takes 13194139533312 bytes of float32, got 24"),
        ([Tensor(name="x", dtype=F32, shape=[2, 3])], r"as raw bytes, got no contents"),
        ([Tensor(name="x", dtype=F32, shape=[2, 3], strings=Strings())], r"as raw bytes, got strings"),
    ],
)
def test_a_wrong_input_is_named_with_what_was_expected_and_what_came(sent, message):
    with pytest.raises(InvalidRequest, match=message):
        read_inputs(sent, [spec()])


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (Tensor(name="s", dtype=STRING, shape=[1, 1], raw=b"a"), "as strings, got raw"),
        (
            Tensor(name="s", dtype=STRING, shape=[2, 1], strings=Strings(values=["a"])),
            "takes 2 strings, got 1",
        ),
    ],
)
def test_wrong_strings_are_named(sent, message):
    with pytest.raises(InvalidRequest, match=message):
        read_inputs([sent], [spec("s", STRING, (-1, 1))])


def test_inputs_have_to_agree_on_the_number_of_rows():
    with pytest.raises(InvalidRequest, match="input 's' has 3 rows and input 'x' has 2"):
        read_inputs([tensor(), strings("s", "a", "b", "c")], [spec(), spec("s", STRING, (-1, 1))])
