"""The gate: what it accepts, why a row abstains, and that few and many rows get the same decisions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tamiz.gate import (
    NO_CLASS,
    TOLERANCE,
    DecisionLists,
    _decide_few,
    decide,
    decide_batch,
    proper_rows,
    valid_rows,
)
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz.v1.prediction_pb2 import Reason

NAN, INF = np.nan, np.inf
F32, STRING = DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_STRING

THIRD = 1 / 3
MISSES = [0.0, 1e-12, TOLERANCE, -TOLERANCE, 2 * TOLERANCE, -2 * TOLERANCE, 1e-2, -0.5, 1.0, NAN, INF, -INF]
"""What is added to a probability: nothing, as much as is tolerated, and more."""


def lists(probabilities, thresholds, valid=None) -> DecisionLists:
    """Return what the rule over columns decides, in the form that the server takes."""
    return DecisionLists(*(column.tolist() for column in decide(probabilities, thresholds, valid)))


def distributions(max_rows: int = 20) -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, max_rows), st.integers(2, 6))
    weights = shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=st.floats(1e-6, 1.0)))
    return weights.map(lambda w: w / w.sum(axis=1, keepdims=True))


def test_a_row_is_accepted_when_its_confidence_reaches_the_threshold():
    decisions = decide_batch(np.array([[0.1, 0.9], [0.2, 0.8], [0.25, 0.75]]), [0.8, 0.8, 0.8])
    assert decisions.accepted == [True, True, False]
    assert decisions.class_index == [1, 1, 1]
    assert decisions.confidence == [0.9, 0.8, 0.75]
    assert decisions.reasons == [
        Reason.REASON_NONE,
        Reason.REASON_NONE,
        Reason.REASON_LOW_CONFIDENCE,
    ]


def test_each_row_has_its_own_threshold():
    decisions = decide_batch(np.array([[0.3, 0.7]] * 3), np.array([0.6, 0.7, 0.71]))
    assert decisions.accepted == [True, True, False]


def test_of_equal_probabilities_the_first_class_is_predicted():
    assert decide_batch(np.array([[0.4, 0.2, 0.4]]), np.array([0.0])).class_index == [0]


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
    decisions = decide_batch(np.array([row, [0.1, 0.9]]), [0.0, 0.0])
    assert decisions == lists(np.array([row, [0.1, 0.9]]), [0.0, 0.0])
    assert decisions.accepted == [False, True]
    assert decisions.reasons == [Reason.REASON_INVALID_OUTPUT, Reason.REASON_NONE]
    assert decisions.class_index == [NO_CLASS, 1]
    assert decisions.confidence == [0.0, 0.9]


def test_huge_numbers_are_refused_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decided = decide(np.full((2, 2), np.finfo(np.float64).max), 0.0)
    assert decided.reasons.tolist() == [Reason.REASON_INVALID_OUTPUT] * 2


def test_an_invalid_input_abstains_however_confident_the_model_is():
    decisions = decide_batch(np.array([[0.01, 0.99], [0.01, 0.99]]), np.zeros(2), np.array([False, True]))
    assert decisions.accepted == [False, True]
    assert decisions.reasons == [Reason.REASON_INVALID_INPUT, Reason.REASON_NONE]
    assert decisions.class_index == [NO_CLASS, 1]
    assert decisions.confidence == [0.0, 0.99]


def test_an_invalid_input_is_blamed_rather_than_the_output_that_came_of_it():
    decisions = decide_batch(np.array([[NAN, NAN]]), np.zeros(1), np.array([False]))
    assert decisions.reasons == [Reason.REASON_INVALID_INPUT]
    assert decisions.confidence == [0.0]


def test_a_threshold_above_one_accepts_nothing():
    assert decide_batch(np.array([[0.0, 1.0]]), [2.0]).accepted == [False]


@given(distributions(), st.floats(0, 1))
def test_the_decision_is_what_its_definition_says(probabilities, threshold):
    decisions = decide_batch(probabilities, np.full(len(probabilities), threshold))
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
    together = decide_batch(probabilities, thresholds, valid)
    for i in range(len(probabilities)):
        alone = decide_batch(probabilities[i : i + 1], thresholds[i : i + 1], valid[i : i + 1])
        assert [column[0] for column in alone] == [column[i] for column in together]


@st.composite
def borderline(draw):
    """Rows of every kind, with thresholds on their confidences and beside them."""
    n_rows, n_classes = draw(st.tuples(st.integers(1, 30), st.integers(1, 12)))
    weights = draw(
        hnp.arrays(np.float64, (n_rows, n_classes), elements=st.sampled_from([0.0, 0.1, THIRD, 1.0, 1e-5]))
    )
    with np.errstate(invalid="ignore"):  # all zeros become NaN
        probabilities = weights / weights.sum(axis=1, keepdims=True)
    misses = draw(hnp.arrays(np.float64, n_rows, elements=st.sampled_from(MISSES)))
    at = draw(hnp.arrays(np.int64, n_rows, elements=st.integers(0, n_classes - 1)))
    probabilities[np.arange(n_rows), at] += misses
    steps = draw(hnp.arrays(np.int64, n_rows, elements=st.integers(-2, 2)))
    confidence = np.nan_to_num(probabilities.max(axis=1), posinf=1.0, neginf=0.0)
    thresholds = confidence + steps * np.spacing(confidence)
    valid = draw(st.none() | hnp.arrays(np.bool_, n_rows))
    return probabilities, thresholds, valid


@given(borderline())
def test_few_rows_and_many_rows_are_decided_alike(given_rows):
    probabilities, thresholds, valid = given_rows
    expected = lists(probabilities, thresholds, valid)
    assert decide_batch(probabilities, thresholds.tolist(), valid) == expected
    if valid is None:
        assert _decide_few(probabilities, thresholds.tolist()) == expected


@given(borderline())
def test_a_row_is_decided_alike_alone_and_among_others_and_however_it_lies_in_memory(given_rows):
    probabilities, thresholds, valid = given_rows
    together = lists(probabilities, thresholds, valid)
    assert lists(np.asfortranarray(probabilities), thresholds, valid) == together
    for i in range(len(probabilities)):
        alone = lists(
            probabilities[i : i + 1], thresholds[i : i + 1], None if valid is None else valid[i : i + 1]
        )
        assert [column[0] for column in alone] == [column[i] for column in together]


@pytest.mark.parametrize("n_classes", [2, 3, 7, 8, 9, 50, 300])
def test_sums_at_the_tolerance_itself_are_judged_alike_by_either_arithmetic(n_classes):
    """Python and numpy add up in different orders, so that their sums differ in the last digits."""
    random = np.random.default_rng(n_classes)
    probabilities = random.dirichlet(np.ones(n_classes), 2_000)
    probabilities *= (
        1.0 + random.choice([-1, 1], 2_000) * (TOLERANCE + random.integers(-4, 5, 2_000) * 1e-16)
    )[:, None]
    proper = proper_rows(probabilities)
    assert 0.1 < proper.mean() < 0.9
    few = _decide_few(probabilities, [0.0] * 2_000)
    assert few.accepted == proper.tolist()


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_confidence_on_the_threshold_is_accepted_and_one_step_below_is_not(step):
    for confidence in (0.5, THIRD, 0.9, 1.0):
        row = [confidence, 1.0 - confidence]
        threshold = float(confidence + step * np.spacing(confidence))
        for n_rows in (1, 100):
            decided = decide_batch(np.array([row] * n_rows), [threshold] * n_rows)
            assert decided.accepted == [max(row) >= threshold] * n_rows
            assert decided.accepted[0] is (step <= 0 or confidence < 0.5)


@given(distributions(), st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_threshold_accepts_no_more(probabilities, one, other):
    low, high = sorted((one, other))
    loose = decide_batch(probabilities, [low] * len(probabilities)).accepted
    strict = decide_batch(probabilities, [high] * len(probabilities)).accepted
    assert all(ok for ok, still_ok in zip(loose, strict, strict=True) if still_ok)


@pytest.mark.parametrize(
    ("row", "is_proper"),
    [
        ([0.25, 0.75], True),
        ([0.0, 1.0], True),
        ([0.25, 0.75 + 0.9 * TOLERANCE], True),
        ([0.25, 0.75 - 0.9 * TOLERANCE], True),
        ([0.25, 0.75 + 1.1 * TOLERANCE], False),
        ([0.25, 0.75 - 1.1 * TOLERANCE], False),
        ([-0.9 * TOLERANCE, 1.0], True),
        ([-1.1 * TOLERANCE, 1.0 + 1.1 * TOLERANCE], False),
        ([NAN, 1.0], False),
        ([INF, -INF], False),
    ],
)
def test_probabilities_are_not_negative_and_sum_to_one(row, is_proper):
    assert proper_rows(np.array([row, [0.5, 0.5]])).tolist() == [is_proper, True]


def test_votes_that_were_added_up_in_float32_are_probabilities():
    """As a forest of 5,000 trees in ONNX adds them up, the sums miss 1 by far more than 1e-6."""
    random = np.random.default_rng(0)
    n_trees = 5_000
    votes = random.integers(0, 3, size=(50, n_trees))
    votes[:10] = 0  # all for one class, the worst case
    each = np.float32(1 / n_trees)
    added = [
        np.cumsum(np.where(votes == k, each, np.float32(0)), axis=1, dtype=np.float32)[:, -1]
        for k in range(3)
    ]
    probabilities = np.stack(added, axis=1).astype(np.float64)
    assert np.abs(probabilities.sum(axis=1) - 1.0).max() > 1e-5
    assert proper_rows(probabilities).all()


def test_scores_that_are_not_probabilities_are_refused():
    random = np.random.default_rng(0)
    logits = random.normal(size=(200, 4))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for scores in (logits, 100 * softmax, 1.0 / (1.0 + np.exp(-logits)), 0.999 * softmax):
        assert not proper_rows(scores).any()
    assert proper_rows(softmax).all()


def spec(name="x", dtype=F32, *, missing=False):
    return InputSpec(name=name, dtype=dtype, missing_values_allowed=missing)


def rows_of(*rows):
    return {"x": np.array(rows, dtype=np.float32)}


def test_finite_rows_are_all_valid():
    assert valid_rows(rows_of([1, 2, 3], [4, 5, 6]), [spec()]) is None
    # The sum of squares overflows, but the values are finite.
    assert valid_rows(rows_of([3e38, 3e38, 3e38]), [spec()]) is None


def test_nan_is_invalid_where_missing_values_are_not_allowed():
    assert valid_rows(rows_of([1, np.nan, 3], [4, 5, 6]), [spec()]).tolist() == [False, True]
    assert valid_rows(rows_of([1, np.nan, 3], [4, 5, 6]), [spec(missing=True)]) is None


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinity_is_always_invalid(value):
    assert valid_rows(rows_of([1, value, 3], [4, 5, 6]), [spec(missing=True)]).tolist() == [False, True]


def test_a_row_is_invalid_when_any_of_its_inputs_is():
    inputs = {"x": np.array([[np.nan], [1], [2]]), "z": np.array([[0], [1], [np.inf]])}
    specs = [spec("x"), spec("z")]
    assert valid_rows(inputs, specs).tolist() == [False, True, False]


def test_integers_and_strings_are_always_valid():
    inputs = {"i": np.array([[1]]), "s": np.array([["a"]], dtype=object)}
    assert valid_rows(inputs, [spec("i", DataType.DATA_TYPE_INT64), spec("s", STRING)]) is None


@pytest.mark.parametrize("dtype", [object, "U1", np.dtypes.StringDType()])
def test_the_empty_text_is_invalid_where_missing_values_are_not_allowed(dtype):
    inputs = {"s": np.array([["a", "b"], ["", "b"], ["a", ""], [" ", "0"]], dtype=dtype)}
    assert valid_rows(inputs, [spec("s", STRING)]).tolist() == [True, False, False, True]
    assert valid_rows(inputs, [spec("s", STRING, missing=True)]) is None
