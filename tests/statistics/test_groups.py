"""Rows of one group err together: the certificate counts groups, and keeps its promise as often as it says.

With independent rows in mind it would break it far more often; the same draws show both.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betainc
from scipy.stats import binom

from tamiz_convert.certificates.certify import find
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.certificates.promises import certify_coverage, certify_joint_error
from tamiz_convert.errors import UnattainableError
from tamiz_convert.metrics.clustered import effective_counts

from .populations import DELTA, GRID, MAX_ERROR, RESAMPLES, allowed

N_DRAWS = RESAMPLES // 10
FACTORS = {"mild": np.array([0.4, 1.0, 1.6]), "one in eight is hard": np.array([0.3] * 7 + [5.9])}
"""How many times more often than another one a group errs; each is as frequent."""


def draw(factors: np.ndarray, n_groups: int, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return the confidence, the error and the group of rows in groups of very unequal sizes."""
    group = np.repeat(np.arange(n_groups), random.geometric(1 / 30, n_groups))
    confidence = GRID[random.integers(0, len(GRID), len(group))]
    factor = factors[random.integers(0, len(factors), n_groups)][group]
    return confidence, random.random(len(group)) < np.clip(factor * (1 - confidence), 0, 1), group


def errors_at(factors: np.ndarray) -> np.ndarray:
    """The error of each confidence of the grid, over all groups."""
    return np.clip(factors[:, None] * (1 - GRID), 0, 1).mean(axis=0)


def broken(factors: np.ndarray, n_groups: int, seed: int) -> tuple[float, float, float]:
    """Return the share of broken promises with and without counting groups, and the coverage with it."""
    random, at = np.random.default_rng(seed), errors_at(factors)
    counts, coverage = np.zeros(2), 0.0
    for _ in range(N_DRAWS):
        rows = [draw(factors, n_groups, random) for _ in range(2)]
        for way, columns in enumerate((3, 2)):
            found = find(*(Outcomes(*each[:columns]) for each in rows), max_error=MAX_ERROR, delta=DELTA)
            if found is not None:
                accepted = found.threshold <= GRID
                counts[way] += bool(accepted.any()) and at[accepted].mean() > MAX_ERROR
                coverage += accepted.mean() * (way == 0)
    return (*(counts / N_DRAWS).tolist(), coverage / N_DRAWS)


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("n_groups", [40, 150])
def test_the_promise_is_kept_as_often_as_promised_and_would_not_be_with_rows_alone(name, n_groups):
    with_groups, with_rows, coverage = broken(FACTORS[name], n_groups, seed=51)
    assert with_groups <= allowed(N_DRAWS)
    assert with_rows > with_groups
    if n_groups > 100:
        assert coverage > 0
        assert with_rows > allowed(N_DRAWS) or name == "mild"


SETTINGS = [
    # groups, rows in each (negative: on average, very unequal), error, share of the variance between groups
    (5, 100, 0.10, 0.05),
    (10, -200, 0.20, 0.10),
    (20, -100, 0.20, 0.30),
    (20, 50, 0.05, 0.50),
    (30, 40, 0.05, 0.30),
    (50, -20, 0.01, 0.30),
    (100, -10, 0.02, 0.30),
    (400, 3, 0.05, 0.30),
    (400, -3, 0.01, 0.50),
    (1000, -5, 0.005, 0.30),
]


@pytest.mark.parametrize("delta", [0.1, 0.01])
@pytest.mark.parametrize(("n_groups", "size", "error", "between"), SETTINGS)
@pytest.mark.parametrize("kind", ["all groups differ", "few groups err"])
def test_the_test_itself_fails_about_as_often_as_it_says(kind, n_groups, size, error, between, delta):
    """At the true error, where a test of rows fails up to half of the time."""
    random = np.random.default_rng(52)
    n_draws = 2_000
    shape = (n_groups, n_draws)
    rows = random.geometric(-1 / size, shape) if size < 0 else np.full(shape, size)
    if kind == "all groups differ":
        strength = 1 / between - 1
        share = random.beta(error * strength, (1 - error) * strength, shape)
    else:
        bad = min(1.0, between + error)
        share = np.where(random.random(shape) < error / bad, bad, 0.0)
    k, n = effective_counts(random.binomial(rows, share), rows, delta)
    failed = float((betainc(np.maximum(n - k, 1e-300), k + 1, 1 - error) <= delta).mean())
    assert failed <= max(1.25 * delta, float(binom.ppf(0.999, n_draws, delta) / n_draws))


@pytest.mark.parametrize("delta", [0.1, 0.01])
@pytest.mark.parametrize("n_groups", [2, 3, 4, 5, 10, 20])
@pytest.mark.parametrize(("size", "error"), [(1000, 0.05), (1000, 0.1), (-200, 0.2)])
def test_few_large_groups_that_differ_very_much_fail_at_most_three_times_as_often(
    size, error, n_groups, delta
):
    random = np.random.default_rng(54)
    shape = (n_groups, 1_000)
    rows = random.geometric(-1 / size, shape) if size < 0 else np.full(shape, size)
    share = random.beta(error, 1 - error, shape)
    k, n = effective_counts(random.binomial(rows, share), rows, delta)
    failed = float((betainc(np.maximum(n - k, 1e-300), k + 1, 1 - error) <= delta).mean())
    assert failed <= 3 * delta + 0.01
    if n_groups < 5:
        assert failed == 0
        np.testing.assert_allclose(n, rows.sum(axis=0) ** 2 / (rows**2).sum(axis=0))


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_the_other_promises_count_groups_too(factors):
    random, at = np.random.default_rng(53), errors_at(factors)
    broken = np.zeros(2)
    n_draws = N_DRAWS // 4
    for _ in range(n_draws):
        confidence, error, group = draw(factors, 60, random)
        shift = random.normal(0, 0.02, 60)[group]  # coverage differs between groups
        rows = Outcomes(confidence, error, group)
        try:
            joint = certify_joint_error(rows, max_error=MAX_ERROR, confidence_level=1 - DELTA)
            broken[0] += np.where(joint.threshold <= GRID, at, 0).mean() > MAX_ERROR
        except UnattainableError:
            pass
        moved = Outcomes(np.clip(confidence + shift, 0.4, 1.1), error, group)
        try:
            covered = certify_coverage(moved, min_coverage=0.8, confidence_level=1 - DELTA)
            normal = np.random.default_rng(1).normal(0, 0.02, 50)[:, None]
            broken[1] += (GRID + normal >= covered.threshold).mean() < 0.8
        except UnattainableError:
            pass
    assert (broken / n_draws <= allowed(n_draws)).all()
