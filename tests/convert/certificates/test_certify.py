"""The certificate's arithmetic: golden values, ties, and the errors if nothing can be proven."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tamiz_convert.certificates.certify import certify
from tamiz_convert.certificates.fixed_sequence import Walk
from tamiz_convert.certificates.outcomes import Evidence, Outcomes
from tamiz_convert.errors import UnattainableError
from tamiz_convert.metrics.binomial import rows_needed, upper_bound


@pytest.mark.parametrize(
    ("k", "n", "delta", "expected"),
    [
        (0, 100, 0.05, 0.029513049607039925),
        (0, 59, 0.05, 0.04950760988822693),
        (0, 58, 0.05, 0.050339338330420105),
        (5, 200, 0.1, 0.04587869036775376),
        (14, 3522, 0.001 / 13, 0.009696356568684129),
        (51, 4205, 0.001 / 13, 0.019856851893484153),
        (7, 7, 0.1, 1.0),
        (0, 0, 0.1, 1.0),
    ],
)
def test_golden_values_of_the_upper_bound(k, n, delta, expected):
    assert upper_bound(k, n, delta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("max_error", "delta", "expected"),
    [
        (0.01, 0.1, 230),
        (0.01, 0.05, 299),
        (0.02, 0.01, 228),
        (0.05, 0.1, 45),
        (0.05, 0.001, 135),
        (0.1, 0.05, 29),
    ],
)
def test_golden_values_of_the_rows_needed_without_an_error(max_error, delta, expected):
    assert rows_needed(0.0, max_error, delta) == expected


@pytest.mark.parametrize(("error", "expected"), [(0.03, 132), (0.04, 673)])
def test_the_rows_needed_grow_as_the_error_nears_what_is_promised(error, expected):
    assert rows_needed(error, 0.05, 0.1) == expected


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.01, 0.5), st.floats(0.01, 0.3))
def test_the_test_and_the_bound_agree(k, n, max_error, delta):
    k = min(k, n)
    p_value = binom.cdf(k, n, max_error)
    if abs(p_value - delta) > 1e-9:
        assert (p_value <= delta) == (upper_bound(k, n, delta) <= max_error)


@given(st.integers(0, 50), st.integers(1, 50), st.floats(0.01, 0.4))
def test_the_bound_grows_with_errors_and_shrinks_with_rows_and_doubt(k, n, delta):
    k = min(k, n)
    bound = upper_bound(k, n, delta)
    assert upper_bound(min(k + 1, n), n, delta) >= bound
    assert upper_bound(k, n + 1, delta) <= bound + 1e-12
    assert upper_bound(k, n, min(delta * 1.5, 0.99)) <= bound + 1e-12


def sample(n: int, seed: int, *, sharp: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    confidence = random.beta(sharp, 1.0, n)
    return confidence, random.random(n) > confidence


def find(calibration, certification, max_error=0.05, confidence_level=0.9):
    rows = Outcomes(*calibration), Outcomes(*certification)
    return certify(*rows, max_error=max_error, confidence_level=confidence_level)


def test_what_is_certified_is_what_is_counted():
    certified = find(sample(2_000, 1), sample(2_000, 2))
    confidence, error = sample(2_000, 2)
    accepted = confidence >= certified.threshold
    assert certified.n_rows == 2_000
    assert certified.n_accepted == accepted.sum()
    assert certified.n_errors == error[accepted].sum()
    assert certified.p_value == pytest.approx(binom.cdf(certified.n_errors, certified.n_accepted, 0.05))
    assert certified.p_value <= 0.1
    assert certified.error_upper_bound <= 0.05


def test_the_threshold_lies_between_two_calibration_confidences():
    calibration = sample(2_000, 1)
    certified = find(calibration, sample(2_000, 2))
    distance = np.abs(calibration[0] - certified.threshold).min()
    assert distance > 0
    below = calibration[0][calibration[0] < certified.threshold].max()
    above = calibration[0][calibration[0] >= certified.threshold].min()
    assert certified.threshold == pytest.approx((below + above) / 2)


def test_the_order_of_the_rows_does_not_matter():
    calibration, certification = sample(3_000, 1), sample(3_000, 2)
    shuffled = np.random.default_rng(0).permutation(3_000)
    assert find(calibration, certification) == find(
        tuple(column[shuffled] for column in calibration), tuple(column[shuffled] for column in certification)
    )


def test_confidences_with_few_distinct_values_are_accepted_whole():
    random = np.random.default_rng(3)
    confidence = random.choice([0.6, 0.8, 0.99], 3_000)
    error = random.random(3_000) > confidence
    certified = find((confidence[:1500], error[:1500]), (confidence[1500:], error[1500:]))
    assert certified.threshold == pytest.approx((0.8 + 0.99) / 2)
    assert certified.n_accepted == (confidence[1500:] == 0.99).sum()


def test_a_row_without_a_confidence_is_never_accepted():
    confidence, error = sample(2_000, 1, sharp=50)
    confidence[:500] = np.nan
    error[:500] = False
    certified = find((confidence, error), (confidence, error))
    assert certified.n_accepted <= 1_500


def test_a_perfect_model_is_accepted_everywhere():
    confidence = np.linspace(0.9, 1.0, 500)
    right = np.zeros(500, dtype=bool)
    certified = find((confidence, right), (confidence, right))
    assert certified.n_accepted == 500
    assert certified.n_errors == 0


def test_too_few_rows_are_told_how_many_are_needed():
    with pytest.raises(
        UnattainableError,
        match=r"30 certification rows .* cannot prove .* at least 45 accepted certification",
    ) as e:
        find(sample(500, 1), sample(30, 2))
    assert e.value.threshold is None


def test_a_model_that_errs_too_often_is_told_what_could_be_proven():
    confidence, _ = sample(1_000, 1)
    error = np.random.default_rng(0).random(1_000) < 0.3
    with pytest.raises(UnattainableError, match="more than 32 times as many, if they are") as caught:
        find((confidence, error), (confidence, error))
    assert "max_error=0." in str(caught.value)
    assert caught.value.threshold is not None


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [150, 1_000])
def test_the_error_that_is_advised_can_indeed_be_proven(seed, n):
    calibration, certification = sample(n, seed), sample(n, seed + 1_000)
    with pytest.raises(UnattainableError) as caught:
        find(calibration, certification, max_error=0.001)
    advised = re.search(r"Ask for max_error=([\d.]+), which these rows prove", str(caught.value))
    assert advised is not None
    assert find(calibration, certification, max_error=float(advised[1])).n_accepted > 0


def test_a_model_that_is_nearly_good_enough_is_told_how_many_rows_would_do():
    confidence = np.linspace(0.9, 1.0, 400)
    error = np.zeros(400, dtype=bool)
    error[::25] = True
    with pytest.raises(UnattainableError, match=r"about [\d.]+ times as many"):
        find((confidence, error), (confidence, error))


def test_what_the_proof_allows_is_less_than_what_was_seen():
    """Also where the stricter start took its share of delta."""
    said = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        confidence = random.random(900)
        error = random.random(900) < 0.04 + 0.3 * (1.0 - confidence)
        try:
            find((confidence[:300], error[:300]), (confidence[300:], error[300:]))
        except UnattainableError as refused:
            said.append(re.search(r"(\d+) of \d+ accepted.*the proof allows (\d+)", str(refused)))
    found = [each for each in said if each]
    assert len(found) > 5
    assert all(int(each[1]) > int(each[2]) for each in found)


@pytest.mark.parametrize(
    ("p", "promising", "proven"),
    [
        ([0.05, 0.09, 0.2], 0, [0, 1]),
        ([0.004, 0.004, 0.099, 0.2], 2, [0, 1, 2]),  # the strict start gets there: all of delta goes on
        ([0.004, 0.006, 0.099, 0.01], 2, [0]),
        ([0.006, 0.004, 0.09, 0.099], 2, [2]),
        ([0.2, 0.2], 1, []),
    ],
)
def test_two_starts_share_delta_and_pass_it_on(p, promising, proven):
    nothing = np.zeros(len(p), np.int64)
    steps = Walk(np.zeros(len(p)), nothing, nothing, Evidence(nothing, nothing), np.array(p), promising)
    assert steps.proven(0.1).tolist() == proven
    assert steps.last_proven(0.1) == (proven[-1] if proven else -1)
    assert steps.is_proven_whole(0.1) == (len(proven) == len(p))
