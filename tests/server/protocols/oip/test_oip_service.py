"""The Open Inference Protocol: the same decisions, counts and statuses as the typed service."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving_parts import Serving

from tamiz.oip.inference import (
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    ModelStatisticsResponse,
    ModelStreamInferResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    ServerReadyResponse,
)
from tamiz.v1.prediction_pb2 import PredictRequest, Reason, Tensor
from tamiz_server.errors import (
    DeadlineExceeded,
    InputsChanged,
    InvalidRequest,
    ModelNotFound,
    NotOffered,
    RowsFailed,
    TamizError,
    Unavailable,
)
from tamiz_server.protocols.oip.service import OipService


@pytest.fixture
def make_serving(make_bundle, by_class, tmp_path) -> Callable[..., Serving]:
    """Makes a server: versions 1 and 2 of m, a model whose thresholds differ, one that fails."""
    paths = {
        ("m", 1): make_bundle("m/1"),
        ("m", 2): make_bundle(
            "m/2", change=lambda m: m.threshold.certificate.proven_thresholds.extend([0.8, 0.9])
        ),
        ("classes", 1): make_bundle("classes/1", change=by_class),
        ("failing", 1): make_bundle("failing/1", "failing"),
    }

    def make(**settings_: Any) -> Serving:
        serving = Serving(tmp_path, **settings_)
        serving.serve(paths)
        return serving

    return make


def request(rows: np.ndarray, *outputs: str, model: str = "m", **fields: Any) -> ModelInferRequest:
    request = ModelInferRequest(model_name=model, raw_input_contents=[rows.astype("<f4").tobytes()], **fields)
    request.inputs.add(name="features", datatype="FP32", shape=rows.shape)
    for name in outputs:
        request.outputs.add(name=name)
    return request


def margins(*values: float) -> np.ndarray:
    return np.array([[0.0, value] for value in values])


async def infer(
    oip: OipService, message: ModelInferRequest, deadline_s: float = math.inf
) -> ModelInferResponse:
    body = await oip.methods["ModelInfer"](message.SerializeToString(), deadline_s, lambda: ())
    return ModelInferResponse.FromString(body)


async def call(oip: OipService, method: str, message: Any, answer: Any) -> Any:
    return answer.FromString(await oip.methods[method](message.SerializeToString(), math.inf, lambda: ()))


def columns(response: ModelInferResponse) -> dict[str, Any]:
    raw = {
        each.name: (each, content)
        for each, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    assert not any(each.HasField("contents") for each in response.outputs), "always raw"
    dtypes = {"FP64": "<f8", "BOOL": "?", "INT64": "<i8"}
    return {
        name: np.frombuffer(content, dtypes[each.datatype]).reshape(each.shape)
        if each.datatype in dtypes
        else texts(content)
        for name, (each, content) in raw.items()
    }


def texts(content: bytes) -> list[str]:
    values, position = [], 0
    while position < len(content):
        (size,) = struct.unpack_from("<I", content, position)
        values.append(content[position + 4 : position + 4 + size].decode())
        position += 4 + size
    return values


NUMBERS = st.one_of(st.floats(-6, 6, width=32), st.sampled_from([math.nan, math.inf, -math.inf]))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=90).map(np.array)


@pytest.mark.parametrize("reveal", [False, True])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, threshold=st.one_of(st.none(), st.floats(0, 1)), model=st.sampled_from(["m", "classes"]))
async def test_a_rows_decision_is_the_same_over_either_service(make_serving, reveal, rows, threshold, model):
    every = ("label", "confidence", "accepted", "reason", "probabilities", "threshold", "certified")

    serving = make_serving(reveal_abstained=reveal)
    sent = request(rows, *every, model=model)
    if threshold is not None:
        sent.parameters["threshold"].double_param = threshold
    answered = await infer(serving.oip, sent)
    got = columns(answered)
    features = Tensor(name="features", dtype=11, shape=rows.shape, raw=rows.astype("<f4").tobytes())
    typed = PredictRequest(
        model_name=model, inputs=[features], threshold=threshold, return_probabilities=True
    )
    expected = await serving.predict(typed.SerializeToString())
    names = dict(enumerate(expected.classes.strings))
    assert got["label"] == [names.get(index, "") for index in expected.class_index]
    assert got["accepted"].tolist() == list(expected.accepted)
    assert got["confidence"].tolist() == list(expected.confidence)
    assert got["reason"] == [
        Reason.Name(reason).removeprefix("REASON_") if reason else "" for reason in expected.reasons
    ]
    assert got["probabilities"].tobytes() == expected.probabilities
    assert got["threshold"].tolist() == (list(expected.thresholds) or [expected.threshold] * len(rows))
    assert got["certified"].tolist() == (list(expected.rows_certified) or [expected.certified] * len(rows))
    assert answered.parameters["certified"].bool_param == expected.certified


async def test_an_answer_names_model_version_and_request(make_serving):
    oip = make_serving().oip
    answer = await infer(oip, request(margins(3.0), model_version="1", id="ñ7"))
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "ñ7")
    assert [each.name for each in answer.outputs] == ["label", "confidence", "accepted", "reason"]


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        (
            request(margins(1.0), model="nobody"),
            ModelNotFound,
            "no model 'nobody'; served: classes, fail",
        ),
        (request(margins(1.0), model_version="3"), ModelNotFound, "no version 3"),
        (request(margins(1.0), model_version="0"), ModelNotFound, "no label '0'"),
        (request(margins(1.0), model_version="latest"), ModelNotFound, "no label 'latest' of model 'm'"),
        (request(margins(1.0), "score"), InvalidRequest, "unknown output 'score'"),
        (request(margins(*[1.0] * 20_000)), InvalidRequest, "20000 rows; at most 16384"),
        (ModelInferRequest(model_name="m"), InvalidRequest, "is missing"),
    ],
)
async def test_a_bad_request_gets_its_status_and_is_counted(make_serving, message, error, words):
    serving = make_serving()
    with pytest.raises(error, match=words):
        await infer(serving.oip, message)
    await infer(serving.oip, request(margins(3.0)))
    assert serving.ended() == serving.metrics.received == 2


async def test_rows_on_which_the_model_fails_are_an_invalid_argument(make_serving):
    oip = make_serving().oip
    message = ModelInferRequest(model_name="failing")
    row = message.inputs.add(name="row", datatype="INT64", shape=[1, 1])
    row.contents.int64_contents.append(99)
    with pytest.raises(RowsFailed, match="log says where"):
        await infer(oip, message)


async def test_a_timeout_is_a_deadline(make_serving):
    oip = make_serving(max_queue_delay_us=200_000).oip
    message = request(margins(3.0))
    message.parameters["timeout"].int64_param = 1_000
    with pytest.raises(DeadlineExceeded):
        await infer(oip, message)


def put(message: ModelInferRequest, where: str, name: str, **value: Any) -> ModelInferRequest:
    """Put a parameter into the request, its input or its output."""
    part = {"request": [message], "input": message.inputs, "output": message.outputs}[where][0]
    field, content = next(iter(value.items()))
    setattr(part.parameters[name], field, content)
    return message


@pytest.mark.parametrize(
    ("where", "name", "value", "words"),
    [
        ("request", "sequence_id", {"int64_param": 7}, "there are no sequences"),
        ("request", "sequence_id", {"string_param": "a"}, "there are no sequences"),
        ("request", "sequence_start", {"bool_param": True}, "there are no sequences"),
        ("request", "sequence_end", {"bool_param": True}, "there are no sequences"),
        ("output", "classification", {"int64_param": 3}, "of 'label' is not offered: the output label"),
        ("output", "shared_memory_region", {"string_param": "r"}, "of 'label' is not offered"),
        (
            "input",
            "shared_memory_region",
            {"string_param": "r"},
            "of 'features' is not offered: tens",
        ),
        ("input", "shared_memory_byte_size", {"int64_param": 8}, "not in shared memory"),
        (
            "request",
            "treshold",
            {"double_param": 0.99},
            r"unknown .*: did you mean threshold\?",
        ),
        ("request", "time_out", {"int64_param": 1}, r"did you mean timeout\?"),
    ],
)
async def test_what_is_not_offered_is_refused_by_name(make_serving, where, name, value, words):
    with pytest.raises(InvalidRequest, match=words) as refused:
        await infer(make_serving().oip, put(request(margins(3.0), "label"), where, name, **value))
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("request", "sequence_id", {"int64_param": 0}),
        ("request", "sequence_id", {"string_param": ""}),
        ("request", "sequence_start", {"bool_param": False}),
        ("output", "classification", {"int64_param": 0}),
        ("output", "binary_data", {"bool_param": True}),
        ("input", "binary_data_size", {"int64_param": 8}),
        ("request", "binary_data_output", {"bool_param": True}),
        ("request", "triton_enable_empty_final_response", {"bool_param": True}),
        ("request", "tenant", {"string_param": "a"}),
    ],
)
async def test_what_changes_nothing_may_be_there(make_serving, where, name, value):
    oip = make_serving().oip
    plain = await infer(oip, request(margins(3.0), "label"))
    assert await infer(oip, put(request(margins(3.0), "label"), where, name, **value)) == plain


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_mutated_messages_are_answered_or_refused_but_never_break_the_service(make_serving, data):
    valid = request(margins(3.0, 1.0), "label", "probabilities", id="7")
    valid.parameters["threshold"].string_param = "0.9"
    body = bytearray(valid.SerializeToString())
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=5)
    ):
        body[position] = value
    cut = data.draw(st.integers(0, len(body)))

    serving = make_serving()
    calls = (serving.oip.methods["ModelInfer"](bytes(body[:cut]), math.inf, lambda: ()),)
    (outcome,) = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(outcome, (bytes, InvalidRequest, ModelNotFound, DeadlineExceeded)), outcome
    assert columns(await infer(serving.oip, request(margins(3.0))))["label"] == ["yes"]
    assert serving.ended() == serving.metrics.received == 2


async def test_a_stream_answers_in_order_and_an_error_ends_its_request_only(make_serving):
    serving = make_serving()
    messages = [request(margins(3.0), id=str(k), model="nobody" if k == 3 else "m") for k in range(8)]
    messages[5].parameters["triton_enable_empty_final_response"].bool_param = True
    bodies = [message.SerializeToString() for message in messages]
    bodies[6] = b"\xff\xff\xff"

    async def sent() -> AsyncIterator[bytes]:
        for body in bodies:
            yield body

    stream = serving.oip.streams["ModelStreamInfer"](sent(), math.inf, lambda: ())
    answers = [ModelStreamInferResponse.FromString(body) async for body in stream]
    assert [each.infer_response.id for each in answers] == ["0", "1", "2", "3", "4", "5", "", "7"]
    assert [bool(each.error_message) for each in answers] == [k in (3, 6) for k in range(8)]
    assert answers[3].error_message.startswith("NOT_FOUND: no model 'nobody'")
    assert answers[6].error_message.startswith(
        "INVALID_ARGUMENT: the message is not a valid inference.ModelInferRequest"
    )
    assert answers[5].infer_response.parameters["triton_final_response"].bool_param
    assert "triton_final_response" not in answers[4].infer_response.parameters
    assert serving.ended() == serving.metrics.received == 8


async def test_a_stream_ends_with_unavailable_when_the_server_stops_and_what_it_read_is_answered(
    make_serving,
):
    serving = make_serving()

    async def sent() -> AsyncIterator[bytes]:
        yield request(margins(3.0), id="7").SerializeToString()
        await asyncio.Event().wait()

    stream = serving.oip.streams["ModelStreamInfer"](sent(), math.inf, lambda: ())
    first = ModelStreamInferResponse.FromString(await anext(stream))
    assert first.infer_response.id == "7"
    ending = asyncio.ensure_future(serving.streams.end())
    with pytest.raises(Unavailable, match="another replica"):
        await anext(stream)
    await ending


async def test_readiness_is_that_of_the_server_and_of_what_could_be_loaded(make_serving):
    serving = make_serving()
    serving.readiness.publish(ready=True, failed=[("broken", 4), ("m", 3)])

    async def ready(name: str, version: str = "") -> bool:
        return (
            await call(
                serving.oip,
                "ModelReady",
                ModelReadyRequest(name=name, version=version),
                ModelReadyResponse,
            )
        ).ready

    async def server_ready() -> bool:
        return (await call(serving.oip, "ServerReady", ModelInferRequest(), ServerReadyResponse)).ready

    assert await server_ready()
    assert await ready("m")
    assert await ready("m", "1")
    for name, version in (("m", "3"), ("broken", ""), ("broken", "4")):
        assert not await ready(name, version)
    for name, version in (("nobody", ""), ("m", "9"), ("broken", "5")):
        with pytest.raises(ModelNotFound):
            await ready(name, version)
    engine = serving.registry.find("m", 2).engine
    engine.rests = True
    assert not await ready("m"), "it rests"
    engine.rests = False
    serving.readiness.stop()
    assert not await server_ready()
    assert not await ready("m")
    assert columns(await infer(serving.oip, request(margins(3.0))))["label"] == ["yes"], "still answered"
    serving.readiness.publish(ready=False)
    assert not await server_ready()
    assert not await ready("nobody"), "nobody knows yet"
    assert columns(await infer(serving.oip, request(margins(3.0))))["label"] == ["yes"], "it has loaded"
    for method, message in (
        ("ModelInfer", request(margins(1.0), model="nobody")),
        ("ModelMetadata", ModelMetadataRequest(name="nobody")),
        ("ModelConfig", ModelConfigRequest(name="nobody")),
        ("ModelStatistics", ModelStatisticsRequest()),
    ):
        with pytest.raises(Unavailable):
            await serving.oip.methods[method](message.SerializeToString(), math.inf, lambda: ())


async def test_the_index_holds_every_version_or_those_that_are_served(make_serving):
    serving = make_serving()
    serving.readiness.publish(ready=True, failed=[("m", 3)])

    async def index(**fields: Any) -> list[tuple[str, str, str]]:
        answer = await call(
            serving.oip, "RepositoryIndex", RepositoryIndexRequest(**fields), RepositoryIndexResponse
        )
        return [(each.name, each.version, each.state) for each in answer.models]

    served = [
        ("classes", "1", "READY"),
        ("failing", "1", "READY"),
        ("m", "1", "READY"),
        ("m", "2", "READY"),
    ]
    assert await index(ready=True) == served
    assert await index() == [*served, ("m", "3", "UNAVAILABLE")]
    with pytest.raises(ModelNotFound, match="no repository 'else'"):
        await index(repository_name="else")


async def test_statistics_are_of_one_version_all_versions_or_all_models(make_serving):
    oip = make_serving().oip
    await infer(oip, request(margins(1.0, 2.0, 3.0)))
    with pytest.raises(TamizError):
        await infer(oip, ModelInferRequest(model_name="m"))

    async def statistics(**fields: str) -> list[Any]:
        message = ModelStatisticsRequest(**fields)
        return list((await call(oip, "ModelStatistics", message, ModelStatisticsResponse)).model_stats)

    (second,) = await statistics(name="m", version="2")
    assert (second.inference_count, second.execution_count) == (3, 1)
    stats = second.inference_stats
    assert (stats.success.count, stats.fail.count, stats.queue.count, stats.compute_infer.count) == (
        1,
        1,
        1,
        1,
    )
    assert stats.success.ns > stats.queue.ns + stats.compute_infer.ns
    assert stats.compute_infer.ns > 0
    assert stats.fail.ns > 0
    assert second.last_inference > 0
    both = await statistics(name="m")
    assert [each.version for each in both] == ["1", "2"]
    assert (both[0].last_inference, both[0].inference_count) == (0, 0)
    assert len(await statistics()) == 4


async def test_settings_are_described_in_tritons_words(make_serving):
    oip = make_serving(max_queue_delay_us=250, max_queue_size=99).oip
    config = (await call(oip, "ModelConfig", ModelConfigRequest(name="m"), ModelConfigResponse)).config
    assert config.dynamic_batching.max_queue_delay_microseconds == 250
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 99
    assert config.parameters["threshold"].string_value == "0.8"


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
async def test_models_are_not_loaded_through_the_protocol(make_serving, method):
    oip = make_serving().oip
    with pytest.raises(NotOffered, match="model repository"):
        await oip.methods[method](b"", math.inf, lambda: ())


async def test_a_request_may_say_what_its_rows_were_encoded_for(make_serving):
    oip = make_serving().oip
    ask = ModelMetadataRequest(name="m").SerializeToString()
    digest = ModelMetadataResponse.FromString(
        await oip.methods["ModelMetadata"](ask, math.inf, lambda: ())
    ).inputs_digest
    body = await oip.methods["ModelConfig"](
        ModelConfigRequest(name="m").SerializeToString(), math.inf, lambda: ()
    )
    config = ModelConfigResponse.FromString(body).config
    assert digest == config.parameters["inputs_digest"].string_value != ""

    message = request(margins(3.0))
    message.parameters["inputs_digest"].string_param = digest
    assert (await infer(oip, message)).model_version == "2"
    message.parameters["inputs_digest"].string_param = "sha256:0"
    with pytest.raises(InputsChanged, match="look the model up again"):
        await infer(oip, message)
    message.parameters["inputs_digest"].int64_param = 7
    with pytest.raises(InvalidRequest, match="inputs_digest is 7 as int64_param: expected a string"):
        await infer(oip, message)
