"""The gate: what is accepted, and why a row abstains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tamiz.bundle_format import NO_CLASS
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.engine.gate import _decide_few, _decide_many, decide

NAN, INF = np.nan, np.inf


def distributions(max_rows: int = 20) -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, max_rows), st.integers(2, 6))
    weights = shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=st.floats(1e-6, 1.0)))
    return weights.map(lambda w: w / w.sum(axis=1, keepdims=True))


def test_a_row_is_accepted_when_its_confidence_reaches_the_threshold():
    decisions = decide(np.array([[0.1, 0.9], [0.2, 0.8], [0.25, 0.75]]), [0.8, 0.8, 0.8])
    assert decisions.accepted == [True, True, False]
    assert decisions.class_index == [1, 1, 1]
    assert decisions.confidence == [0.9, 0.8, 0.75]
    assert decisions.reasons == [
        Reason.REASON_NONE,
        Reason.REASON_NONE,
        Reason.REASON_LOW_CONFIDENCE,
    ]


def test_each_row_has_its_own_threshold():
    decisions = decide(np.array([[0.3, 0.7]] * 3), np.array([0.6, 0.7, 0.71]))
    assert decisions.accepted == [True, True, False]


def test_of_equal_probabilities_the_first_class_is_predicted():
    assert decide(np.array([[0.4, 0.2, 0.4]]), np.array([0.0])).class_index == [0]


@pytest.mark.parametrize(
    "row",
    [
        [0.97, NAN],  # a maximum that skips NaN would see 0.97
        [NAN, 0.97],
        [NAN, NAN],
        [INF, 0.0],
        [-INF, 1.0],
        [1.5, -0.5],
        [0.9, 0.9],
        [0.0, 0.0],
        [0.4, 0.4],
    ],
)
def test_what_is_no_probability_distribution_is_never_accepted(row):
    decisions = decide(np.array([row, [0.1, 0.9]]), [0.0, 0.0])
    assert decisions == _decide_many(np.array([row, [0.1, 0.9]]), [0.0, 0.0])
    assert decisions.accepted == [False, True]
    assert decisions.reasons == [Reason.REASON_INVALID_OUTPUT, Reason.REASON_NONE]
    assert decisions.class_index == [NO_CLASS, 1]
    assert decisions.confidence == [0.0, 0.9]


def test_an_invalid_input_abstains_however_confident_the_model_is():
    decisions = decide(np.array([[0.01, 0.99], [0.01, 0.99]]), np.zeros(2), np.array([False, True]))
    assert decisions.accepted == [False, True]
    assert decisions.reasons == [Reason.REASON_INVALID_INPUT, Reason.REASON_NONE]
    assert decisions.class_index == [NO_CLASS, 1]
    assert decisions.confidence == [0.0, 0.99]


def test_an_invalid_input_is_blamed_rather_than_the_output_that_came_of_it():
    decisions = decide(np.array([[NAN, NAN]]), np.zeros(1), np.array([False]))
    assert decisions.reasons == [Reason.REASON_INVALID_INPUT]
    assert decisions.confidence == [0.0]


def test_a_threshold_above_one_accepts_nothing():
    assert decide(np.array([[0.0, 1.0]]), [2.0]).accepted == [False]


@given(distributions(), st.floats(0, 1))
def test_the_decision_is_what_its_definition_says(probabilities, threshold):
    decisions = decide(probabilities, np.full(len(probabilities), threshold))
    for row, index, confidence, accepted in zip(
        probabilities, decisions.class_index, decisions.confidence, decisions.accepted, strict=True
    ):
        assert confidence == max(row)
        assert index == list(row).index(max(row))
        assert accepted == (max(row) >= threshold)


@given(distributions(), st.data())
def test_a_rows_decision_does_not_depend_on_its_batch_mates(probabilities, data):
    spoiled = data.draw(hnp.arrays(np.bool_, len(probabilities)))
    probabilities = np.where(spoiled[:, None], np.nan, probabilities)
    valid = data.draw(hnp.arrays(np.bool_, len(probabilities)))
    thresholds = data.draw(hnp.arrays(np.float64, len(probabilities), elements=st.floats(0, 1)))
    together = decide(probabilities, thresholds, valid)
    for i in range(len(probabilities)):
        alone = decide(probabilities[i : i + 1], thresholds[i : i + 1], valid[i : i + 1])
        assert [column[0] for column in alone] == [column[i] for column in together]


@given(distributions(), st.data())
def test_few_rows_and_many_rows_are_decided_alike(probabilities, data):
    spoil = data.draw(
        hnp.arrays(np.float64, probabilities.shape, elements=st.sampled_from([0, 0, 0, 0.1, NAN, INF]))
    )
    thresholds = data.draw(st.lists(st.floats(0, 1), min_size=len(spoil), max_size=len(spoil)))
    with np.errstate(invalid="ignore"):
        assert _decide_few(probabilities + spoil, thresholds) == _decide_many(
            probabilities + spoil, thresholds
        )


@given(distributions(), st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_threshold_accepts_no_more(probabilities, one, other):
    low, high = sorted((one, other))
    loose = decide(probabilities, [low] * len(probabilities)).accepted
    strict = decide(probabilities, [high] * len(probabilities)).accepted
    assert all(ok for ok, still_ok in zip(loose, strict, strict=True) if still_ok)
