"""Generated code is fresh, and messages mean what they meant."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

import pytest
from grpc_tools import protoc

from tamiz.bundle_format import MANIFEST_KEY
from tamiz.gate import NO_CLASS
from tamiz.v1.prediction_pb2 import PredictResponse

ROOT = Path(__file__).parents[2]


def test_the_generated_code_is_that_of_the_proto_files(tmp_path):
    protos = sorted((ROOT / "proto/tamiz/v1").glob("*.proto"))
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'proto'}",
            f"-I{well_known}",
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            *map(str, protos),
        ]
    )
    assert status == 0
    generated = sorted((tmp_path / "tamiz/v1").iterdir())
    assert len(generated) == 2 * len(protos)
    for fresh in generated:
        committed = ROOT / "proto/tamiz/v1" / fresh.name
        assert committed.read_text() == fresh.read_text(), f"{committed.name} is stale: run make proto"


def test_the_descriptor_and_the_types_of_the_open_inference_protocol_are_those_of_its_proto_file(tmp_path):
    status = protoc.main(
        [
            "protoc",
            f"-I{ROOT / 'proto'}",
            f"--pyi_out={tmp_path}",
            f"--descriptor_set_out={tmp_path / 'inference.binpb'}",
            str(ROOT / "proto/tamiz/oip/inference.proto"),
        ]
    )
    assert status == 0
    committed = ROOT / "proto/tamiz/oip"
    fresh = (tmp_path / "tamiz/oip/inference_pb2.pyi").read_text()
    assert (committed / "inference.pyi").read_text() == fresh, "inference.pyi is stale: run make proto"
    fresh = (tmp_path / "inference.binpb").read_bytes()
    assert (committed / "inference.binpb").read_bytes() == fresh, "inference.binpb is stale: run make proto"


@pytest.mark.parametrize("path", sorted((ROOT / "proto").rglob("*.proto")), ids=lambda path: path.name)
def test_go_can_import_what_it_generates(path):
    """A path whose first element has no dot belongs to Go's standard library."""
    (option,) = re.findall(r'^option go_package = "(.*)";$', path.read_text(), re.MULTILINE)
    import_path, name = option.split(";")
    domain, *folders = import_path.split("/")
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain)
    assert folders == list(path.parent.relative_to(ROOT / "proto").parts)
    assert re.fullmatch("[a-z][a-z0-9]*", name)


def test_messages_put_one_after_the_other_are_merged():
    # The server prepares the constant part of an answer once and puts it before each answer.
    constant = PredictResponse(model_name="m", model_version=2).SerializeToString()
    changing = PredictResponse(accepted=[True], confidence=[0.9]).SerializeToString()
    answer = PredictResponse.FromString(constant + changing)
    assert (answer.model_name, answer.model_version, list(answer.accepted)) == ("m", 2, [True])


def test_an_abstained_rows_class_index_is_an_index_of_nothing():
    answer = PredictResponse.FromString(PredictResponse(class_index=[NO_CLASS]).SerializeToString())
    assert answer.class_index[0] == 2**32 - 1


def test_the_key_of_the_manifest_does_not_change():
    assert MANIFEST_KEY == "tamiz.v1.Manifest"
