"""The threshold that costs least, and the error that is proven at it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest

from tamiz.thresholds import ACCEPT_NONE
from tamiz_convert.certificates.cheapest import bounded, cheapest_threshold
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.certificates.threshold_choice import Judged, Policy, choose_threshold
from tamiz_convert.errors import ExportError
from tamiz_convert.metrics.betting import mean_interval
from tamiz_convert.metrics.prices import Prices

TEN = {"error": 10, "abstention": 1}


def judged(n_rows, seed, sharpness=2.0):
    """Rows of three classes whose probabilities are calibrated."""
    random = np.random.default_rng(seed)
    logits = sharpness * random.normal(size=(n_rows, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (probabilities.cumsum(axis=1) > random.random((n_rows, 1))).argmax(axis=1)
    return Judged(probabilities, y)


def mean_cost(prices, rows, threshold):
    confidence, predicted = rows.probabilities.max(axis=1), rows.probabilities.argmax(axis=1)
    return prices.per_row(rows.y, predicted, confidence >= threshold).mean()


@pytest.mark.parametrize(
    "cost",
    [
        TEN,
        {"error": 3, "abstention": 2},
        {"error": 0.5, "abstention": 0.4},
        {"matrix": [[0, 1, 9], [2, 0, 4], [50, 1, 0]], "abstention": 1.5},
        {"matrix": [[-3, 1, 1], [1, -3, 1], [1, 1, -3]], "abstention": 0},
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_other_threshold_is_cheaper_on_the_same_rows(cost, seed):
    """But for the price of one row, which is added to them."""
    rows, prices = judged(300, seed), Prices.of(cost, [0, 1, 2])
    found = rows.cheapest(prices)
    every = [*rows.probabilities.max(axis=1), ACCEPT_NONE]
    low, high = prices.span
    lowest = min(mean_cost(prices, rows, t) for t in every)
    assert mean_cost(prices, rows, found) <= lowest + (high - low) / 300


def test_with_calibrated_probabilities_it_is_where_an_error_is_worth_an_abstention():
    prices = Prices.of(TEN, [0, 1, 2])
    found = judged(200_000, 0).cheapest(prices)
    assert found == pytest.approx(1 - 1 / 10, abs=0.02)  # Chow (1970)


def test_it_lies_where_wrong_answers_begin_to_cost_more_than_none():
    prices = Prices.of({"error": 2, "abstention": 1}, ["a", "b"])
    confidence = np.repeat([0.9, 0.8, 0.7, 0.6], 10)
    zeros = np.zeros(40, dtype=np.int64)
    assert cheapest_threshold(prices, confidence, zeros, np.repeat([0, 1, 1, 0], 10)) == pytest.approx(0.85)
    assert cheapest_threshold(prices, confidence, zeros, np.repeat([0, 0, 1, 1], 10)) == pytest.approx(0.75)
    assert cheapest_threshold(prices, confidence, zeros, np.repeat([1, 0, 1, 0], 10)) == ACCEPT_NONE


def test_a_few_lucky_rows_at_the_top_are_no_bargain():
    prices = Prices.of({"error": 100, "abstention": 1}, ["a", "b"])
    confidence = np.linspace(0.9, 0.5, 60)
    y = (np.arange(60) % 4 == 3).astype(np.int64)  # the first three are right
    assert cheapest_threshold(prices, confidence, np.zeros(60, dtype=np.int64), y) == ACCEPT_NONE


@pytest.mark.parametrize("confidence", [[], [np.nan, np.nan], [0.9, 0.9, 0.8]])
def test_rows_that_cannot_be_answered_and_rows_alike(confidence):
    prices = Prices.of({"error": 3, "abstention": 1}, ["a", "b"])
    n = len(confidence)
    wrong = np.ones(n, dtype=np.int64)
    zeros = np.zeros(n, dtype=np.int64)
    assert cheapest_threshold(prices, np.array(confidence), zeros, wrong) == ACCEPT_NONE
    finite = np.isfinite(confidence).sum()
    right = cheapest_threshold(prices, np.array(confidence), zeros, zeros)
    assert (right < 1.0) == (finite > 0)


@pytest.mark.parametrize(("k", "n", "delta"), [(0, 40, 0.1), (3, 200, 0.1), (17, 60, 0.01), (1, 2, 0.2)])
def test_what_is_promised_is_the_exact_bound_rounded_up(k, n, delta):
    rows = Outcomes(np.full(n, 0.9), np.arange(n) < k)
    found, error = bounded(0.8, rows, delta)
    exact = binomtest(k, n, alternative="less").proportion_ci(1 - delta, "exact").high
    assert exact <= error <= exact * 1.01
    assert (found.n_errors, found.n_accepted) == (k, n)
    assert found.p_value == pytest.approx(binom.cdf(k, n, error))
    assert found.p_value <= delta


def test_nothing_is_promised_where_nothing_is_proven():
    assert bounded(0.95, Outcomes(np.full(9, 0.9), np.zeros(9, dtype=bool)), 0.1) is None
    assert bounded(0.5, Outcomes(np.full(9, 0.9), np.ones(9, dtype=bool)), 0.1) is None


def test_the_certificate_fails_as_seldom_as_it_says():
    truth, broken = judged(200_000, 99), 0
    prices = Prices.of(TEN, [0, 1, 2])
    confidence = truth.probabilities.max(axis=1)
    wrong = truth.probabilities.argmax(axis=1) != truth.y
    for seed in range(200):
        policy = Policy(cost=TEN, confidence_level=0.9)
        found = choose_threshold(policy, judged(150, 2 * seed), judged(350, 2 * seed + 1), (), prices)
        broken += wrong[confidence >= found.value].mean() > found.certificate.max_error
    assert broken <= 33  # 20 are expected at most


def test_a_model_that_is_never_sure_answers_nothing_and_says_why():
    policy, prices = (
        Policy(cost={"error": 1000, "abstention": 1}),
        Prices.of({"error": 1000, "abstention": 1}, [0, 1, 2]),
    )
    found = choose_threshold(policy, judged(200, 0, 0.3), judged(200, 1, 0.3), (), prices)
    assert found.value == ACCEPT_NONE
    assert "costs least to answer nothing" in found.not_certified


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (10, "cost is 10; expected the price of an error"),
        ({}, "cost has nothing"),
        ({"error": 10}, "cost has error"),
        ({"abstention": 1}, "cost has abstention"),
        ({"error": 1, "matrix": [], "abstention": 1}, "cost has error, matrix, abstention"),
        ({"eror": 10, "abstention": 1}, "unknown key 'eror' (did you mean 'error'?)"),
        ({"error": "10", "abstention": 1}, "the price of an error in cost is '10'; expected a number"),
        ({"error": True, "abstention": 1}, "is True; expected a number"),
        ({"error": float("nan"), "abstention": 1}, "is nan; expected a number"),
        ({"error": -1, "abstention": 1}, "expected prices above 0"),
        ({"error": 1, "abstention": 0}, "expected prices above 0"),
        ({"matrix": [[0, 1]], "abstention": 1}, "has shape [1, 2]; expected [2, 2]"),
        ({"matrix": "a lot", "abstention": 1}, "the matrix is 'a lot'"),
        ({"matrix": [[0, np.inf], [1, 0]], "abstention": 1}, "of 'yes' for the true class 'no' is inf"),
        (
            {"matrix": {"no": {"yes": 5}}, "abstention": 1},
            "no price for the answer 'no' to a row that is 'yes'",
        ),
        ({"matrix": {"no": 5}, "abstention": 1}, "the prices for the true class 'no' are 5"),
        ({"matrix": {"nope": {"yes": 5}}, "abstention": 1}, "there is no class 'nope'"),
        (
            {"matrix": {"no": {"yes": "much"}}, "abstention": 1},
            "the price of 'yes' for the true class 'no' is 'much'",
        ),
        ({"error": 10**400, "abstention": 1}, "is inf; expected a number, at most 1e+100"),
        ({"matrix": [[0, 1e200], [1, 0]], "abstention": 1}, "is 1e+200; expected a number"),
        (
            {"matrix": [["0", 1], [1, 0]], "abstention": 1},
            "class 'no' is '0'; expected a number",
        ),
        ({"matrix": [[0, True], [1, 0]], "abstention": 1}, "is True; expected a number"),
        ({"matrix": [[0, 1], [1]], "abstention": 1}, "the matrix is [[0, 1], [1]]"),
        ({"matrix": pd.DataFrame([[0, 1], [1, 0]]), "abstention": 1}, "there is no class 0"),
        (
            {"matrix": pd.DataFrame([[0, 1], [1, 0]], ["no", "no"], ["no", "yes"]), "abstention": 1},
            "the answer 'no' to a row that is 'no' has two prices",
        ),
        ({"matrix": {False: {True: 1}, True: {False: 1}}, "abstention": 1}, "(in YAML, yes, no"),
        ({"matrix": [[2, 5], [5, 2]], "abstention": 1}, "no answer is cheaper than an abstention (1)"),
    ],
)
def test_prices_that_are_none_are_refused(cost, said):
    with pytest.raises(ExportError) as refused:
        Prices.of(cost, ["no", "yes"])
    assert said in str(refused.value)


def test_a_matrix_by_name_and_one_by_order_are_the_same():
    by_name = Prices.of(
        {"matrix": {"yes": {"no": 50, "yes": -1}, "no": {"yes": 5}}, "abstention": 1}, ["no", "yes"]
    )
    np.testing.assert_array_equal(by_name.answers, [[0, 5], [50, -1]])
    from_a_file = Prices.of({"matrix": {"0": {"1": 5}, 1: {0: 50}}, "abstention": 1}, [0, 1])
    np.testing.assert_array_equal(from_a_file.answers, [[0, 5], [50, 0]])
    assert by_name.span == (-1.0, 50.0)
    table = pd.DataFrame({"no": [50, 0], "yes": [-1, 5]}, index=["yes", "no"])
    np.testing.assert_array_equal(
        Prices.of({"matrix": table, "abstention": 1}, ["no", "yes"]).answers, by_name.answers
    )
    with pytest.raises(ExportError, match="the answer 1 to a row that is 0 has two prices"):
        Prices.of({"matrix": {"0": {"1": 5}, 0: {1: 50}, 1: {0: 5}}, "abstention": 1}, [0, 1])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_the_interval_of_a_mean_holds_for_few_rows_and_narrows(share):
    random = np.random.default_rng(1)
    missed, widths = 0, []
    for seed in range(60):
        values = np.where(random.random(80) < share, 30.0, -2.0)
        low, high = mean_interval(values, -2.0, 30.0, 0.05, seed)
        missed += not low <= share * 30.0 + (share - 1.0) * 2.0 <= high
        widths.append(high - low)
    assert missed <= 6
    values = np.where(random.random(5000) < share, 30.0, -2.0)
    low, high = mean_interval(values, -2.0, 30.0, 0.05, 0)
    assert high - low < np.mean(widths) / 3


def test_the_order_of_the_rows_does_not_sway_the_interval():
    values = np.repeat([0.0, 10.0], [500, 20])
    low, high = mean_interval(values, 0.0, 10.0, 0.05, 0)
    assert low < values.mean() < high < 1.2


@pytest.mark.parametrize(
    ("cost", "error", "matrix"),
    [
        ({"error": 10, "abstention": 1}, 10.0, []),
        ({"matrix": [[0, 5], [5, 0]], "abstention": 1}, 5.0, []),
        ({"matrix": {"no": {"yes": 5}, "yes": {"no": 50}}, "abstention": 0.5}, 0.0, [0, 5, 50, 0]),
        ({"matrix": [[0, 5], [5, -1]], "abstention": 1}, 0.0, [0, 5, 5, -1]),
        ({"matrix": [[0, -5], [-5, 0]], "abstention": 1}, 0.0, [0, -5, -5, 0]),
        ({"matrix": [[-2, 5], [5, -2]], "abstention": 0}, 0.0, [-2, 5, 5, -2]),
    ],
)
def test_a_manifest_has_the_price_of_an_error_or_the_matrix(cost, error, matrix):
    found = Prices.of(cost, ["no", "yes"]).message
    assert (found.abstention, found.error, list(found.matrix)) == (cost["abstention"], error, matrix)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whole_weights_choose_the_threshold_of_repeated_rows(seed):
    random = np.random.default_rng(seed)
    confidence = random.random(80).round(2)
    y, weights = (random.random(80) > confidence).astype(int), random.integers(1, 5, 80)
    prices = Prices.of({"error": 3, "abstention": 1}, [0, 1])
    predicted = np.zeros(80, dtype=int)
    again = np.repeat(np.arange(80), weights)
    found = cheapest_threshold(prices, confidence, predicted, y, weights.astype(float))
    assert found == cheapest_threshold(prices, confidence[again], predicted[again], y[again])
