"""The Open Inference Protocol's messages: the standard ones on the wire, without clashes within a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from grpc_tools import protoc

from tamiz.oip import inference

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory) -> Path:
    """A folder with the code that protoc generates; it registers in protobuf's default pool."""
    folder = tmp_path_factory.mktemp("stubs")
    proto = ROOT / "proto/tamiz/oip"
    assert (
        protoc.main(["protoc", f"-I{proto}", f"--python_out={folder}", str(proto / "inference.proto")]) == 0
    )
    return folder


@pytest.mark.parametrize(
    "order", [("tamiz.oip.inference", "inference_pb2"), ("inference_pb2", "tamiz.oip.inference")]
)
@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_ours_and_another_package_of_the_same_names_are_imported_in_any_order(stubs, order, implementation):
    script = f"""
import os, sys
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = {implementation!r}
sys.path[:0] = [{str(stubs)!r}, {str(ROOT / "proto")!r}]
import {order[0]}, {order[1]}, inference_pb2 as theirs
from tamiz.oip import inference as ours
sent = theirs.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"x"])
sent.inputs.add(name="x", datatype="FP32", shape=[1, 2])
sent.parameters["threshold"].double_param = 0.9
got = ours.ModelInferRequest.FromString(sent.SerializeToString(deterministic=True))
assert str(got) == str(sent)
assert got.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)
assert type(got) is not type(sent)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_service_and_its_messages_bear_the_protocols_names():
    service = inference.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert service.full_name == "inference.GRPCInferenceService"
    assert service.methods_by_name["ModelInfer"].input_type.full_name == "inference.ModelInferRequest"
    assert inference.DataType.Value("TYPE_STRING") == inference.TYPE_STRING == 13


def test_every_name_that_the_types_promise_is_there():
    promised = [
        name
        for line in (ROOT / "proto/tamiz/oip/inference.pyi").read_text().splitlines()
        for name in [line.removeprefix("class ").partition("(")[0]]
        if line.startswith("class ")
    ]
    assert "ModelInferRequest" in promised
    assert all(hasattr(inference, name) for name in promised)
