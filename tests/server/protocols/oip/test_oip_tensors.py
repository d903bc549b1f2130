"""Sent tensors are converted to the model's types exactly, or refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.oip.inference import InferTensorContents, ModelInferRequest
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_server.errors import InvalidRequest
from tamiz_server.model.inputs import Spec
from tamiz_server.protocols.oip.tensors import DATATYPES, read_inputs

F32, STRING = DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_STRING
TYPES = {DATATYPES[data_type]: dtype for data_type, dtype in NUMERIC_DTYPES.items()}
FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
INTEGERS = sorted(name for name in TYPES if "INT" in name)


def spec(dtype: int = F32, *tail: int, name: str = "x") -> Spec:
    return Spec.of(InputSpec(name=name, dtype=dtype, shape=(-1, *tail)))


def model_type(datatype: str) -> int:
    return next(data_type for data_type, name in DATATYPES.items() if name == datatype)


def raw(array: np.ndarray, datatype: str) -> ModelInferRequest:
    request = ModelInferRequest(raw_input_contents=[array.tobytes()])
    request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    return request


def typed(datatype: str, shape: tuple[int, ...], **contents: object) -> ModelInferRequest:
    request = ModelInferRequest()
    request.inputs.add(name="x", datatype=datatype, shape=shape, contents=InferTensorContents(**contents))
    return request


def texts(content: bytes, *shape: int) -> ModelInferRequest:
    request = ModelInferRequest(raw_input_contents=[content])
    request.inputs.add(name="x", datatype="BYTES", shape=shape)
    return request


def elements(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def read(request: ModelInferRequest, like: Spec) -> np.ndarray:
    inputs, n_rows = read_inputs(ModelInferRequest.FromString(request.SerializeToString()), (like,))
    assert n_rows == len(inputs["x"])
    return inputs["x"]


arrays = st.sampled_from(sorted(TYPES)).flatmap(
    lambda name: st.tuples(st.just(name), hnp.arrays(TYPES[name], hnp.array_shapes(max_dims=3, min_side=1)))
)


@given(arrays)
def test_raw_numbers_of_the_models_type_come_through_unchanged(sent):
    datatype, array = sent
    got = read(raw(array, datatype), spec(model_type(datatype), *array.shape[1:]))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@given(arrays.filter(lambda sent: sent[0] in FIELDS))
def test_typed_contents_come_through_unchanged(sent):
    datatype, array = sent
    request = typed(datatype, array.shape, **{FIELDS[datatype]: array.ravel().tolist()})
    got = read(request, spec(model_type(datatype), *array.shape[1:]))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("source", INTEGERS)
@given(data=st.data())
def test_an_integer_is_converted_if_and_only_if_the_models_type_holds_it_exactly(source, data):
    target = data.draw(st.sampled_from([*INTEGERS, "FP16", "FP32", "FP64"]))
    limits = np.iinfo(TYPES[source])
    near_powers = st.builds(
        lambda bits, step, sign: sign * (2**bits + step),
        st.integers(0, 64),
        st.integers(-2, 2),
        st.sampled_from([1, -1]),
    )
    value = data.draw(
        st.one_of(st.integers(int(limits.min), int(limits.max)), near_powers).filter(
            lambda value: limits.min <= value <= limits.max
        )
    )
    array = np.array([0, value], dtype=TYPES[source])
    # The oracle: Python's integers and floats, which compare exactly.
    if target in INTEGERS:
        exact = np.iinfo(TYPES[target]).min <= value <= np.iinfo(TYPES[target]).max
    else:
        with np.errstate(over="ignore"):
            exact = float(np.array(value, dtype=object).astype(TYPES[target])) == value
    request = raw(array, source)
    if exact:
        got = read(request, spec(model_type(target)))
        assert got.dtype == TYPES[target]
        assert [int(each) for each in got.tolist()] == [0, value]
    else:
        with pytest.raises(
            InvalidRequest, match=rf"holds {value} in row 1, which {target} cannot hold exactly"
        ):
            read(request, spec(model_type(target)))


@given(hnp.arrays(np.float16, 5))
def test_floats_are_widened_with_their_nans_and_infinities(array):
    for target in ("FP32", "FP64"):
        got = read(raw(array, "FP16"), spec(model_type(target)))
        assert got.dtype == TYPES[target]
        np.testing.assert_array_equal(got, array)


@given(hnp.arrays(np.float32, 5))
def test_a_bf16_is_the_upper_half_of_an_fp32(array):
    half = (array.view(np.uint32) >> 16).astype(np.uint16)
    got = read(raw(half, "BF16"), spec())
    np.testing.assert_array_equal(got.view(np.uint32) >> 16, half)


@given(st.lists(st.text(), min_size=1))
def test_strings_come_through_unchanged_raw_or_typed(values):
    encoded = [value.encode() for value in values]
    for request in (
        texts(elements(*encoded), len(values), 1),
        typed("BYTES", (len(values), 1), bytes_contents=encoded),
    ):
        assert read(request, spec(STRING, 1))[:, 0].tolist() == values


@given(st.binary(max_size=40), st.integers(1, 5))
def test_any_bytes_are_strings_or_refused(content, n_rows):
    try:
        got = read(texts(content, n_rows), spec(STRING))
    except InvalidRequest:
        return
    assert elements(*(value.encode() for value in got)) == content


def test_inputs_are_found_by_name_in_any_order():
    request = ModelInferRequest(raw_input_contents=[elements(b"a", b"b"), np.zeros(2, "<f4").tobytes()])
    request.inputs.add(name="s", datatype="BYTES", shape=[2])
    request.inputs.add(name="x", datatype="FP32", shape=[2])
    inputs, n_rows = read_inputs(request, (spec(), spec(STRING, name="s")))
    assert (list(inputs), n_rows) == (["x", "s"], 2)


ONE = np.ones(2, dtype="<f4")


@pytest.mark.parametrize(
    ("request_", "like", "message"),
    [
        (raw(ONE, "FLOAT"), spec(), "datatype 'FLOAT', which the protocol does not have"),
        (raw(ONE, ""), spec(), "datatype '', which the protocol does not have"),
        (
            raw(ONE.astype("<f8"), "FP64"),
            spec(),
            "has datatype FP64, expected FP32: values could lose digits",
        ),
        (raw(ONE, "FP32"), spec(model_type("INT64")), "has datatype FP32, expected INT64$"),
        (raw(ONE > 0, "BOOL"), spec(), "has datatype BOOL, expected FP32$"),
        (raw(ONE.astype("u1"), "UINT8"), spec(model_type("BOOL")), "has datatype UINT8, expected BOOL$"),
        (raw(ONE, "FP32"), spec(STRING), "has datatype FP32, expected BYTES$"),
        (raw(ONE.astype("<f8"), "FP64"), spec(STRING), "has datatype FP64, expected BYTES$"),
        (texts(elements(b"1", b"2"), 2), spec(), "has datatype BYTES, expected FP32$"),
        (raw(ONE[:1], "FP32"), spec(F32, 2), r"expected input 'x' of float32\[rows, 2\], got shape \[1\]"),
        (typed("FP32", (2,), fp32_contents=[1.0]), spec(), r"of shape \[2\] takes 2 elements, got 1"),
        (typed("FP32", (2,), fp64_contents=[1.0, 2.0]), spec(), "in fp32_contents or raw.*got fp64_contents"),
        (typed("FP32", (2,)), spec(), "got neither"),
        (typed("FP16", (2,), fp32_contents=[1.0, 2.0]), spec(), "FP16 must come as raw_input_contents"),
        (typed("INT8", (1,), int_contents=[300]), spec(), "holds 300 in row 0, which INT8 cannot hold"),
        (ModelInferRequest(raw_input_contents=[b""]), spec(), "1 entries for 0 inputs"),
        (ModelInferRequest(), spec(), "is missing"),
        (texts(elements(b"a"), 2), spec(STRING), "takes 2 elements of BYTES"),
        (texts(elements(b"a", b"b") + b"\0", 2), spec(STRING), "takes 2 elements of BYTES"),
        (texts(b"\xff\xff\xff\xffab", 1), spec(STRING), "takes 1 elements of BYTES"),
        (texts(elements(b"\xff"), 1), spec(STRING), "not UTF-8"),
    ],
)
def test_what_is_wrong_is_named(request_, like, message):
    with pytest.raises(InvalidRequest, match=message):
        read(request_, like)


def test_a_wrong_number_of_bytes_is_named():
    request = raw(ONE, "FP32")
    request.raw_input_contents[0] += b"\0"
    with pytest.raises(InvalidRequest, match=r"shape \[2\] takes 8 bytes of FP32, got 9"):
        read(request, spec())


def test_contents_beside_raw_ones_are_refused():
    request = raw(ONE, "FP32")
    request.inputs[0].contents.fp32_contents.extend([1.0, 2.0])
    with pytest.raises(InvalidRequest, match="contents beside raw_input_contents"):
        read(request, spec())


def test_empty_contents_beside_raw_ones_are_none():
    request = raw(ONE, "FP32")
    request.inputs[0].contents.SetInParent()
    np.testing.assert_array_equal(read(request, spec()), read(raw(ONE, "FP32"), spec()))
