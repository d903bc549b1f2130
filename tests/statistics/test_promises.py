"""The other promises, tested like the first: how often they are broken, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.certificates.promises import certify_coverage, certify_joint_error
from tamiz_convert.errors import UnattainableError

from .populations import CONFIDENCE_LEVEL, MAX_ERROR, POPULATIONS, RESAMPLES, allowed

N_ROWS = 500
MIN_COVERAGE = 0.8


def joint_errors(name: str, n_rows: int, resamples: int, seed: int) -> list[tuple[float, float]]:
    """Return the true joint error and the true coverage of each resample's threshold."""
    random, population = np.random.default_rng(seed), POPULATIONS[name]
    found = []
    for _ in range(resamples):
        try:
            certified = certify_joint_error(
                Outcomes(*population.sample(n_rows, random)),
                max_error=MAX_ERROR,
                confidence_level=CONFIDENCE_LEVEL,
            )
        except UnattainableError:
            found.append((0.0, 0.0))
            continue
        found.append((population.joint_error(certified.threshold), population.coverage(certified.threshold)))
    return found


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_joint_error_is_kept_as_often_as_promised(name):
    found = joint_errors(name, N_ROWS, RESAMPLES, seed=31)
    assert np.mean([error > MAX_ERROR for error, _ in found]) <= allowed(RESAMPLES)


def test_the_joint_error_is_nearly_used_up():
    population = POPULATIONS["calibrated"]
    coverage = np.mean([covered for _, covered in joint_errors("calibrated", 8_000, 100, seed=32)])
    assert coverage >= 0.9 * population.best_coverage(population.joint_error)


def test_a_joint_error_is_no_error_among_the_accepted():
    population = POPULATIONS["over-confident at the top"]
    certified = certify_joint_error(
        Outcomes(*population.sample(4_000, np.random.default_rng(33))),
        max_error=0.005,
        confidence_level=CONFIDENCE_LEVEL,
    )
    assert population.joint_error(certified.threshold) <= 0.005
    assert population.true_error(certified.threshold) > 0.05


@pytest.mark.parametrize("name", ["calibrated", "ties"])
def test_the_coverage_is_reached_as_often_as_promised_and_hardly_exceeded(name):
    random, population = np.random.default_rng(34), POPULATIONS[name]
    covered = np.array(
        [
            population.coverage(
                certify_coverage(
                    Outcomes(*population.sample(N_ROWS, random)),
                    min_coverage=MIN_COVERAGE,
                    confidence_level=CONFIDENCE_LEVEL,
                ).threshold
            )
            for _ in range(RESAMPLES)
        ]
    )
    assert (covered < MIN_COVERAGE).mean() <= allowed(RESAMPLES)
    if name == "calibrated":
        assert (covered < MIN_COVERAGE).mean() >= 0.05  # not more careful than asked for
        assert covered.mean() <= MIN_COVERAGE + 0.04
