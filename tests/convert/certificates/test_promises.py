"""Joint error and coverage: what is counted, where the boundary lies, and what an error says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.certificates.promises import certify_coverage, certify_joint_error
from tamiz_convert.errors import UnattainableError
from tamiz_convert.metrics.binomial import upper_bound


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    confidence = random.beta(4.0, 1.0, n)
    return confidence, random.random(n) > confidence


@given(st.integers(60, 400), st.integers(0, 1_000), st.floats(0.05, 0.3), st.sampled_from([0.8, 0.9, 0.99]))
def test_the_joint_error_is_proven_at_its_threshold_and_not_at_the_next_looser_one(n, seed, max_error, level):
    confidence, error = sample(n, seed)
    try:
        found = certify_joint_error(Outcomes(confidence, error), max_error=max_error, confidence_level=level)
    except UnattainableError:
        assert upper_bound(int(error[confidence.argmax()]), n, 1 - level) > max_error
        return
    accepted = confidence >= found.threshold
    assert (found.n_accepted, found.n_errors) == (accepted.sum(), error[accepted].sum())
    assert found.error_upper_bound == upper_bound(found.n_errors, n, 1 - level)
    assert found.error_upper_bound <= max_error + 1e-9
    if not accepted.all():
        looser = confidence >= confidence[~accepted].max()
        assert upper_bound(int(error[looser].sum()), n, 1 - level) > max_error - 1e-9


@given(st.integers(30, 400), st.integers(0, 1_000), st.floats(0.1, 0.9), st.sampled_from([0.8, 0.9, 0.99]))
def test_the_coverage_is_proven_at_its_threshold_and_not_at_the_next_stricter_one(n, seed, share, level):
    confidence, error = sample(n, seed)
    try:
        found = certify_coverage(Outcomes(confidence, error), min_coverage=share, confidence_level=level)
    except UnattainableError:
        assert share**n > 1 - level
        return
    accepted = confidence >= found.threshold
    assert (found.n_accepted, found.n_errors) == (accepted.sum(), error[accepted].sum())
    assert found.p_value <= 1 - level
    assert binom.sf(found.n_accepted - 2, n, share) > 1 - level
    assert found.error_upper_bound is None


def test_rows_of_equal_confidence_are_accepted_together():
    confidence = np.repeat([0.6, 0.8, 0.99], 200)
    error = np.zeros(600, dtype=bool)
    error[200:230] = True
    joint = certify_joint_error(Outcomes(confidence, error), max_error=0.02, confidence_level=0.9)
    assert (joint.threshold, joint.n_accepted) == (pytest.approx((0.8 + 0.99) / 2), 200)
    covered = certify_coverage(Outcomes(confidence, error), min_coverage=0.5, confidence_level=0.9)
    assert (covered.threshold, covered.n_accepted) == (pytest.approx(0.7), 400)


def test_a_row_without_a_confidence_is_never_accepted_and_counts_all_the_same():
    confidence, error = sample(400, 1)
    confidence[:100], error[:100] = np.nan, False
    covered = certify_coverage(Outcomes(confidence, error), min_coverage=0.5, confidence_level=0.9)
    assert covered.n_rows == 400
    assert covered.n_accepted <= 300
    with pytest.raises(UnattainableError, match=r"400 certification rows \(100 of them have no confidence\)"):
        certify_coverage(Outcomes(confidence, error), min_coverage=0.8, confidence_level=0.9)
    everything = certify_joint_error(
        Outcomes(confidence, np.zeros(400, dtype=bool)), max_error=0.1, confidence_level=0.9
    )
    assert (everything.n_rows, everything.n_accepted) == (400, 300)


@pytest.mark.parametrize(
    ("certify", "message"),
    [
        (
            lambda: certify_joint_error(Outcomes(*sample(30, 1)), max_error=0.01, confidence_level=0.9),
            "it takes at least 230. Bring more rows, or ask for 0.0",
        ),
        (
            lambda: certify_joint_error(
                Outcomes(np.full(300, 0.9), np.arange(300) % 10 == 0), max_error=0.05, confidence_level=0.9
            ),
            "30 rows are wrong at the highest confidence alone. Improve the model, or ask for 0.13, which",
        ),
        (
            lambda: certify_joint_error(
                Outcomes(np.full(300, np.nan), np.zeros(300, dtype=bool)),
                max_error=0.05,
                confidence_level=0.9,
            ),
            "none of them has a confidence",
        ),
        (
            lambda: certify_coverage(Outcomes(*sample(100, 1)), min_coverage=0.99, confidence_level=0.9),
            r"it takes at least 230 rows, .* with a confidence. Bring more rows, or ask for 0.977, which",
        ),
    ],
)
def test_what_cannot_be_proven_says_what_would_be_needed(certify, message):
    with pytest.raises(UnattainableError, match=message):
        certify()


@pytest.mark.parametrize("n", [7, 40, 300])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("in_groups", [False, True])
def test_what_is_advised_is_proven_if_it_is_asked_for(n, seed, in_groups):
    confidence, error = sample(n, seed)
    confidence[: n // 5] = 0.999
    group = np.arange(n) // 3 if in_groups else None
    for certify, wish in ((certify_joint_error, "max_error"), (certify_coverage, "min_coverage")):
        rows = Outcomes(np.where(error & (wish == "min_coverage"), np.nan, confidence), error, group)
        with pytest.raises(UnattainableError) as caught:
            certify(rows, confidence_level=0.9, **{wish: 0.001 if wish == "max_error" else 0.999})
        (advised,) = re.findall(r"or ask for ([\d.e-]+), which these rows prove", str(caught.value))
        assert certify(rows, confidence_level=0.9, **{wish: float(advised)}).n_rows == n


@pytest.mark.parametrize("confidence_level", [0.5, 0.4, 0.499999, 0.501])
def test_groups_have_a_certificate_at_a_confidence_of_a_half_too(confidence_level):
    random = np.random.default_rng(3)
    rows = Outcomes(random.random(200), random.random(200) < 0.1, np.arange(200) // 5)
    level = {"confidence_level": confidence_level}
    assert 0.0 < certify_joint_error(rows, max_error=0.2, **level).p_value <= 1 - confidence_level
    assert 0.0 < certify_coverage(rows, min_coverage=0.8, **level).p_value <= 1 - confidence_level
