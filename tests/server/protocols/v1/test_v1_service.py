"""The typed protocol: bytes in, bytes out, errors with their status; no transport."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving_parts import Serving, predict_request

from tamiz.gate import NO_CLASS
from tamiz.inputs_digest import inputs_digest
from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    PredictRequest,
    PredictResponse,
    Reason,
)
from tamiz_server.errors import InputsChanged, InvalidRequest, ModelNotFound, Unavailable


@pytest.fixture
def make_serving(make_bundle, tmp_path) -> Callable[..., Serving]:
    """Makes a server with versions 1 and 2 of the model m, and version 7 of the model text."""
    paths = {
        (name, version): make_bundle(f"{name}/{version}", graph)
        for name, version, graph in (("m", 1, "softmax"), ("m", 2, "softmax"), ("text", 7, "text"))
    }

    def make(**settings_: Any) -> Serving:
        serving = Serving(tmp_path, **settings_)
        serving.serve(paths)
        return serving

    return make


async def test_an_answer_holds_one_entry_per_row_in_every_column(make_serving):
    answer = await make_serving().predict(predict_request(3.0, 0.1))
    assert (answer.model_name, answer.model_version) == ("m", 2)
    assert list(answer.accepted) == [True, False]
    assert list(answer.reasons) == [Reason.REASON_NONE, Reason.REASON_LOW_CONFIDENCE]
    assert list(answer.class_index) == [1, NO_CLASS]
    assert list(answer.confidence) == pytest.approx([0.952574, 0.524979], abs=1e-6)
    assert list(answer.classes.strings) == ["no", "yes"]
    assert answer.threshold == 0.8
    assert answer.probabilities == b""
    assert answer.compute_duration_us > 0


async def test_probabilities_come_when_asked_for_and_hide_abstained_rows(make_serving):
    answer = await make_serving().predict(predict_request(3.0, 0.1, return_probabilities=True))
    probabilities = np.frombuffer(answer.probabilities).reshape(2, 2)
    assert probabilities[0] == pytest.approx([0.047426, 0.952574], abs=1e-6)
    assert np.isnan(probabilities[1]).all()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_mutated_messages_are_answered_or_refused_but_never_break_the_service(make_serving, data):
    body = bytearray(predict_request(3.0, 1.0))
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=5)
    ):
        body[position] = value
    cut = data.draw(st.integers(0, len(body)))

    serving = make_serving()
    outcome = (await asyncio.gather(serving.predict(bytes(body[:cut])), return_exceptions=True))[0]
    assert isinstance(outcome, (PredictResponse, InvalidRequest, ModelNotFound)), outcome
    assert list((await serving.predict(predict_request(3.0))).accepted) == [True]


@pytest.mark.parametrize("fields", [{}, {"model_version": 1}, {"inputs": []}])
async def test_rows_that_were_encoded_for_other_inputs_are_refused_before_they_are_read(make_serving, fields):
    serving = make_serving()
    manifest = serving.registry.find("m", 0).engine.model.manifest
    body = PredictRequest.FromString(predict_request(3.0, inputs_digest="sha256:0"))
    for name, value in fields.items():
        body.ClearField(name)
        body.MergeFrom(PredictRequest(**{name: value}))
    with pytest.raises(InputsChanged, match=f"'sha256:0'.*{manifest.inputs_digest}.*look the model up again"):
        await serving.predict(body.SerializeToString())
    assert serving.metrics.model("m", fields.get("model_version", 2), manifest).requests == {
        "FAILED_PRECONDITION": 1
    }


async def test_rows_that_were_encoded_for_these_inputs_are_answered(make_serving):
    serving = make_serving()
    said = await serving.v1.get_model(
        GetModelRequest(name="m").SerializeToString(), math.inf, metadata=lambda: ()
    )
    digest = GetModelResponse.FromString(said).manifest.inputs_digest
    assert digest == inputs_digest(serving.registry.find("m", 0).engine.model.manifest.inputs)
    assert len((await serving.predict(predict_request(3.0, inputs_digest=digest))).accepted) == 1
    assert len((await serving.predict(predict_request(3.0))).accepted) == 1


async def test_until_it_is_ready_what_is_not_served_is_unavailable(make_serving):
    serving = make_serving()
    serving.readiness.publish(ready=False)
    other = predict_request(1.0, model_name="x")
    for name, body in (("Predict", other), ("ListModels", b""), ("GetModel", b"\n\x01x")):
        with pytest.raises(Unavailable):
            await serving.v1.methods[name](body, math.inf, lambda: ())
    for name, body in (("Predict", predict_request(1.0)), ("GetModel", b"\n\x01m")):
        await serving.v1.methods[name](body, math.inf, lambda: ())


async def test_models_are_listed_and_described(make_serving):
    serving = make_serving(max_batch_size=32)
    body = await serving.v1.list_models(ListModelsRequest().SerializeToString(), math.inf, lambda: ())
    listed = ListModelsResponse.FromString(body)
    assert [(m.name, list(m.versions)) for m in listed.models] == [("m", [1, 2]), ("text", [7])]
    body = await serving.v1.get_model(GetModelRequest(name="m").SerializeToString(), math.inf, lambda: ())
    described = GetModelResponse.FromString(body)
    assert (described.name, described.version) == ("m", 2)
    assert described.manifest.inputs[0].name == "features"
    assert described.manifest.threshold.certificate.max_error == 0.05
    assert described.batching.max_batch_size == 32
    with pytest.raises(ModelNotFound):
        await serving.v1.get_model(GetModelRequest(name="x").SerializeToString(), math.inf, lambda: ())
