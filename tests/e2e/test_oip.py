"""The Open Inference Protocol with real clients, each in its own environment, and a real server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc
from tests.conftest import TRANSPORTS

from tamiz.oip.inference import (
    ModelInferRequest,
    ModelInferResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from tamiz.v1.manifest_pb2 import Classes, Manifest
from tamiz_server.access.tokens import Right, entry, new_token

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).with_name("oip_clients")
INFERENCE = "/inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def clients(tmp_path_factory) -> Path:
    """Python of a fresh environment that holds tritonclient, kserve and mlserver, and nothing of ours."""
    folder = tmp_path_factory.mktemp("clients")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--disable-pip-version-check"]
    # The list is complete, and nobody reads most of it: neither resolving nor compiling is worth the time.
    install = ["install", "--quiet", "--no-deps", "--no-compile", "-r", CLIENTS / "requirements.txt"]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    return folder / "bin/python"


@pytest.fixture
def served(make_bundle, tmp_path, start_server):
    """A server with models of string and integer classes, of strings as input, and one that
    cannot be loaded.
    """

    def integers(manifest: Manifest) -> None:
        manifest.classes.CopyFrom(Classes(integers=[-3, 7]))

    for version in (1, 2):
        make_bundle(f"m/{version}")
    make_bundle("text/7", "text")
    make_bundle("numbers/1", change=integers)
    (tmp_path / "models/broken/1").mkdir(parents=True)
    (tmp_path / "models/broken/1/model.onnx").write_bytes(b"no model")
    return start_server


def run(python: str | Path, *arguments: str | Path) -> None:
    done = subprocess.run(
        [python, *arguments], capture_output=True, text=True, check=False, timeout=240, cwd="/", env={}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(600)
def test_tritonclient_and_kserves_client_are_served_and_can_be_imported_beside_us(
    clients, served, transport, tmp_path
):
    server = served("--http-port", "0")
    run(clients, CLIENTS / "with_tritonclient.py", server.target)
    run(clients, CLIENTS / "with_kserve.py", server.target)
    if transport != TRANSPORTS[0]:  # HTTP is the same beside either
        return
    target = f"127.0.0.1:{server.http_port}"
    for script in ("with_http.py", "with_kserve_rest.py"):
        run(clients, CLIENTS / script, target)
    # What a model refuses, its schema cannot know; and some paths answer 501 and 503, as they say.
    checks = ("--checks", "all", "--exclude-checks", "not_a_server_error,positive_data_acceptance")
    examples = ("--phases", "fuzzing", "--max-examples", "5", "--seed", "1", "--no-color")
    command = [clients.with_name("schemathesis"), "run", f"http://{target}/openapi.json", *checks, *examples]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path, env={}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bug" not in "".join(server.log)
    for package in ("tritonclient", "kserve", "mlserver"):
        for order in ("ours-first", "theirs-first"):
            run(clients, CLIENTS / "same_names_and_numbers.py", ROOT / "proto", package, order)


@pytest.mark.timeout(600)
def test_tritonclient_loads_and_unloads_models_while_others_are_answered(
    clients, make_bundle, tmp_path, start_server
):
    for where in ("m/1", "other/1", "broken/1"):
        made = make_bundle(where)
    made.write_bytes(b"no model")
    for k in range(30):
        path = make_bundle(
            f"../made/{k}", change=lambda m, k=k: setattr(m.threshold, "value", (500 + k) / 1000)
        )
        (tmp_path / "staging").mkdir(exist_ok=True)
        path.rename(tmp_path / f"staging/{k:02}")
    tokens = {"admin": new_token(), "caller": new_token()}
    rights = {"admin": list(Right), "caller": [Right.PREDICT]}
    (tmp_path / "tokens.toml").write_text(
        "".join(entry(name, digest, rights[name]) for name, (_, digest) in tokens.items())
    )
    server = start_server(
        *("--model-control-mode", "explicit", "--load-model", "m", "--model-poll-interval-s", "0.05"),
        *("--tokens-file", str(tmp_path / "tokens.toml")),
    )
    script = CLIENTS / "control_with_tritonclient.py"
    run(clients, script, server.target, tmp_path, *(token for token, _ in tokens.values()))
    log = "".join(server.log)
    assert "load of model 'other' asked for by the token 'admin'" in log
    assert not any(token in log for token, _ in tokens.values())
    assert "bug" not in log
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)


def test_stubs_made_of_the_published_file_are_served(served, tmp_path):
    proto = ROOT / "proto/tamiz/oip"
    arguments = [f"-I{proto}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    assert protoc.main(["protoc", *arguments, str(proto / "inference.proto")]) == 0
    script = """
import sys
sys.path.insert(0, sys.argv[2])
import grpc, inference_pb2 as pb, inference_pb2_grpc
stub = inference_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(sys.argv[1]))
assert stub.ServerLive(pb.ServerLiveRequest(), wait_for_ready=True, timeout=60).live
request = pb.ModelInferRequest(model_name="m", id="7")
sent = request.inputs.add(name="features", datatype="FP32", shape=[2, 2])
sent.contents.fp32_contents.extend([0, 3, 0, 0.1])
answer = stub.ModelInfer(request)
assert answer.id == "7" and answer.outputs[0].name == "label"
assert answer.raw_output_contents[0] == b"\\3\\0\\0\\0yes" + b"\\0\\0\\0\\0", answer
(streamed,) = stub.ModelStreamInfer(iter([request]))
assert streamed.infer_response == answer and not streamed.error_message
"""
    run(sys.executable, "-c", script, served().target, tmp_path)


def test_reflection_describes_both_services(served):
    with grpc.insecure_channel(served().target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) >= {
            "tamiz.v1.PredictionService",
            "inference.GRPCInferenceService",
            "grpc.health.v1.Health",
        }
        for name in (
            "inference.GRPCInferenceService",
            "inference.ModelInferRequest",
            "tamiz.v1.PredictRequest",
        ):
            file = database.FindFileContainingSymbol(name)
            assert file.package == name.rpartition(".")[0]
        assert database.FindFileByName("tamiz/v1/manifest.proto").package == "tamiz.v1"


def infer_request() -> ModelInferRequest:
    request = ModelInferRequest(model_name="m")
    sent = request.inputs.add(name="features", datatype="FP32", shape=[1, 2])
    sent.contents.fp32_contents.extend([0.0, 3.0])
    return request


def test_a_stopping_server_says_so_over_every_protocol_and_still_answers(served):
    server = served("--drain-delay-s", "3")
    with grpc.insecure_channel(server.target) as channel:

        def call(method: str, message, answer):
            return answer.FromString(
                channel.unary_unary(f"{INFERENCE}/{method}")(message.SerializeToString())
            )

        def readiness() -> list[bool]:
            health = health_pb2_grpc.HealthStub(channel)
            states = [
                health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
                for name in ("", "inference.GRPCInferenceService", "m")
            ]
            ready = call("ServerReady", ServerReadyRequest(), ServerReadyResponse).ready
            return [*states, ready, call("ModelReady", ModelReadyRequest(name="m"), ModelReadyResponse).ready]

        assert readiness() == [True] * 5
        server.process.send_signal(signal.SIGTERM)
        deadline_s = time.monotonic() + 2
        while any(states := readiness()) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert states == [False] * 5
        assert call("ModelInfer", infer_request(), ModelInferResponse).raw_output_contents[0].endswith(b"yes")
    assert server.stop() == 0
    assert "1 requests received, 1 answered" in "".join(server.log)


def test_what_the_protocol_knows_and_the_server_does_not_do_is_unimplemented(served):
    with grpc.insecure_channel(served().target) as channel:
        for method in ("SystemSharedMemoryStatus", "TraceSetting", "LogSettings", "RepositoryModelLoad"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"{INFERENCE}/{method}")(b"")
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
