"""Claims and their tests: exact for any number of rows, and right as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from tamiz.gate import NO_CLASS
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.checks.betting import MeanAtMost
from tamiz_convert.checks.changes import label_flips
from tamiz_convert.checks.claims import AtLeast, AtMost
from tamiz_convert.checks.differences import GainAtLeast, LossAtMost, RiseAtMost
from tamiz_convert.checks.finding import Claimed, Decided, Heading
from tamiz_convert.checks.judge import judge

ALPHA = 0.05


def answers(predicted, accepted):
    predicted = np.array(predicted)
    probabilities = np.eye(2)[np.where(predicted == NO_CLASS, 0, predicted)]
    return Answers(probabilities, predicted, probabilities.max(axis=1), np.array(accepted, dtype=bool))


def test_what_a_change_does_to_labels_and_to_answers_is_counted_apart():
    before = answers([0, 0, 0, 0, 1, 1, NO_CLASS], [1, 1, 1, 1, 0, 0, 0])
    once = answers([0, 1, 1, NO_CLASS, 0, 1, 1], [1, 1, 0, 0, 0, 1, 1])
    again = answers([1, 0, 0, 0, 1, 1, NO_CLASS], [1, 1, 1, 1, 0, 0, 0])
    counts = [
        (each.heading.name, each.claim.n_hits, each.claim.n_rows, each.heading.severity)
        for each in label_flips(heading(), before, [once, again], 0.1)
    ]
    assert counts == [
        ("it: all rows", 4, 6, "block"),
        ("it: accepted rows", 2, 4, "block"),
        ("it: accepted, then abstained", 2, 4, "warn"),
    ]


def heading(name="it"):
    return Heading(name, "slices", "block", "warn")


def claimed(claim, name="it", min_n=1):
    return Claimed(heading(name), "rate", "at most", claim, min_n)


counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(1e-4, 0.3)


@given(counts, st.floats(0.01, 0.99), levels)
def test_a_rate_is_proven_exactly_if_its_bound_keeps_the_limit(kn, limit, level):
    k, n = kn
    for claim, keeps in (
        (AtMost(k, n, limit), lambda bound: bound <= limit),
        (AtLeast(k, n, limit), lambda bound: bound >= limit),
    ):
        if n and abs(claim.bound(level) - limit) > 1e-9:
            assert (claim.p_value <= level) == keeps(claim.bound(level))


def test_bounds_are_those_of_clopper_and_pearson():
    interval = binomtest(7, 200).proportion_ci(0.9, method="exact")
    assert AtMost(7, 200, 0.1).bound(0.05) == pytest.approx(interval.high)
    assert AtLeast(7, 200, 0.01).bound(0.05) == pytest.approx(interval.low)
    assert AtMost(7, 200, 0.1).p_value == pytest.approx(binomtest(7, 200, 0.1, alternative="less").pvalue)
    assert AtMost(7, 200, 0.1).p_value_against == pytest.approx(
        binomtest(7, 200, 0.1, alternative="greater").pvalue
    )


def trinomial(random, n, lost, won):
    draws = random.random(n)
    return int((draws < lost).sum()), int((draws > 1 - won).sum())


@pytest.mark.parametrize(("lost", "won", "limit"), [(0.06, 0.04, 0.02), (0.3, 0.3, 0.0), (0.05, 0.15, -0.1)])
def test_a_paired_bound_holds_as_often_as_it_says(lost, won, limit):
    random = np.random.default_rng(0)
    claims = [LossAtMost(*trinomial(random, 300, lost, won), 300, limit) for _ in range(400)]
    failures = sum(claim.bound(0.1) < lost - won - 1e-12 for claim in claims if limit >= 0)
    wrongly_proven = sum(claim.p_value <= 0.1 for claim in claims)
    assert failures <= binom.ppf(0.999, 400, 0.1)
    assert wrongly_proven <= binom.ppf(0.999, 400, 0.1)


@given(counts, st.integers(0, 40), st.floats(-0.3, 0.3), levels)
def test_a_paired_loss_is_proven_exactly_if_its_bound_keeps_the_limit(kn, won, limit, level):
    lost, n = kn
    claim = LossAtMost(lost, min(won, n - lost), n, limit)
    if abs(claim.bound(level) - limit) > 1e-6 and abs(claim.p_value - level) > 1e-6:
        assert (claim.p_value <= level) == (claim.bound(level) <= limit)


def test_without_a_margin_the_paired_test_is_mcnemars_at_half_the_level():
    claim = LossAtMost(3, 17, 500, 0.0)
    assert claim.p_value == pytest.approx(2 * binomtest(3, 20, alternative="less").pvalue, rel=1e-6)


def test_a_loss_above_the_limit_is_refuted_by_mcnemars_test():
    claim = LossAtMost(19, 4, 100, 0.02)
    assert claim.p_value_against == pytest.approx(binomtest(19, 23, alternative="greater").pvalue)
    assert LossAtMost(19, 4, 1000, 0.02).p_value_against == 1.0


def test_a_gain_is_a_loss_seen_from_the_other_side():
    gain, loss = GainAtLeast(40, 10, 500, 0.02), LossAtMost(10, 40, 500, -0.02)
    assert gain.observed == -loss.observed == pytest.approx(0.06)
    assert (gain.p_value, gain.p_value_against) == (loss.p_value, loss.p_value_against)
    assert 0.02 < gain.bound(0.05) == -loss.bound(0.05) < 0.06


def test_only_rows_that_differ_speak_in_a_paired_comparison():
    assert LossAtMost(0, 0, 1000, 0.01).p_value < LossAtMost(50, 50, 1000, 0.01).p_value


def test_a_rise_between_other_rows_is_proven_by_both_bounds():
    assert RiseAtMost(5, 1000, 5, 1000, 0.05).p_value < 0.001
    assert RiseAtMost(60, 1000, 5, 1000, 0.01).p_value_against < 0.001


def test_a_bound_on_a_mean_holds_as_often_as_it_says_and_is_not_vacuous():
    random = np.random.default_rng(1)
    mean = 0.02
    samples = [np.clip(random.exponential(mean, 400), 0, 1) for _ in range(600)]
    failures = sum(MeanAtMost(values, mean).p_value <= 0.1 for values in samples)
    assert failures <= binom.ppf(0.999, 600, 0.1)
    bounds = [MeanAtMost(values, 0.1).bound(0.05) for values in samples[:20]]
    assert mean < np.mean(bounds) < 0.03


def test_each_stake_depends_on_earlier_rows_only():
    values, limit = np.random.default_rng(3).beta(1, 30, 150), 0.06
    capital, best, total, squares, variance = 1.0, 1.0, 0.0, 0.0, 0.25
    for row, value in enumerate(values, start=1):
        stake = min(0.9 / (1 - limit), np.sqrt(2 * np.log(20) / (len(values) * variance)))
        capital *= 1 - stake * (value - limit)
        best = max(best, capital)
        total += value
        squares += (value - (0.5 + total) / (row + 1)) ** 2
        variance = (0.25 + squares) / (row + 1)
    assert MeanAtMost(values, limit).p_value == pytest.approx(1 / best, rel=1e-9)


def test_a_mean_above_its_limit_is_refuted():
    claim = MeanAtMost(np.full(300, 0.2), 0.05)
    assert claim.p_value_against < 0.001
    assert claim.p_value > 0.5


def test_holm_holds_one_check_stricter_among_many_than_alone():
    claim = AtMost(1, 120, 0.05)
    (alone,) = judge([claimed(claim)], ALPHA)
    among = judge([claimed(claim)] * 10, ALPHA)
    assert alone.status == "passed"
    assert {result.status for result in among} == {"failed"}
    assert alone.bound < 0.05 < among[0].bound


def test_limits_are_wrongly_called_kept_as_seldom_as_alpha_says():
    random = np.random.default_rng(2)
    wrong = 0
    for _ in range(300):
        claims = [claimed(AtMost(int(random.binomial(400, 0.05)), 400, 0.05)) for _ in range(8)]
        wrong += any(result.status == "passed" for result in judge(claims, ALPHA))
    assert wrong <= binom.ppf(0.999, 300, ALPHA)


def test_so_few_rows_that_none_could_prove_it_are_inconclusive_and_not_counted():
    tiny = [claimed(AtMost(0, 20, 0.05)) for _ in range(50)]
    results = judge([claimed(AtMost(1, 120, 0.05)), *tiny], ALPHA)
    assert results[0].status == "passed"
    assert {result.status for result in results[1:]} == {"inconclusive"}
    assert "too few rows" in results[1].message


def test_flawless_rows_never_fail_only_because_there_are_many_checks():
    results = judge([claimed(AtMost(0, 70, 0.05))] * 20, ALPHA)
    assert {result.status for result in results} == {"inconclusive"}


def test_few_rows_that_prove_the_limit_broken_fail():
    (result,) = judge([claimed(AtMost(15, 20, 0.05), min_n=100)], ALPHA)
    assert result.status == "failed"
    assert "too high to be chance" in result.message


def test_fewer_rows_than_asked_for_are_inconclusive_even_if_they_would_prove_it():
    (result,) = judge([claimed(AtMost(0, 90, 0.05), min_n=100)], ALPHA)
    assert result.status == "inconclusive"
    assert "min_n is 100" in result.message


def test_an_equally_good_model_is_not_stopped_because_a_slice_is_small():
    (equal,) = judge([claimed(LossAtMost(20, 20, 400, 0.02))], ALPHA)
    (worse,) = judge([claimed(LossAtMost(76, 16, 400, 0.02))], ALPHA)
    (doubtful,) = judge([claimed(LossAtMost(60, 35, 4000, 0.01))], ALPHA)
    assert (equal.status, worse.status, doubtful.status) == ("inconclusive", "failed", "failed")
    assert "to be chance" in worse.message
    assert "to be chance" not in doubtful.message
    (small,) = judge([claimed(RiseAtMost(12, 200, 12, 200, 0.02))], ALPHA)
    assert small.status == "inconclusive"


def test_no_rows_are_inconclusive():
    (result,) = judge([claimed(AtMost(0, 0, 0.05))], ALPHA)
    assert (result.status, result.observed, result.bound) == ("inconclusive", None, None)


def test_a_failure_says_how_many_rows_would_prove_what_looks_right():
    (result,) = judge([claimed(AtMost(3, 100, 0.05))], ALPHA)
    assert result.status == "failed"
    needed = int(result.message.split("about ")[1].split(" rows")[0].replace(",", ""))
    assert AtMost(int(needed * 0.03), needed, 0.05).p_value <= ALPHA


def test_too_few_rows_stop_the_export_only_by_policy():
    for policy, blocks in (("warn", False), ("block", True)):
        head = Heading("it", "slices", "block", policy)
        (result,) = judge([Claimed(head, "rate", "at most", AtMost(0, 3, 0.05))], ALPHA)
        assert result.blocks is blocks
    head = Heading("it", "slices", "warn", "block")
    (result,) = judge([Claimed(head, "rate", "at most", AtMost(0, 3, 0.05))], ALPHA)
    assert not result.blocks


def test_what_needs_no_sample_takes_no_part_in_the_correction():
    decided = [Decided(heading(), passed=True, n_rows=5, message="fine")] * 50
    results = judge([claimed(AtMost(1, 120, 0.05)), *decided], ALPHA)
    assert {result.status for result in results} == {"passed"}
