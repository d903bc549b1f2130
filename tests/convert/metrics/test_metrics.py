"""Metrics against values computed by hand, at the edges of bins, and properties that hold for any rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_convert.metrics.bins import equal_mass
from tamiz_convert.metrics.bootstrap import bootstrap
from tamiz_convert.metrics.calibration_error import classwise_ece, debiased_l2, ece, ece_equal_mass, mce
from tamiz_convert.metrics.losses import accuracy, log_loss
from tamiz_convert.metrics.ranking import augrc, aurc, e_aurc, risk_coverage_curve
from tamiz_convert.metrics.reliability import reliability_diagram
from tamiz_convert.metrics.spiegelhalter import spiegelhalter
from tamiz_convert.metrics.summary import summarize


def made(n: int, n_classes: int, seed: int = 0, *, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose labels are drawn from their probabilities, which with `steps` are multiples of 1 / steps."""
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(n_classes), n)
    if steps:
        p = np.array([random.multinomial(steps, row) for row in p]) / steps
    return p, np.array([random.choice(n_classes, p=row) for row in p])


def binary(confidence, correct) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, the second predicted."""
    confidence = np.asarray(confidence, dtype=float)
    return np.stack([1 - confidence, confidence], axis=1), np.asarray(correct).astype(int)


ANY_ROWS = st.builds(
    made, st.integers(1, 60), st.integers(2, 5), st.integers(0, 999), steps=st.sampled_from([None, 3, 15])
)


def test_a_confidence_on_an_edge_counts_with_the_bin_below():
    sure = np.array([[0.0, 1.0], [1 / 3, 2 / 3], [2 / 5, 3 / 5]])
    y = np.array([1, 0, 1])
    assert ece(sure, y) == pytest.approx((0.0 + 2 / 3 + 2 / 5) / 3)
    together = np.array([[0.34, 0.66], [1 / 3, 2 / 3]])  # both in (0.6, 0.667]
    assert ece(together, np.array([1, 0])) == pytest.approx(abs(1 - (0.66 + 2 / 3)) / 2)


@pytest.mark.parametrize("k", range(8, 16))
@pytest.mark.parametrize("computed", [lambda k: k / 15, lambda k: 1 - (15 - k) / 15, lambda k: k * (1 / 15)])
def test_each_fifteenth_falls_into_the_bin_that_it_ends_however_it_was_computed(k, computed):
    p, y = binary([computed(k)], [1])
    assert reliability_diagram(p, y).n_rows.tolist() == [int(bin_number == k - 1) for bin_number in range(15)]


def test_the_first_bin_holds_zero():
    p = np.array([[0.0, 0.4, 0.6], [0.0, 0.4, 0.6]])
    # class 0: 0 and never; class 1: 0.4 and never; class 2: 0.6 and always.
    assert classwise_ece(p, np.array([2, 2])) == pytest.approx((0.0 + 0.4 + 0.4) / 3)


def test_bins_of_equal_mass_end_halfway_between_neighbors_and_keep_equal_values_together():
    np.testing.assert_allclose(equal_mass(np.array([0.9, 0.1, 0.5, 0.7]), 2), [0.6, 1.0])
    np.testing.assert_allclose(equal_mass(np.array([0.5, 0.5, 0.5, 0.8]), 2), [0.5, 1.0])
    np.testing.assert_allclose(equal_mass(np.array([0.7]), 15), [1.0])
    p, y = binary([0.6, 0.6, 0.6, 0.8], [0, 1, 1, 1])
    assert reliability_diagram(p, y, 2, equal_mass).n_rows.tolist() == [3, 1]
    assert ece_equal_mass(p, y, 2) == pytest.approx((abs(2 - 1.8) + abs(1 - 0.8)) / 4)


@given(st.integers(1, 200), st.integers(1, 30), st.integers(0, 99))
def test_bins_of_equal_mass_differ_by_one_row_at_most(n, n_bins, seed):
    p, y = binary(np.random.default_rng(seed).uniform(0.5, 1.0, n), np.ones(n))
    rows = reliability_diagram(p, y, n_bins, equal_mass).n_rows
    assert len(rows) == min(n, n_bins)
    assert rows.sum() == n
    assert rows.max() - rows.min() <= 1


def test_the_largest_gap_is_that_of_the_worst_bin():
    p, y = binary([0.62, 0.62, 0.95], [1, 0, 1])
    assert mce(p, y) == pytest.approx(0.12)


def test_the_debiased_error_takes_off_what_chance_makes():
    p, y = binary([0.9] * 10, [1] * 5 + [0] * 5)
    assert debiased_l2(p, y) == pytest.approx(np.sqrt(0.4**2 - 0.25 / 9))
    assert debiased_l2(*binary([0.6] * 10, [1] * 5 + [0] * 5)) == 0.0
    assert debiased_l2(*binary([0.6, 0.9], [0, 0])) == 0.0  # bins of one row prove nothing


def test_the_areas_under_the_curves_by_hand():
    p, y = binary([0.9, 0.8, 0.7], [1, 0, 1])
    assert aurc(p, y) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert e_aurc(p, y) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3 - (0 + 0 + 1 / 3) / 3)
    assert augrc(p, y) == pytest.approx((0 + 1 / 3 + 1 / 3) / 3)


def test_rows_of_equal_confidence_share_their_errors_in_any_order():
    expected = (0 + 0.5 / 2 + 1 / 3) / 3
    for correct in ([1, 0, 1], [1, 1, 0]):
        p, y = binary([0.9, 0.8, 0.8], correct)
        assert aurc(p, y) == pytest.approx(expected)
        assert augrc(p, y) == pytest.approx((0 + 0.5 / 3 + 1 / 3) / 3)


@given(ANY_ROWS, st.integers(0, 99))
def test_the_areas_are_the_mean_over_rows_one_by_one(rows, seed):
    p, y = rows
    confidence, wrong = p.max(axis=1), (p.argmax(axis=1) != y).astype(float)
    shared = np.array([wrong[confidence == c].mean() for c in confidence])
    errors = np.cumsum(shared[np.argsort(-confidence)])
    i = np.arange(1, len(y) + 1)
    assert aurc(p, y) == pytest.approx((errors / i).mean(), abs=1e-12)
    assert augrc(p, y) == pytest.approx(errors.mean() / len(y), abs=1e-12)
    shuffled = np.random.default_rng(seed).permutation(len(y))
    assert aurc(p[shuffled], y[shuffled]) == pytest.approx(aurc(p, y), abs=1e-12)


@given(ANY_ROWS)
def test_no_ranking_beats_the_best_one(rows):
    assert e_aurc(*rows) >= -1e-12


@pytest.mark.parametrize(("correct", "expected"), [([1, 1, 1], 0.0), ([0, 0, 0], 1.0)])
def test_without_a_difference_to_rank_by_the_excess_is_zero(correct, expected):
    p, y = binary([0.9, 0.8, 0.7], correct)
    assert aurc(p, y) == pytest.approx(expected)
    assert e_aurc(p, y) == pytest.approx(0.0)


def test_the_excess_is_near_its_approximation_on_many_rows():
    p, y = made(20_000, 4)
    r = 1 - accuracy(p, y)
    approximation = aurc(p, y) - (r + (1 - r) * np.log(1 - r))
    assert e_aurc(p, y) == pytest.approx(approximation, abs=1e-4)


def test_a_threshold_takes_all_rows_of_one_confidence_or_none():
    p, y = binary([0.9, 0.8, 0.8, 0.7], [1, 0, 1, 0])
    curve = risk_coverage_curve(p, y)
    np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.7])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0.0, 1 / 3, 0.5])


def test_the_reliability_diagram_by_hand():
    p, y = binary([0.95, 0.97, 0.62], [1, 0, 1])
    diagram = reliability_diagram(p, y)
    assert diagram.n_rows.tolist() == [0] * 9 + [1] + [0] * 4 + [2]
    assert diagram.mean_confidence[14] == pytest.approx(0.96)
    assert diagram.accuracy[14] == 0.5
    assert diagram.low[14] == pytest.approx(1 - np.sqrt(0.975), abs=1e-12)  # Clopper-Pearson of 1 in 2
    assert diagram.high[14] == pytest.approx(np.sqrt(0.975), abs=1e-12)
    assert (diagram.low[9], diagram.high[9]) == pytest.approx((0.025, 1.0))
    assert np.isnan([diagram.accuracy[0], diagram.mean_confidence[0], diagram.low[0], diagram.high[0]]).all()
    np.testing.assert_allclose(diagram.edges, np.arange(16) / 15)


@given(ANY_ROWS)
def test_the_calibration_error_is_what_the_diagram_shows(rows):
    diagram = reliability_diagram(*rows)
    shown = np.nansum(diagram.n_rows * np.abs(diagram.accuracy - diagram.mean_confidence)) / len(rows[1])
    assert ece(*rows) == pytest.approx(shown, abs=1e-12)


def test_the_test_of_calibration_tells_too_sure_from_not_sure_enough():
    p, y = made(2_000, 3)
    sharp, flat = p**3 / (p**3).sum(axis=1, keepdims=True), (p + 1) / 4
    assert abs(spiegelhalter(p, y).z) < 3
    assert spiegelhalter(sharp, y).z > 10
    assert spiegelhalter(flat, y).z < -10
    assert spiegelhalter(sharp, y).p_value < 1e-12


def test_the_p_value_of_calibrated_probabilities_is_uniform():
    small = [spiegelhalter(*made(150, 3, seed)).p_value < 0.1 for seed in range(400)]
    assert 0.06 < np.mean(small) < 0.14  # standard deviation 0.015


@pytest.mark.parametrize(
    ("confidence", "correct", "z"), [(1.0, 1, 0.0), (1.0, 0, np.inf), (0.5, 1, 0.0), (0.5, 0, 0.0)]
)
def test_probabilities_without_chance_give_zero_or_infinity(confidence, correct, z):
    found = spiegelhalter(*binary([confidence] * 7, [correct] * 7))
    assert (found.z, found.p_value) == (z, 1.0 if z == 0 else 0.0)


def test_the_summary_names_each_metric():
    p, y = made(500, 4)
    found = summarize(p, y)
    assert [name for name, _ in found] == [
        "accuracy",
        "log_loss",
        "brier",
        "ece_15",
        "aurc",
        "ece_15_equal_mass",
        "debiased_l2_15_equal_mass",
        "mce_15",
        "classwise_ece_15",
        "e_aurc",
        "augrc",
        "spiegelhalter_z",
    ]
    assert dict(found)["log_loss"] == log_loss(p, y)
    assert all(type(value) is float for _, value in found)


@pytest.mark.parametrize(
    "spoiled", [[(0, slice(None))], [(3, slice(None)), (7, slice(None))], [(5, 0)], [(5, 2)]]
)
def test_a_row_without_probabilities_leaves_no_metric(spoiled):
    p, y = made(30, 3)
    y[5] = 1
    for place in spoiled:
        p[place] = np.nan
    assert np.isnan([value for _, value in summarize(p, y)]).all()
    intervals = bootstrap(p, y, n_resamples=5).values()
    assert np.isnan([each.value for each in intervals]).all()
    assert np.isnan([each.low for each in intervals]).all()


@given(ANY_ROWS)
def test_every_metric_is_finite_but_the_test_of_certain_rows(rows):
    values = dict(summarize(*rows))
    del values["spiegelhalter_z"]
    assert np.isfinite(list(values.values())).all()
