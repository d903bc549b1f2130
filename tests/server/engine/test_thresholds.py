"""Thresholds that differ by class or slice: every row gets its own, whatever rows are in its batch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_parts import Serving

from tamiz.oip.inference import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from tamiz.thresholds import Proven, Thresholds
from tamiz.v1.manifest_pb2 import Certificate, DataType, Promise, Subdivision, SubsetThreshold, Threshold
from tamiz.v1.prediction_pb2 import (
    PredictRequest,
    PredictResponse,
    Reason,
    StreamPredictResponse,
    Strings,
    Tensor,
)

OWN = {"north": 0.6, "south": 0.9}
MARGIN = float(np.log(0.8 / 0.2))
"""Log-odds of a confidence of 0.8."""


@pytest.fixture
def make_serving(make_bundle, tmp_path, by_slice, by_class) -> Callable[..., Serving]:
    """Makes a server with `sliced` and `classes`, whose thresholds differ by region and by class."""
    paths = {
        ("sliced", 1): make_bundle("sliced/1", "sliced", change=by_slice),
        ("classes", 1): make_bundle("classes/1", change=by_class),
        ("plain", 1): make_bundle("plain/1"),
    }

    def make(**settings_: Any) -> Serving:
        serving = Serving(tmp_path, **settings_)
        serving.serve(paths)
        return serving

    return make


def body(model_name: str, margins: list[float], regions: list[str] | None = None, **fields: Any) -> bytes:
    rows = np.array([[0.0, margin] for margin in margins], dtype="<f4")
    shape = [len(margins), 2]
    inputs = [Tensor(name="features", dtype=DataType.DATA_TYPE_FLOAT32, shape=shape, raw=rows.tobytes())]
    if regions is not None:
        inputs.append(
            Tensor(
                name="region",
                dtype=DataType.DATA_TYPE_STRING,
                shape=[len(margins), 1],
                strings=Strings(values=regions),
            )
        )
    return PredictRequest(model_name=model_name, inputs=inputs, **fields).SerializeToString()


async def ask(serving: Serving, *arguments: Any, **fields: Any) -> PredictResponse:
    return await serving.predict(body(*arguments, **fields))


async def test_each_row_is_held_to_the_threshold_of_its_slice(make_serving):
    answer = await ask(make_serving(), "sliced", [MARGIN] * 4, ["north", "south", "moon", ""])
    assert list(answer.accepted) == [True, False, False, False]
    assert list(answer.thresholds) == [0.6, 0.9, 0.9, 0.9]
    assert answer.threshold == 0.9
    assert answer.reasons[1] == Reason.REASON_LOW_CONFIDENCE


async def test_each_row_is_held_to_the_threshold_of_its_predicted_class(make_serving):
    answer = await ask(make_serving(), "classes", [MARGIN, -MARGIN])
    assert list(answer.accepted) == [False, True]
    assert list(answer.thresholds) == [0.9, 0.6]


async def test_where_thresholds_do_not_differ_the_column_is_empty(make_serving):
    answer = await ask(make_serving(), "plain", [MARGIN] * 2)
    assert (answer.threshold, list(answer.thresholds)) == (0.8, [])


@pytest.mark.parametrize(
    ("wanted", "looser_allowed", "applied"),
    [
        (0.7, False, [0.7, 0.9]),
        (0.95, False, [0.95, 0.95]),
        (0.5, False, [0.6, 0.9]),
        (0.0, False, [0.6, 0.9]),
        (0.7, True, [0.7, 0.7]),
        (0.0, True, [0.0, 0.0]),
        (None, True, [0.6, 0.9]),
    ],
)
async def test_a_request_raises_each_rows_own_threshold_and_replaces_it_only_by_permission(
    make_serving, wanted, looser_allowed, applied
):
    serving = make_serving(allow_looser_thresholds=looser_allowed)
    fields = {} if wanted is None else {"threshold": wanted}
    answer = await ask(serving, "sliced", [MARGIN] * 2, ["north", "south"], **fields)
    assert list(answer.thresholds) == applied
    assert answer.threshold == max(applied)
    assert list(answer.accepted) == [each <= 0.8 for each in applied]


@pytest.mark.parametrize("max_batch_size", [3, 64])
async def test_requests_in_one_batch_and_requests_over_many_keep_their_rows_thresholds(
    make_serving, max_batch_size
):
    random = np.random.default_rng(0)

    serving = make_serving(max_batch_size=max_batch_size, max_queue_delay_us=2_000)
    asked = []
    for n_rows in (1, 2, 7, 1, 5):
        regions = random.choice(["north", "south", "moon"], n_rows).tolist()
        asked.append((random.normal(0, 3, n_rows).tolist(), regions, float(random.choice([0.0, 0.7, 0.95]))))
    answers = await asyncio.gather(
        *(ask(serving, "sliced", margins, regions, threshold=wanted) for margins, regions, wanted in asked)
    )
    for (_, regions, wanted), answer in zip(asked, answers, strict=True):
        expected = [max(OWN.get(region, 0.9), wanted) for region in regions]
        assert list(answer.thresholds) == expected
        reached = [c >= t for c, t in zip(answer.confidence, expected, strict=True)]
        assert list(answer.accepted) == reached


@given(
    st.lists(st.floats(0, 2), min_size=2, max_size=5),
    st.lists(st.integers(-3, 8), min_size=1, max_size=20),
    st.booleans(),
)
def test_the_look_up_is_what_its_definition_says(values, index, by_class):
    subdivision = Subdivision.SUBDIVISION_PREDICTED_CLASS if by_class else Subdivision.SUBDIVISION_SLICE
    subsets = [SubsetThreshold(name=str(i), value=value) for i, value in enumerate(values)]
    thresholds = Thresholds(Threshold(value=max(values), subdivision=subdivision, subsets=subsets))
    if by_class:
        index = [each % len(values) for each in index]
        probabilities = np.eye(len(values))[index]
        found = thresholds.of_rows(probabilities)
    else:
        found = thresholds.of_rows(np.zeros((len(index), 2)), np.array(index))
    known = [values[each] if 0 <= each < len(values) else max(values) for each in index]
    assert found.tolist() == known


SELECTIVE = (Promise.PROMISE_UNSPECIFIED, Promise.PROMISE_SELECTIVE_ERROR)
CONFIDENCES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 0.8, 1.0])


@st.composite
def families(draw):
    """A threshold with a certificate, or without one, and a wish at, beside or between what is proven."""
    proven = sorted(draw(st.sets(CONFIDENCES, min_size=1, max_size=6)))
    promise = draw(st.sampled_from([None, *Promise.values()]))
    threshold = Threshold(value=proven[0], not_certified="fixed by the caller")
    if promise is not None:
        listed = proven if promise in SELECTIVE and draw(st.booleans()) else []
        threshold.certificate.CopyFrom(Certificate(promise=promise, proven_thresholds=listed))
    near = st.sampled_from(proven) | st.sampled_from(proven).map(lambda t: float(np.nextafter(t, 2.0)))
    wish = draw(st.none() | CONFIDENCES | near.map(lambda t: min(t, 1.0)))
    return threshold, wish, draw(st.booleans())


@given(families())
def test_a_wish_is_raised_to_the_next_proven_threshold_and_only_there_does_the_promise_hold(family):
    threshold, wish, looser_allowed = family
    applied, certified = Proven(threshold).applied(wish, looser_allowed=looser_allowed)
    own, certificate = threshold.value, threshold.certificate
    asked = own if wish is None else wish if looser_allowed else max(wish, own)
    assert applied >= asked  # never less strict than asked
    if not threshold.HasField("certificate"):
        assert (applied, certified) == (asked, False)
    elif certificate.promise == Promise.PROMISE_JOINT_ERROR:
        assert (applied, certified) == (asked, asked >= own)
    elif certificate.promise == Promise.PROMISE_COVERAGE:
        assert (applied, certified) == (asked, asked <= own)
    elif asked < own:
        assert (applied, certified) == (asked, False)
    else:
        proven = [each for each in certificate.proven_thresholds or [own] if each >= asked]
        assert (applied, certified) == ((min(proven), True) if proven else (asked, False))


@given(st.lists(families(), min_size=2, max_size=5), st.booleans())
def test_each_class_has_what_its_own_certificate_proves(parts, looser_allowed):
    subsets = [
        SubsetThreshold(name=str(i), value=each.value, certificate=each.certificate)
        if each.HasField("certificate")
        else SubsetThreshold(name=str(i), value=each.value)
        for i, (each, _, _) in enumerate(parts)
    ]
    wish = parts[0][1]
    whole = Threshold(
        value=max(each.value for each in subsets),
        subdivision=Subdivision.SUBDIVISION_SLICE,
        subsets=subsets,
        certificate=Certificate(),
    )
    asked = Thresholds(whole).of_request(wish, looser_allowed=looser_allowed)
    of_each = [Proven(each).applied(wish, looser_allowed=looser_allowed) for each in subsets]
    assert list(zip(asked.values[1:-1], asked.values_certified[1:-1], strict=True)) == of_each
    for end in (0, -1):  # a row of no known slice has no promise
        assert not asked.values_certified[end]
        assert asked.values[end] == (
            whole.value if wish is None else wish if looser_allowed else max(wish, whole.value)
        )


PROVEN = (0.8, 0.85, 0.95)
TOP = float(np.log(0.99 / 0.01))
"""Log-odds of a confidence of 0.99."""


def proves(*thresholds: float) -> Callable[[Any], None]:
    """Give a manifest's certificate what it proves."""
    return lambda manifest: manifest.threshold.certificate.proven_thresholds.extend(thresholds)


async def one(body: bytes) -> AsyncIterator[bytes]:
    """A stream of one request."""
    yield body


@pytest.mark.parametrize(
    ("wanted", "looser_allowed", "applied", "certified"),
    [
        (None, False, 0.8, True),
        (0.3, False, 0.8, True),
        (0.8, False, 0.8, True),
        (0.81, False, 0.85, True),
        (0.85, True, 0.85, True),
        (0.95, False, 0.95, True),
        (0.951, False, 0.951, False),
        (1.0, False, 1.0, False),
        (0.3, True, 0.3, False),
    ],
)
async def test_every_protocol_tells_what_was_applied_and_whether_it_is_proven(
    make_bundle, tmp_path, wanted, looser_allowed, applied, certified
):
    serving = Serving(tmp_path, allow_looser_thresholds=looser_allowed)
    serving.serve({("plain", 1): make_bundle("plain/1", change=proves(*PROVEN))})
    fields = {} if wanted is None else {"threshold": wanted}
    answers = [await ask(serving, "plain", [TOP, 0.0], **fields)]
    asked = body("plain", [TOP, 0.0], **fields)
    (streamed,) = [each async for each in serving.v1.streams["StreamPredict"](one(asked), math.inf, tuple)]
    answers.append(StreamPredictResponse.FromString(streamed).response)
    for answer in answers:
        assert (answer.threshold, answer.certified) == (applied, certified)
        assert not answer.rows_certified
        assert list(answer.accepted) == [applied <= 0.99, applied <= 0.5]
    question = ModelInferRequest(model_name="plain")
    rows = np.array([[0.0, TOP], [0.0, 0.0]], dtype="<f4")
    question.inputs.add(name="features", datatype="FP32", shape=rows.shape)
    question.raw_input_contents.append(rows.tobytes())
    for name in ("threshold", "certified"):
        question.outputs.add(name=name)
    if wanted is not None:
        question.parameters["threshold"].double_param = wanted
    asked = question.SerializeToString()
    inferred = ModelInferResponse.FromString(await serving.oip.methods["ModelInfer"](asked, math.inf, tuple))
    (streamed,) = [
        each async for each in serving.oip.streams["ModelStreamInfer"](one(asked), math.inf, tuple)
    ]
    for each in (inferred, ModelStreamInferResponse.FromString(streamed).infer_response):
        assert each.parameters["certified"].bool_param == certified
        outputs = dict(zip([output.name for output in each.outputs], each.raw_output_contents, strict=True))
        assert np.frombuffer(outputs["threshold"]).tolist() == [applied] * 2
        assert np.frombuffer(outputs["certified"], dtype=bool).tolist() == [certified] * 2
    n_uncertified = 0 if certified else 4 * ((applied <= 0.99) + (applied <= 0.5))
    assert serving.registry.find("plain", 1).engine.metrics.uncertified_rows == n_uncertified


@pytest.mark.parametrize("max_batch_size", [2, 64])
async def test_an_answer_is_certified_if_every_accepted_row_is(
    make_bundle, by_slice, tmp_path, max_batch_size
):
    def change(manifest) -> None:
        proves(0.6, 0.7)(manifest)
        by_slice(manifest)
        manifest.threshold.certificate.ClearField("proven_thresholds")

    serving = Serving(tmp_path, max_batch_size=max_batch_size)
    serving.serve({("sliced", 1): make_bundle("sliced/1", "sliced", change=change)})
    metrics = serving.registry.find("sliced", 1).engine.metrics
    for wanted, regions, thresholds, rows, certified, n_uncertified in (
        (0.0, ["north", "north"], [0.6, 0.6], [True, True], True, 0),
        (0.65, ["north", "moon"], [0.7, 0.9], [True, False], False, 1),  # the moon is accepted
        (0.995, ["north", "moon"], [0.995, 0.995], [False, False], True, 0),  # nothing is accepted
        (0.65, ["north", "north", "south"], [0.7, 0.7, 0.9], [True, True, False], False, 1),
        (0.71, ["north"], [0.71], [False], False, 1),
    ):
        before = metrics.uncertified_rows
        answer = await ask(serving, "sliced", [TOP] * len(regions), regions, threshold=wanted)
        assert list(answer.thresholds) == thresholds
        assert list(answer.rows_certified) == rows
        assert answer.certified == certified
        assert metrics.uncertified_rows - before == n_uncertified


async def test_requests_in_one_batch_have_promises_of_their_own(make_bundle, tmp_path):
    serving = Serving(tmp_path, max_queue_delay_us=2_000)
    serving.serve({("plain", 1): make_bundle("plain/1", change=proves(*PROVEN))})
    wishes = [0.81, 0.96, 0.5, 0.97]
    answers = await asyncio.gather(*(ask(serving, "plain", [TOP] * 3, threshold=wish) for wish in wishes))
    assert [(each.threshold, each.certified) for each in answers] == [
        (0.85, True),
        (0.96, False),
        (0.8, True),
        (0.97, False),
    ]
    assert serving.registry.find("plain", 1).engine.metrics.uncertified_rows == 6
