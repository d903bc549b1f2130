"""Hostile messages to every method: each gets a status that the contract names, and right answers go on being
right.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path
from random import Random

import grpc
import numpy as np
import pytest
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.asking import metric

from tamiz.oip import inference as oip
from tamiz.v1.manifest_pb2 import DataType
from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    PredictRequest,
    PredictResponse,
    StreamPredictResponse,
    Strings,
    Tensor,
)

from .mutations import mutated

SECTION = "Hostile input"
SEED = 20_240_229
AT_ONCE = 32
PREDICT = "/tamiz.v1.PredictionService/Predict"
STREAM = "/tamiz.v1.PredictionService/StreamPredict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DOCUMENTED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
    "UNAVAILABLE",
}
NOT_OFFERED = {"RepositoryModelLoad", "RepositoryModelUnload"}
FLOATS = np.array([[0, 3], [3, 0]], "<f4")


def typed_messages():
    features = Tensor(name="features", dtype=11, shape=[2, 2], raw=FLOATS.tobytes())
    answer = Tensor(name="answer", dtype=13, shape=[2, 1], strings=Strings(values=["yes", "no"]))
    age = Tensor(name="age", dtype=12, shape=[2, 1], raw=np.array([0.1, 0.9]).tobytes())
    return [
        PredictRequest(model_name="good", inputs=[features], threshold=0.9, id="x"),
        PredictRequest(model_name="good", inputs=[features], model_version=1, return_probabilities=True),
        PredictRequest(model_name="good", inputs=[features], timeout_us=10_000_000, priority=2),
        PredictRequest(model_name="text", inputs=[answer, age]),
        PredictRequest(model_name="good", inputs=[features], model_label="stable"),
    ]


def infer_messages():
    features = oip.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=[2, 2])
    raw = oip.ModelInferRequest(model_name="good", inputs=[features], raw_input_contents=[FLOATS.tobytes()])
    raw.parameters["threshold"].double_param = 0.9
    raw.parameters["timeout"].int64_param = 10_000_000
    raw.parameters["priority"].uint64_param = 2
    raw.outputs.add(name="probabilities")
    contents = oip.ModelInferRequest(model_name="good", model_version="1", id="y", inputs=[features])
    contents.inputs[0].contents.fp32_contents.extend(FLOATS.ravel().tolist())
    text = oip.ModelInferRequest(model_name="text")
    text.inputs.add(name="answer", datatype="BYTES", shape=[1, 1])
    text.inputs.add(name="age", datatype="FP64", shape=[1, 1])
    text.raw_input_contents.extend([b"\x03\x00\x00\x00yes", np.array([0.5]).tobytes()])
    return [raw, contents, text]


def valid_messages():
    """Return each method's path, and messages that are right for it."""
    named = {
        "ModelReady": oip.ModelReadyRequest(name="good", version="1"),
        "ModelMetadata": oip.ModelMetadataRequest(name="good"),
        "ModelConfig": oip.ModelConfigRequest(name="text"),
        "ModelStatistics": oip.ModelStatisticsRequest(name="good"),
        "RepositoryIndex": oip.RepositoryIndexRequest(ready=True),
        "RepositoryModelLoad": oip.RepositoryModelLoadRequest(model_name="good"),
        "RepositoryModelUnload": oip.RepositoryModelUnloadRequest(model_name="good"),
        "ServerLive": oip.ServerLiveRequest(),
        "ServerReady": oip.ServerReadyRequest(),
        "ServerMetadata": oip.ServerMetadataRequest(),
    }
    messages = {
        PREDICT: typed_messages(),
        STREAM: typed_messages(),
        "/tamiz.v1.PredictionService/ListModels": [ListModelsRequest()],
        "/tamiz.v1.PredictionService/GetModel": [GetModelRequest(name="good", version=1)],
        INFER: infer_messages(),
        INFER_STREAM: infer_messages(),
        CHECK: [HealthCheckRequest(service="good"), HealthCheckRequest()],
        WATCH: [HealthCheckRequest(service="good/1")],
        REFLECT: [
            ServerReflectionRequest(list_services="*"),
            ServerReflectionRequest(file_containing_symbol="tamiz.v1.PredictionService"),
        ],
        **{f"/inference.GRPCInferenceService/{name}": [message] for name, message in named.items()},
    }
    return {path: [each.SerializeToString() for each in some] for path, some in messages.items()}


def test_every_method_of_the_contract_is_attacked():
    methods = {method.name for method in oip.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
    assert {path.rpartition("/")[2] for path in valid_messages() if "/inference" in path} == methods


@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECT])
def test_bytes_that_are_no_message_of_health_or_reflection_are_an_invalid_argument(server, path):
    """grpcio by itself answers UNKNOWN, and writes a traceback into the log."""
    with grpc.insecure_channel(server.target) as channel:
        call = channel.stream_stream(path)(iter([b"\x1e\x10`"]), timeout=30)
        with pytest.raises(grpc.RpcError) as refused:
            list(call)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in "".join(server.log)


@pytest.mark.parametrize("name", ["x" * 100_000, "🦊" * 30_000])
def test_a_long_name_in_a_request_does_not_make_its_error_unreadable(server, name):
    """More metadata than a client takes became another status: the reason was lost."""
    message = PredictRequest(model_name=name).SerializeToString()
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(PREDICT)(message, timeout=30)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details().startswith("no model")
    assert refused.value.details().endswith("served: good, text")


class Attack:
    """Sends messages, and counts what came of them."""

    def __init__(self, target: str) -> None:
        self.codes: Counter[str] = Counter()
        self.predictions = 0
        self.valid = 0
        self._channel = aio.insecure_channel(target, options=[("grpc.enable_retries", 0)])

    async def send(self, path: str, message: bytes) -> None:
        if path in (STREAM, INFER_STREAM, REFLECT):
            call = self._channel.stream_stream(path)(timeout=60)
        elif path == WATCH:
            call = self._channel.unary_stream(path)(message, timeout=60)
        else:
            call = self._channel.unary_unary(path)(message, timeout=60)
        self.predictions += path in (PREDICT, STREAM, INFER, INFER_STREAM)
        code, details = await self._outcome(path, call, message)
        allowed = DOCUMENTED | ({"UNIMPLEMENTED"} if path.rpartition("/")[2] in NOT_OFFERED else set())
        assert code in allowed, f"{path}: {code}: {details}; message {message.hex()}"
        self.codes[code] += 1

    async def _outcome(self, path, call, message):
        try:
            if path == WATCH:
                # The status now; later ones would come when it changes.
                assert await call.read() is not aio.EOF
                call.cancel()
            elif path in (STREAM, INFER_STREAM, REFLECT):
                await call.write(message)
                await call.done_writing()
                answers = [answer async for answer in call]
                if path == STREAM:
                    (answer,) = map(StreamPredictResponse.FromString, answers)
                    if answer.HasField("failure"):
                        name = answer.failure.DESCRIPTOR.fields_by_name["code"].enum_type
                        code = name.values_by_number[answer.failure.code].name.removeprefix("STATUS_CODE_")
                        return code, answer.failure.message
                elif path == INFER_STREAM:
                    (answer,) = map(oip.ModelStreamInferResponse.FromString, answers)
                    if answer.error_message:
                        return answer.error_message.partition(":")[0], answer.error_message
            else:
                await call
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return "OK", ""

    async def ask(self) -> None:
        """Send a right request, and check the answer."""
        self.predictions += 1
        self.valid += 1
        answer = PredictResponse.FromString(
            await self._channel.unary_unary(PREDICT)(typed_messages()[1].SerializeToString(), timeout=60)
        )
        assert list(answer.class_index) == [1, 0]
        assert list(answer.accepted) == [True, True]
        assert list(answer.confidence) == pytest.approx([1 / (1 + np.exp(-3))] * 2)

    async def close(self) -> None:
        await self._channel.close()


@pytest.fixture
def server(make_bundle, start_server, tmp_path):
    make_bundle("good/1")
    make_bundle("text/1", "text")
    (tmp_path / "models/good/settings.toml").write_text("[labels]\nstable = 1\n")
    return start_server("--max-queue-size", "2000")


def memory_bytes(server, what="VmRSS"):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) * 1024


def assert_unharmed(server, predictions, before_bytes):
    """Every message is counted and in the log, and none is still in memory."""
    assert metric(server, "tamiz_requests_received_total") == predictions
    assert metric(server, "tamiz_requests_total") == predictions
    assert metric(server, "tamiz_requests_in_flight") == 0
    assert metric(server, "tamiz_streams_open") == 0
    assert memory_bytes(server, "VmHWM") < before_bytes + (500 << 20)
    log = "".join(server.log)
    assert "Traceback" not in log
    assert "bug" not in log
    assert "raised by servicer" not in log
    assert server.stop() == 0


async def attack_all(attack, todo):
    pending = iter(todo)

    async def sender():
        for number, (path, message) in enumerate(pending):
            await attack.send(path, message)
            if number % 20 == 0:
                await attack.ask()

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
    await attack.close()


async def test_mutated_messages_are_answered_or_refused_as_the_contract_says(server, scaled, record):
    random, messages = Random(SEED), valid_messages()
    everything = [message for some in messages.values() for message in some]
    paths = sorted(messages)
    n_messages = scaled(1_000, 100_000)
    before_bytes = memory_bytes(server)

    def todo():
        for number in range(n_messages):
            path = paths[number % len(paths)]
            # Now and then a message of another method.
            yield path, mutated(random, messages[path] if random.random() < 0.9 else everything)

    attack = Attack(server.target)
    await attack_all(attack, todo())
    assert attack.codes.total() == n_messages
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= set(attack.codes)
    assert_unharmed(server, attack.predictions, before_bytes)
    record(
        SECTION,
        "mutated messages to every method of every service",
        n_messages,
        lost=0,
        seen=f"Every one got a documented status; {attack.valid} right requests in between were answered"
        f" right.",
    )


NAMES = st.sampled_from(["features", "answer", "age", "", "\0", "é" * 5_000, "features "]) | st.text(
    max_size=20
)
MODELS = st.sampled_from(["good", "text", "", "x" * 100_000, "🦊" * 3_000, "good/1", "../good"]) | st.text(
    max_size=9
)
INT64 = st.integers(-(2**63), 2**63 - 1)
SIZES = st.sampled_from([0, 1, 2, -1, 2**31, 2**32 + 1, 2**62, 2**63 - 1, -(2**63)]) | INT64
SHAPES = st.lists(SIZES, max_size=4) | st.sampled_from([[2, 2], [2, 1], [1, 2], [1] * 5_000])
RAW = st.sampled_from([FLOATS.tobytes(), b"", bytes(7)]) | st.binary(max_size=40)
THRESHOLDS = st.none() | st.floats() | st.sampled_from([0.0, 1.0, -0.0, float("nan"), float("inf"), 1e308])
DATATYPES = st.sampled_from(
    ["FP32", "FP64", "BYTES", "BF16", "FP16", "BOOL", "INT8", "", "fp32", "x" * 9_000]
)
ENUMS = st.sampled_from([0, 1, 2, 11, 12, 13, 99, -1, 2**31 - 1, -(2**31)])


@st.composite
def tensors(draw):
    tensor = Tensor(name=draw(NAMES), shape=draw(SHAPES))
    tensor.dtype = draw(ENUMS | st.sampled_from(list(DataType.values())))
    match draw(st.integers(0, 2)):
        case 0:
            tensor.raw = draw(RAW)
        case 1:
            tensor.strings.values.extend(draw(st.lists(st.text(max_size=8), max_size=4)))
    return tensor


@st.composite
def typed_requests(draw):
    request = PredictRequest(
        model_name=draw(MODELS),
        model_version=draw(st.just(0) | SIZES),
        inputs=draw(st.lists(tensors(), max_size=3) | tensors().map(lambda tensor: [tensor] * 50)),
        threshold=draw(THRESHOLDS),
        return_probabilities=draw(st.booleans()),
        timeout_us=abs(draw(st.just(0) | SIZES)) % 2**63,
        model_label=draw(st.just("") | MODELS),
        id=draw(st.text(max_size=9)),
    )
    request.priority = draw(ENUMS)
    return PREDICT, request


@st.composite
def oip_tensors(draw):
    tensor = oip.ModelInferRequest.InferInputTensor(name=draw(NAMES), shape=draw(SHAPES))
    tensor.datatype = draw(DATATYPES)
    if draw(st.booleans()):
        tensor.contents.fp32_contents.extend(draw(st.lists(st.floats(width=32), max_size=4)))
    if draw(st.booleans()):
        tensor.contents.bytes_contents.extend(draw(st.lists(st.binary(max_size=8), max_size=4)))
    return tensor


@st.composite
def oip_raw(draw):
    length = draw(st.sampled_from([0, 3, 2**31, 2**32 - 1]))
    return length.to_bytes(4, "little") + draw(RAW)


PARAMETERS = st.one_of(
    st.floats().map(lambda value: oip.InferParameter(double_param=value)),
    SIZES.map(lambda value: oip.InferParameter(int64_param=value)),
    st.integers(0, 2**64 - 1).map(lambda value: oip.InferParameter(uint64_param=value)),
    (st.sampled_from(["nan", "1e999", "-0", "0x1", "9" * 5_000]) | st.text(max_size=9)).map(
        lambda value: oip.InferParameter(string_param=value)
    ),
    st.booleans().map(lambda value: oip.InferParameter(bool_param=value)),
    st.just(oip.InferParameter()),
)


@st.composite
def oip_requests(draw):
    request = oip.ModelInferRequest(
        model_name=draw(MODELS),
        model_version=draw(st.just("") | MODELS | SIZES.map(str)),
        inputs=draw(st.lists(oip_tensors(), max_size=3)),
        raw_input_contents=draw(st.lists(oip_raw(), max_size=3)),
    )
    for name in draw(st.lists(st.sampled_from(["threshold", "timeout", "priority", "other"]), max_size=3)):
        request.parameters[name].CopyFrom(draw(PARAMETERS))
    for name in draw(
        st.lists(st.sampled_from(["label", "probabilities", "nothing", "é" * 5_000]), max_size=3)
    ):
        request.outputs.add(name=name)
    return INFER, request


def test_absurd_messages_are_refused_with_a_reason_that_can_be_read(server, scaled, record):
    n_messages = scaled(300, 20_000)
    before_bytes = memory_bytes(server)
    sent, streams = Counter(), {PREDICT: STREAM, INFER: INFER_STREAM}
    with asyncio.Runner() as runner:
        attack = runner.run(_made(server.target))

        @seed(SEED)
        @settings(
            max_examples=n_messages,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.one_of(typed_requests(), oip_requests()), st.booleans())
        def send(request, on_a_stream):
            path, message = request
            path = streams[path] if on_a_stream else path
            runner.run(attack.send(path, message.SerializeToString()))
            sent[path] += 1
            if sent.total() % 20 == 0:
                runner.run(attack.ask())

        send()
        runner.run(attack.close())
    assert_unharmed(server, attack.predictions, before_bytes)
    record(
        SECTION,
        "messages with absurd names, types, shapes, counts, lengths and thresholds",
        sent.total(),
        lost=0,
        seen=f"Every one got a documented status; {attack.valid} right requests in between were answered"
        f" right.",
    )


async def _made(target):
    return Attack(target)
