"""Clients and servers of every recorded version understand those of today; see `record.py`.

0.1.0a1 is the code of commit a258b69, before requests carried a digest of their inputs.
"""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from tests.serving_parts import Serving

from tamiz.oip import inference
from tamiz.v1 import manifest_pb2, prediction_pb2
from tamiz.v1.prediction_pb2 import GetModelRequest, PredictRequest, PredictResponse
from tamiz_client.answers import read_info, read_result
from tamiz_client.encoding import build_request

HERE = Path(__file__).parent
GOLDEN = sorted((HERE.parent / "golden").glob("*/model.onnx"))
VERSIONS = sorted(path.parent.name for path in HERE.glob("*/calls.json"))
V1 = "/tamiz.v1.PredictionService/"


def calls(version, method=None):
    """Return what was asked and answered: method, request, answer."""
    recorded = json.loads((HERE / version / "calls.json").read_text())
    found = [
        (each["method"], bytes.fromhex(each["request"]), bytes.fromhex(each["answer"])) for each in recorded
    ]
    return [each for each in found if method in (None, each[0])]


def contract(version):
    """Return the contract of a version."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString((HERE / version / "contract.binpb").read_bytes())
    for file in files.file:
        pool.Add(file)
    return pool, files


def message_types(pool, method):
    """Return the classes of a method's request and answer, of some version."""
    service, _, name = method[1:].rpartition("/")
    found = pool.FindServiceByName(service).methods_by_name[name]
    return tuple(message_factory.GetMessageClass(each) for each in (found.input_type, found.output_type))


def models(version):
    """Return the models that a server described, as today's client reads them."""
    found = [
        read_info(answer, GetModelRequest.FromString(asked))
        for _, asked, answer in calls(version, f"{V1}GetModel")
    ]
    return {info.name: info for info in found}


def known(message):
    """Return what a reader of the message knows of it."""
    return MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Today's server with the golden bundles of every format: `server(method, request)`."""
    serving = Serving(tmp_path_factory.mktemp("models"), max_queue_delay_us=0)
    methods = {
        f"/{service.name}/{name}": method
        for service in (serving.v1, serving.oip)
        for name, method in service.methods.items()
    }

    async def serve():
        serving.serve({(path.parent.name, 1): path for path in GOLDEN})

    with asyncio.Runner() as runner:
        runner.run(serve())

        async def answer(method, request):
            return await methods[method](request, math.inf, lambda: ())

        yield lambda method, request: runner.run(answer(method, request))


def test_something_is_recorded():
    assert VERSIONS == ["0.1.0", "0.1.0a1"]
    for version in VERSIONS:
        assert len(calls(version, f"{V1}Predict")) == 2 * len(GOLDEN)


def decisions(response):
    """Return what a caller may rely on: which rows were accepted, and the answers to these."""
    accepted = np.array(response.accepted)
    columns = [accepted, np.array(response.class_index)[accepted], np.array(response.confidence)[accepted]]
    if response.probabilities:
        columns.append(np.frombuffer(response.probabilities).reshape(len(accepted), -1)[accepted])
    return [*columns, np.array(response.thresholds or [response.threshold])]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_client_is_answered_by_todays_server_as_by_its_own(version, server):
    """It reads the answer by its own contract, and finds what its own server said.

    Why a row abstains, and what an abstained row would have been, may change.
    """
    pool, _ = contract(version)
    for method, request, recorded in calls(version):
        _, answer_type = message_types(pool, method)
        now, then = (answer_type.FromString(each) for each in (server(method, request), recorded))
        if method == f"{V1}Predict":
            for mine, theirs in zip(decisions(now), decisions(then), strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-9)
            assert (now.model_name, now.model_version, now.classes) == (
                then.model_name,
                then.model_version,
                then.classes,
            )
        elif method == f"{V1}GetModel":
            assert (now.name, now.version) == (then.name, then.version)
            assert known(now.manifest).items() >= known(then.manifest).items()
        else:
            assert says(known(now), known(then))


def says(now, then):
    """Return whether what was said then is still said; more may have come, at the end of a list."""
    if isinstance(then, dict):
        return all(name in now and says(now[name], value) for name, value in then.items())
    if isinstance(then, list):
        return len(now) >= len(then) and all(map(says, now, then))
    return now == then


@pytest.mark.parametrize("version", VERSIONS)
def test_todays_client_asks_an_old_server_what_the_old_client_asked(version):
    """The old server reads the request by its own contract; what it does not know it passes over."""
    pool, _ = contract(version)
    infos = models(version)
    for method, recorded, _ in calls(version, f"{V1}Predict"):
        request_type, _ = message_types(pool, method)
        then = PredictRequest.FromString(recorded)
        specs = infos[then.model_name].manifest.inputs
        rows = np.load(HERE.parent / "golden" / then.model_name / "expected.npz")
        now = build_request(
            then.model_name,
            {spec.name: rows[spec.name] for spec in specs},
            specs,
            version=then.model_version or None,
            threshold=then.threshold if then.HasField("threshold") else None,
            return_probabilities=then.return_probabilities,
        )
        told, asked = (request_type.FromString(each.SerializeToString()) for each in (now, then))
        assert known(told) == {name: value for name, value in known(asked).items() if name != "inputs_digest"}


@pytest.mark.parametrize("version", VERSIONS)
def test_todays_client_reads_what_an_old_server_answered(version):
    infos = models(version)
    for _, request, recorded in calls(version, f"{V1}Predict"):
        asked, answer = PredictRequest.FromString(request), PredictResponse.FromString(recorded)
        result = read_result(answer, asked, asked.inputs[0].shape[0], infos[asked.model_name])
        assert result.accepted.tolist() == list(answer.accepted)
        assert result.confidence.tolist() == list(answer.confidence)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_contract_only_grows(version):
    """Fields keep name, number and type; values of enums name and number; methods what they take."""
    _, then = contract(version)
    now = descriptor_pb2.FileDescriptorSet()
    for module in (manifest_pb2, prediction_pb2, inference):
        module.DESCRIPTOR.CopyToProto(now.file.add())
    assert facts(then.file) - facts(now.file) == {
        fact for fact in facts(then.file) if fact[0].startswith("google.")
    }


def facts(parts, prefix=""):
    """Return what files and messages define, each fact as a tuple that begins with a name."""
    found = set()
    for part in parts:
        name = f"{prefix}.{part.name}" if prefix else part.package
        for field in getattr(part, "field", ()):
            found.add((f"{name}.{field.name}", field.number, field.type, field.label, field.type_name))
        for enum in part.enum_type:
            found |= {(f"{name}.{enum.name}.{value.name}", value.number) for value in enum.value}
        for service in getattr(part, "service", ()):
            found |= {
                (f"{name}.{service.name}.{each.name}", each.input_type, each.output_type)
                for each in service.method
            }
        found |= facts([*getattr(part, "message_type", ()), *getattr(part, "nested_type", ())], name)
    return found
