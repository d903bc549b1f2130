"""Thresholds that differ by class or slice: every row gets its own, whatever rows are in its batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving_parts import Serving

from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import DataType, Subdivision, SubsetThreshold, Threshold
from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, Reason, Strings, Tensor

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
