"""JSON is read strictly and within bounds, and written so that every reader takes it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiz.oip.inference import ModelConfig, ModelMetadataResponse, ModelStatistics
from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_server.errors import InvalidRequest
from tamiz_server.serving import json_text
from tamiz_server.serving.json_text import finite, message_json, read_json, write_json
from tamiz_server.serving.json_values import as_array

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=40)
@given(VALUES)
def test_what_python_writes_is_read_as_it_was(value):
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[1,]", "is not JSON"),
        (b"[1] 2", "is not JSON: Extra data"),
        (b"{'a': 1}", "is not JSON"),
        (b"[01]", "is not JSON"),
        (b"nan", "is not JSON"),
        (b'"a\nb"', "is not JSON"),
        (b"\xef\xbb\xbf[1]", "is not JSON"),
        (b'"\xff"', "is not UTF-8"),
        ('"a"'.encode("utf-16"), "is not UTF-8"),
        (b"[" * 100_000, "is nested too deep"),
        (b'{"a":' * 100_000, "is nested too deep"),
        (b"[" + b"1" * 5_000 + b"]", "a number of 5000 digits"),
        (b'{"a": 1, "b": 2, "a": 1}', "has the member 'a' twice"),
        (b'[{"x": {"": 1, "": 2}}]', "has the member '' twice"),
        (rb'["\ud800"]', "half of a surrogate pair"),
        (rb'{"\uDFFF": 1}', "half of a surrogate pair"),
    ],
)
def test_what_is_wrong_is_refused_in_words(body, why):
    with pytest.raises(InvalidRequest, match=why):
        read_json(body)


def test_whole_surrogate_pairs_and_pythons_nan_are_read():
    assert read_json(rb'["\ud83d\ude00"]') == ["😀"]
    assert math.isnan(read_json(b"NaN"))
    assert read_json(b"[-Infinity, 1e999, 9007199254740993]") == [-math.inf, math.inf, 2**53 + 1]


@pytest.mark.parametrize("body", [b"[1,1,1,1,1]", b"[[],[],[]]", b"[{},{},{}]", b'{"a":[1,2,3,4]}'])
def test_a_text_of_too_many_elements_is_not_even_begun(body, monkeypatch):
    read_json(body)
    monkeypatch.setattr(json_text, "MOST_PARTS", 4)
    with pytest.raises(InvalidRequest, match="more than 4 elements: send its rows in several requests"):
        read_json(body)


def test_what_json_does_not_have_is_never_written():
    assert [*map(finite, (1.5, math.nan, math.inf, -math.inf))] == [1.5, None, None, None]
    assert write_json({"é": [None, 2**63, "\ud800"]}) == b'{"\\u00e9":[null,9223372036854775808,"\\ud800"]}'
    with pytest.raises(ValueError, match="JSON"):
        write_json(math.nan)


def test_a_message_has_the_names_of_the_contract_and_numbers_stay_numbers():
    response = ModelMetadataResponse(name="m", versions=["1"])
    response.inputs.add(name="x", datatype="FP32", shape=[-1, 2**60])
    assert message_json(response) == {
        "name": "m",
        "versions": ["1"],
        "platform": "",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2**60]}],
        "outputs": [],
        "inputs_digest": "",
    }
    config = ModelConfig(name="m")
    config.input.add(name="x", data_type="TYPE_FP32")
    config.parameters["threshold"].string_value = "0.8"
    found = message_json(config)
    assert found["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": []}]
    assert found["parameters"] == {"threshold": {"string_value": "0.8"}}
    assert "dynamic_batching" not in found
    assert message_json(ModelStatistics())["last_inference"] == 0
    assert message_json(InputSpec(name="x"))["name"] == "x"


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1.5, None, 2], np.float64, [1.5, math.nan, 2.0]),
        ([1, 2**62], np.int64, [1, 2**62]),
        ([1, 2**63], object, [1, 2**63]),
        ([2**53 + 1, 0.5], object, [2**53 + 1, 0.5]),
        ([True, False], np.bool_, [True, False]),
        ([True, 1], object, [True, 1]),
        (["a", "b" * 1000], object, ["a", "b" * 1000]),
        (["a", None, 1], object, ["a", None, 1]),
        ([None, None], np.float64, [math.nan, math.nan]),
        ([], np.float64, []),
        ([[1.0, 2.0], [3.0, 4.0]], np.float64, [[1.0, 2.0], [3.0, 4.0]]),
        ([[["a"]], [["b"]]], object, [[["a"]], [["b"]]]),
        ([[], []], np.float64, [[], []]),
    ],
)
def test_lists_become_arrays_that_lose_nothing(values, dtype, expected):
    array = as_array(values, "x")
    assert array.dtype == dtype
    np.testing.assert_equal(array.tolist(), expected)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (3, "x is 3: expected a list"),
        ({"a": 1}, "x is an object: expected a list"),
        ([[1], [1, 2]], "x has a list of 1 elements and one of 2"),
        ([[1], 2], "x has a list of 1 elements and 2"),
        ([1, [2]], "x has a list among its values"),
        ([{"a": 1}], "x has an object among its values"),
        (read_json(b"[" * 20 + b"]" * 20), "x has more than 16 levels of lists"),
    ],
)
def test_lists_that_are_no_array_are_refused(values, why):
    with pytest.raises(InvalidRequest, match=why):
        as_array(values, "x")
