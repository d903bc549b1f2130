"""Decisions as tensors: an abstained row's label is not a class, and parameters are not guessed."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz.gate import NO_CLASS
from tamiz.oip.inference import InferParameter, ModelInferRequest
from tamiz.v1.manifest_pb2 import Classes
from tamiz_server.errors import InvalidRequest
from tamiz_server.protocols.oip.outputs import Labels, requested_outputs
from tamiz_server.protocols.oip.parameters import read_low_priority, read_threshold, read_timeout_s

SMALLEST = -(2**63)


@given(st.sets(st.one_of(st.text(max_size=3), st.sampled_from(["", "_", "__"])), min_size=1))
def test_the_label_of_an_abstained_row_is_no_string_class(classes):
    labels = Labels(Classes(strings=sorted(classes)))
    assert labels.abstained not in classes
    assert (labels.abstained == "") == ("" not in classes)
    raw = labels.raw([NO_CLASS, 0])
    first, text = min(classes).encode(), labels.abstained.encode()
    assert raw == struct.pack("<I", len(text)) + text + struct.pack("<I", len(first)) + first


@given(st.sets(st.one_of(st.integers(SMALLEST, 2**63 - 1), st.integers(SMALLEST, SMALLEST + 3)), min_size=1))
def test_the_label_of_an_abstained_row_is_no_integer_class(classes):
    labels = Labels(Classes(integers=sorted(classes)))
    assert labels.abstained not in classes
    assert (labels.abstained == SMALLEST) == (SMALLEST not in classes)
    assert struct.unpack("<2q", labels.raw([NO_CLASS, 0])) == (labels.abstained, min(classes))


def test_an_output_is_known_and_requested_once():
    def request(*names: str) -> ModelInferRequest:
        return ModelInferRequest(outputs=[{"name": name} for name in names])

    assert requested_outputs(request()) == ("label", "confidence", "accepted", "reason")
    assert requested_outputs(request("threshold", "label")) == ["threshold", "label"]
    with pytest.raises(InvalidRequest, match="unknown output 'score': there are label, confidence"):
        requested_outputs(request("score"))
    with pytest.raises(InvalidRequest, match="requested twice"):
        requested_outputs(request("label", "label"))


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({"double_param": 0.9}, 0.9),
        ({"string_param": "0.9"}, 0.9),
        ({"string_param": " 9e-1 "}, 0.9),
        ({"int64_param": 0}, 0.0),
        ({"int64_param": 1}, 1.0),
        ({"uint64_param": 1}, 1.0),
    ],
)
def test_a_threshold_comes_in_any_form_that_means_one_thing(parameter, expected):
    assert read_threshold({"threshold": InferParameter(**parameter)}) == expected


@pytest.mark.parametrize(
    "parameter",
    [
        {"int64_param": 90},
        {"int64_param": -1},
        {"uint64_param": 2},
        {"bool_param": True},
        {"string_param": "90%"},
        {},
    ],
)
def test_a_threshold_that_could_mean_two_things_is_refused(parameter):
    with pytest.raises(InvalidRequest, match=r"threshold is .*: expected a confidence from 0 to 1"):
        read_threshold({"threshold": InferParameter(**parameter)})


def test_a_timeout_is_in_microseconds_and_a_priority_below_the_highest_is_low():
    assert read_timeout_s({"timeout": InferParameter(int64_param=2_500)}) == pytest.approx(0.0025)
    assert read_timeout_s({"timeout": InferParameter(uint64_param=1)}) == pytest.approx(1e-6)
    assert read_timeout_s({"timeout": InferParameter(int64_param=0)}) is None
    assert read_timeout_s({"priority": InferParameter(uint64_param=1)}) is None
    assert read_threshold({"priority": InferParameter(uint64_param=1)}) is None
    assert not read_low_priority({"priority": InferParameter(uint64_param=1)})
    assert read_low_priority({"priority": InferParameter(uint64_param=2)})
    with pytest.raises(InvalidRequest, match=r"priority is .*: expected an integer"):
        read_low_priority({"priority": InferParameter(string_param="low")})
    for wrong in ({"int64_param": -1}, {"string_param": "1s"}, {"double_param": math.inf}):
        with pytest.raises(InvalidRequest, match=r"timeout is .*: expected microseconds"):
            read_timeout_s({"timeout": InferParameter(**wrong)})
