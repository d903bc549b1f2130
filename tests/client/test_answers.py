"""Whatever cannot be the answer to a call is an error of its own, never a result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tamiz.gate import NO_CLASS
from tamiz.v1.manifest_pb2 import Certificate, Classes, DataType, InputSpec, Manifest
from tamiz.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest, PredictResponse, Reason
from tamiz_client import InvalidAnswer, ModelChanged
from tamiz_client.answers import parse, read_info, read_result
from tamiz_client.result import ModelInfo

NAN = float("nan")
INFO = ModelInfo(
    "m",
    3,
    Manifest(
        inputs=[InputSpec(name="features", dtype=DataType.DATA_TYPE_FLOAT32, shape=[-1, 2])],
        classes=Classes(strings=["no", "yes"]),
    ),
)


def answer(**fields: object) -> PredictResponse:
    """Return the answer to two rows: one accepted, one not; `fields` replace some of it."""
    whole = {
        "model_name": "m",
        "model_version": 3,
        "classes": INFO.manifest.classes,
        "accepted": [True, False],
        "reasons": [Reason.REASON_NONE, Reason.REASON_LOW_CONFIDENCE],
        "class_index": [1, NO_CLASS],
        "confidence": [0.9, 0.6],
        "threshold": 0.8,
    }
    return PredictResponse(**(whole | fields))


def read(response: PredictResponse, **asked: object):
    request = PredictRequest(**({"model_name": "m"} | asked))
    return read_result(response, request, 2, INFO)


def probabilities(*values: float) -> bytes:
    return np.array(values, "<f8").tobytes()


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, {}),
        ({}, {"model_version": 3}),
        ({}, {"model_label": "stable"}),
        ({"model_version": 4, "classes": Classes(integers=[0, 1])}, {}),
        ({"class_index": [1, 0]}, {}),  # the operator reveals it
        ({"confidence": [1.0 + 1e-6, 0.0]}, {}),
        ({"reasons": [0, 3], "confidence": [0.9, 0.0]}, {}),
        ({"reasons": [0, 99]}, {}),  # of a newer server
        ({"thresholds": [0.7, 0.8]}, {}),
        ({"threshold": 0.85}, {"threshold": 0.85}),
        ({"probabilities": probabilities(0.1, 0.9, NAN, NAN)}, {"return_probabilities": True}),
    ],
)
def test_what_a_server_can_answer_is_read(fields, asked):
    assert read(answer(**fields), **asked).accepted.tolist() == [True, False]


@pytest.mark.parametrize(
    ("fields", "asked", "message"),
    [
        ({"accepted": [True]}, {}, "2 rows were asked, accepted has 1 entries"),
        ({"class_index": [1]}, {}, "class_index has 1 entries"),
        ({"confidence": [0.9] * 3}, {}, "confidence has 3 entries"),
        ({"reasons": []}, {}, "reasons has 0 entries"),
        ({"thresholds": [0.8]}, {}, "thresholds has 1 entries"),
        ({"confidence": [NAN, 0.6]}, {}, "row 0 is accepted with the reason 0, class 1 of 2, confidence nan"),
        ({"confidence": [0.9, float("inf")]}, {}, "row 1 is abstained .* confidence inf"),
        ({"confidence": [0.9, -0.1]}, {}, "row 1 is abstained .* confidence -0.1"),
        ({"confidence": [1.1, 0.6]}, {}, "row 0 is accepted .* confidence 1.1"),
        ({"confidence": [0.79, 0.6]}, {}, "row 0 is accepted .* confidence 0.79 and threshold 0.8"),
        ({"thresholds": [0.95, 0.8]}, {}, "row 0 is accepted .* confidence 0.9 and threshold 0.95"),
        ({"thresholds": [NAN, 0.8]}, {}, "row 0 is accepted .* threshold nan"),
        ({"threshold": NAN}, {}, "row 0 is accepted .* threshold nan"),
        ({}, {"threshold": 0.85}, r"row 0 is accepted .* threshold 0.8 \(asked: 0.85\)"),
        ({"class_index": [NO_CLASS, NO_CLASS]}, {}, "row 0 is accepted .* class 4294967295 of 2"),
        ({"class_index": [2, NO_CLASS]}, {}, "row 0 is accepted .* class 2 of 2"),
        ({"class_index": [1, 7]}, {}, "row 1 is abstained .* class 7 of 2"),
        ({"reasons": [0, 0]}, {}, "row 1 is abstained with the reason 0"),
        ({"reasons": [0, 2], "class_index": [1, 0]}, {}, "row 1 is abstained with the reason 2, class 0"),
        ({"model_name": "other"}, {}, "model 'm' was asked, model 'other' version 3 answered"),
        ({"model_version": 4}, {"model_version": 3}, "model 'm' version 3 was asked, model 'm' version 4"),
        ({"model_version": 0}, {}, "model 'm' version 0 answered"),
        ({"probabilities": b"x" * 24}, {"return_probabilities": True}, "24 bytes: expected 32"),
        ({}, {"return_probabilities": True}, "0 bytes: expected 32"),
        ({"probabilities": b"x" * 32}, {}, "32 bytes: expected 0"),
        (
            {"probabilities": probabilities(NAN, 0.9, NAN, NAN)},
            {"return_probabilities": True},
            "row 0 is accepted and has no probabilities",
        ),
    ],
)
def test_what_contradicts_the_request_or_itself_is_refused(fields, asked, message):
    with pytest.raises(InvalidAnswer, match=message):
        read(answer(**fields), **asked)


@pytest.mark.parametrize("classes", [Classes(strings=["x", "y"]), Classes(), Classes(integers=[0, 1])])
def test_other_classes_under_the_same_number_are_another_model(classes):
    with pytest.raises(ModelChanged, match="m/3 answered with other classes"):
        read(answer(classes=classes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: setattr(r, "name", "other"), "model 'm' version 3 was asked, model 'other' version 3"),
        (lambda r: setattr(r, "version", 4), "model 'm' version 4 answered"),
        (lambda r: setattr(r, "version", 0), "model 'm' version 0 answered"),
        (lambda r: r.ClearField("manifest"), "names no input"),
        (lambda r: r.manifest.inputs.append(r.manifest.inputs[0]), "names an input twice"),
        (lambda r: setattr(r.manifest.inputs[0], "dtype", 99), "the dtype number 99"),
        (lambda r: r.manifest.inputs[0].ClearField("shape"), r"the shape \[\]"),
        (lambda r: r.manifest.inputs[0].shape.append(-7), r"the shape \[-1, 2, -7\]"),
        (lambda r: r.manifest.ClearField("classes"), "does not name its classes"),
        (lambda r: r.manifest.classes.integers.append(1), "does not name its classes"),
    ],
)
def test_a_description_of_nothing_that_could_be_asked_is_refused(change: Callable, message):
    response = GetModelResponse(name="m", version=3, manifest=INFO.manifest)
    asked = GetModelRequest(name="m", version=3)
    assert read_info(response.SerializeToString(), asked).manifest.inputs_digest.startswith("sha256:")
    change(response)
    with pytest.raises(InvalidAnswer, match=message):
        read_info(response.SerializeToString(), asked)


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(InvalidAnswer, match=r"it is not a tamiz\.v1\.PredictResponse"):
        parse(PredictResponse, b"\xff\xff\xff")


def test_a_model_is_shown_in_a_line_and_in_a_notebook():
    manifest = Manifest(classes=INFO.manifest.classes, inputs=INFO.manifest.inputs, estimator="<sure>")
    manifest.threshold.value = 0.8
    manifest.threshold.not_certified = "fixed by the caller"
    plain = ModelInfo("m", 3, manifest, labels=("stable",))
    assert repr(plain) == "ModelInfo(m version 3; not certified: fixed by the caller)"
    assert (plain.threshold, plain.coverage) == (0.8, None)
    assert "stable" in plain._repr_html_()
    manifest.threshold.certificate.CopyFrom(
        Certificate(max_error=0.05, confidence_level=0.9, expected_coverage=0.75)
    )
    certified = ModelInfo("m", 3, manifest)
    said = "at most 0.05 of the accepted rows are wrong, with confidence 0.9"
    assert repr(certified) == f"ModelInfo(m version 3; {said})"
    assert certified.coverage == 0.75
    assert said in certified._repr_html_()
    assert "&lt;sure&gt;" in certified._repr_html_()
    assert repr(ModelInfo("m", 1, Manifest())) == "ModelInfo(m version 1; not certified)"
