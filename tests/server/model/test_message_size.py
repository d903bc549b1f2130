"""Messages with very many parts are refused quickly, before they become objects."""

from __future__ import annotations

import numpy as np
import pytest

from tamiz.oip.inference import ModelInferRequest
from tamiz.v1.prediction_pb2 import PredictRequest, Tensor
from tamiz_server.errors import InvalidRequest
from tamiz_server.model import message_size as layout
from tamiz_server.model.message_size import MOST_FIELDS, MOST_STRINGS, check_layout
from tamiz_server.serving.dialect import parse

LARGE = 32_000_000


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def sized(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number_of(message, name: str) -> int:
    return message.DESCRIPTOR.fields_by_name[name].number


def in_input(content: bytes) -> bytes:
    return sized(number_of(PredictRequest, "inputs"), content)


def in_contents(content: bytes) -> bytes:
    (tensor, contents) = ModelInferRequest.InferInputTensor, "contents"
    return sized(number_of(ModelInferRequest, "inputs"), sized(number_of(tensor, contents), content))


BOMBS = {
    "empty inputs": (PredictRequest, sized(number_of(PredictRequest, "inputs"), b"") * (LARGE // 2)),
    "dimensions": (PredictRequest, in_input(sized(number_of(Tensor, "shape"), b"\1" * LARGE))),
    "dimensions one by one": (
        PredictRequest,
        in_input((varint(number_of(Tensor, "shape") << 3) + b"\1") * (LARGE // 2)),
    ),
    "empty strings": (
        PredictRequest,
        in_input(sized(number_of(Tensor, "strings"), sized(1, b"") * (LARGE // 2))),
    ),
    "unknown fields": (PredictRequest, b"\xf8\x07\1" * (LARGE // 3)),
    "groups in groups": (PredictRequest, b"\xfb\x07\xfc\x07" * (LARGE // 4)),
    "parameters": (
        ModelInferRequest,
        sized(number_of(ModelInferRequest, "parameters"), sized(1, b"k")) * (LARGE // 6),
    ),
    "truths": (
        ModelInferRequest,
        in_contents(sized(5_000, b"") + sized(1, b"\1" * LARGE)),
    ),
    "many, before the end is cut off": (
        PredictRequest,
        in_input(sized(number_of(Tensor, "strings"), sized(1, b"") * (LARGE // 2))) + b"\x0a\xff",
    ),
}


@pytest.mark.parametrize("what", BOMBS)
def test_what_has_too_many_parts_is_refused(what):
    type_, body = BOMBS[what]
    with pytest.raises(InvalidRequest, match="in several requests"):
        parse(type_, body)


def test_large_requests_of_few_parts_pass():
    rows = np.zeros((16_384, 1_000), dtype=np.float32)
    tensor = Tensor(name="x", dtype=11, shape=rows.shape, raw=rows.tobytes())
    body = PredictRequest(model_name="m", inputs=[tensor]).SerializeToString()
    assert parse(PredictRequest, body).inputs[0].shape == list(rows.shape)
    texts = Tensor(name="x", dtype=14, shape=[50_000])
    texts.strings.values.extend(["some words that are long enough"] * 50_000)
    assert len(parse(PredictRequest, PredictRequest(inputs=[texts]).SerializeToString()).inputs) == 1
    typed = ModelInferRequest()
    typed.inputs.add(name="x", shape=[1_000_000]).contents.fp32_contents.extend([0.5] * 1_000_000)
    assert len(parse(ModelInferRequest, typed.SerializeToString()).inputs) == 1


def test_as_many_parts_as_may_be_pass_and_one_more_does_not(monkeypatch):
    monkeypatch.setattr(layout, "_SMALL_BYTES", 0)
    name = sized(number_of(PredictRequest, "model_name"), b"")
    check_layout(name * MOST_FIELDS, PredictRequest)
    with pytest.raises(InvalidRequest, match=f"{MOST_FIELDS} other fields"):
        check_layout(name * (MOST_FIELDS + 1), PredictRequest)
    for text in (b"", b"x" * 200):
        strings = sized(1, text) * MOST_STRINGS
        check_layout(in_input(sized(number_of(Tensor, "strings"), strings)), PredictRequest)
        with pytest.raises(InvalidRequest, match=f"more than {MOST_STRINGS} strings"):
            check_layout(
                in_input(sized(number_of(Tensor, "strings"), strings + sized(1, text))), PredictRequest
            )


@pytest.mark.parametrize(
    "odd", [b"\x98\x06\x01", b"\x98\x06" + b"\xff" * 9 + b"\x01", b"\x9b\x06\x9c\x06", b"\xa2\x06\x00"]
)
def test_what_no_sender_makes_many_of_is_refused_before_many_are_counted(monkeypatch, odd):
    monkeypatch.setattr(layout, "_SMALL_BYTES", 0)
    check_layout(odd * 500, PredictRequest)
    counted = []
    real = layout.read_varint
    monkeypatch.setattr(layout, "read_varint", lambda *given: counted.append(given[1]) or real(*given))
    with pytest.raises(InvalidRequest, match="1000 unknown ones"):
        check_layout(odd * 262_143, PredictRequest)
    assert len(counted) < 5_000


def test_a_wide_table_and_numbers_one_by_one_pass():
    columns = [Tensor(name=f"c{k}", dtype=11, shape=[64, 1], raw=bytes(256)) for k in range(8_000)]
    assert len(parse(PredictRequest, PredictRequest(inputs=columns).SerializeToString()).inputs) == 8_000
    one_by_one = in_input((varint(number_of(Tensor, "shape") << 3) + b"\1") * 1_000 + sized(15, bytes(LARGE)))
    assert len(parse(PredictRequest, one_by_one).inputs[0].shape) == 1_000


@pytest.mark.parametrize(
    "body", [b"\xff" * 20, b"\x0f", b"\x1a\xff\xff\xff\xff\x7f", b"\x1a", b"\x1a\x05\x0f"]
)
def test_what_is_malformed_is_left_to_protobuf(monkeypatch, body):
    monkeypatch.setattr(layout, "_SMALL_BYTES", 0)
    check_layout(body, PredictRequest)
    with pytest.raises(InvalidRequest, match=r"is not a valid tamiz\.v1\.PredictRequest"):
        parse(PredictRequest, body)


@pytest.mark.parametrize("tag", [b"\xba\x00", b"\xba\x80\x00", b"\xba\x80\x80\x80\x00"])
def test_a_tag_in_more_bytes_than_it_needs_is_counted_once_and_ends(tag):
    """protobuf reads such tags; the count never came past one."""
    padding = b"\x0a\x80\x80\x80\x01" + bytes(1 << 21)  # the model's name
    check_layout(tag + b"\x01a" + padding, ModelInferRequest)
    with pytest.raises(InvalidRequest, match="strings"):
        check_layout((tag + b"\x01a") * (MOST_STRINGS + 1) + padding, ModelInferRequest)
