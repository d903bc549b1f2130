"""Fields are found where protobuf finds them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiz.bundle_format import FormatError, OnnxParts, graph_digest, parse_bundle
from tamiz.v1.onnx_file_pb2 import MetadataEntry, OnnxFile
from tamiz.v1.prediction_pb2 import ModelVersions
from tamiz.wire_fields import WireError, bytes_fields, read_varint, write_varint

FILES = st.builds(
    OnnxFile,
    ir_version=st.integers(-(2**63), 2**63 - 1),
    graph=st.binary(max_size=300),
    opset_import=st.lists(st.binary(max_size=20), max_size=3),
    functions=st.lists(st.binary(max_size=20), max_size=3),
    metadata_props=st.lists(st.builds(MetadataEntry, key=st.text(), value=st.text()), max_size=3),
)


def assert_same(parts: OnnxParts, file: OnnxFile) -> None:
    assert bytes(parts.graph) == file.graph
    assert [bytes(each) for each in parts.opset_import] == list(file.opset_import)
    assert [bytes(each) for each in parts.functions] == list(file.functions)
    assert list(parts.metadata_props) == list(file.metadata_props)


@settings(deadline=None)
@given(FILES)
def test_every_file_that_protobuf_writes_has_the_same_parts_and_digest(file):
    parts = OnnxParts.of(file.SerializeToString())
    assert_same(parts, file)
    assert graph_digest(parts) == graph_digest(file)


@settings(deadline=None)
@given(FILES, st.data())
def test_what_is_taken_from_spoilt_bytes_is_what_protobuf_takes(file, data):
    content = bytearray(file.SerializeToString() or b"\x08\x01")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    spoilt = bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(WireError, FormatError, DecodeError):
        assert_same(OnnxParts.of(spoilt), _from_protobuf(spoilt))


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_number_of_variable_length_is_read_as_it_was_written(number, after):
    written = write_varint(number)
    assert read_varint(b"\0" + written + after, 1) == (number, 1 + len(written))
    field = ModelVersions(versions=[number >> 1]).SerializeToString()  # a tag, a length, and the number
    assert field.endswith(write_varint(number >> 1))


def _from_protobuf(content: bytes) -> OnnxFile:
    try:
        return OnnxFile.FromString(content)
    except DecodeError as error:
        raise AssertionError("we took what protobuf refuses") from error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x3a\x05abc", "field 7 ends at byte 7, the file at 5"),
        (b"\x3a", "an unfinished number at byte 1"),
        (b"\x08" + b"\xff" * 11, "an unfinished number"),
        (b"\x02\x01a", "field number 0"),
        (b"\x3b\x3c", "wire type 3"),
    ],
)
def test_what_is_no_message_is_refused(content, message):
    with pytest.raises(WireError, match=message):
        list(bytes_fields(content))


def test_numbers_are_passed_over():
    content = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4) + b"\x3a\x01x"
    assert [(number, bytes(field)) for number, field in bytes_fields(content)] == [(7, b"x")]


def test_two_graphs_are_refused_because_a_runtime_would_merge_them():
    with pytest.raises(FormatError, match="it holds 2 graphs"):
        parse_bundle(b"\x3a\x01x\x3a\x01y")
