"""Certificates per slice and per class all hold together; a pooled one says nothing about a slice."""

from __future__ import annotations

import numpy as np

from tamiz_convert.certificates.certify import find
from tamiz_convert.certificates.subsets import SubsetRows, find_in_subsets

from .populations import DELTA, GRID, MAX_ERROR, RESAMPLES, Population, allowed

N_DRAWS = RESAMPLES // 4  # each takes several walks
SHARES = (0.5, 0.35, 0.15)
SLICES = (
    Population.of(GRID, lambda c: (1 - c) / 4),
    Population.of(GRID, lambda c: 0.8 * (1 - c)),
    Population.of(GRID, lambda c: 0.06 + (1 - c)),  # nowhere good enough
)
"""An easy slice, a hard one, and one that can never be certified."""

N_CLASSES = 4


def sample(n: int, random: np.random.Generator) -> SubsetRows:
    """Rows of all slices, mixed."""
    subset = random.choice(len(SHARES), n, p=SHARES)
    confidence, error = np.empty(n), np.empty(n, dtype=bool)
    for index, population in enumerate(SLICES):
        its = subset == index
        confidence[its], error[its] = population.sample(int(its.sum()), random)
    return SubsetRows(confidence, error, subset)


def pooled_error(threshold: float) -> float:
    """The true error of all rows that one threshold for all accepts."""
    coverage = [share * each.coverage(threshold) for share, each in zip(SHARES, SLICES, strict=True)]
    errors = [c * each.true_error(threshold) for c, each in zip(coverage, SLICES, strict=True)]
    return sum(errors) / sum(coverage)


def test_all_slices_keep_the_promise_together_and_so_does_their_mixture():
    random = np.random.default_rng(21)
    any_broken, mixture_broken, hopeless_certified = 0, 0, 0
    coverage = np.zeros(len(SLICES))
    for _ in range(N_DRAWS):
        found = find_in_subsets(
            sample(4_000, random),
            sample(4_000, random),
            len(SLICES),
            max_error=MAX_ERROR,
            delta=DELTA,
        )
        thresholds = [2.0 if each is None else each.threshold for each in found]
        covered = [each.coverage(t) for each, t in zip(SLICES, thresholds, strict=True)]
        errors = [each.true_error(t) for each, t in zip(SLICES, thresholds, strict=True)]
        any_broken += max(errors) > MAX_ERROR
        weights = np.array(SHARES) * covered
        mixture_broken += weights.sum() > 0 and float(weights @ errors) / weights.sum() > MAX_ERROR
        hopeless_certified += found[2] is not None
        coverage += covered
    assert any_broken / N_DRAWS <= allowed(N_DRAWS)
    assert mixture_broken <= any_broken
    assert hopeless_certified / N_DRAWS <= allowed(N_DRAWS)
    assert coverage[0] / N_DRAWS >= 0.7 * SLICES[0].best_coverage()  # safety is not bought with silence
    assert coverage[1] / N_DRAWS >= 0.1 * SLICES[1].best_coverage()  # 1,400 rows, at a third of the doubt


def test_a_pooled_certificate_keeps_its_own_promise_and_breaks_it_in_the_hard_slices():
    random = np.random.default_rng(22)
    resamples = 300
    broken, certified = np.zeros(3), 0
    for _ in range(resamples):
        calibration, certification = sample(4_000, random), sample(4_000, random)
        found = find(calibration.outcomes, certification.outcomes, max_error=MAX_ERROR, delta=DELTA)
        if found is None:
            continue
        certified += 1
        broken += [
            pooled_error(found.threshold) > MAX_ERROR,
            SLICES[1].true_error(found.threshold) > MAX_ERROR,
            SLICES[2].true_error(found.threshold) > MAX_ERROR,
        ]
    assert certified > 0.8 * resamples
    assert broken[0] / resamples <= allowed(resamples)
    assert broken[1] / certified > 1.5 * allowed(resamples)
    assert broken[2] / certified > 0.99


def test_all_predicted_classes_keep_the_promise_together():
    """Four classes, the model over-confident in some; a row's subset is its predicted class."""
    bias = np.array([0.0, 0.02, -0.02, 0.04])
    grid = np.linspace(0.25, 1.0, 2_001)
    classes = [Population.of(grid, lambda c, b=b: np.minimum(1 - c + b, 0.75)) for b in bias]

    def rows(n: int) -> SubsetRows:
        predicted = random.integers(0, N_CLASSES, n)
        index = random.integers(0, len(grid), n)
        error_at = np.stack([each.error_at for each in classes])
        return SubsetRows(grid[index], random.random(n) < error_at[predicted, index], predicted)

    random = np.random.default_rng(23)
    broken = 0
    for _ in range(N_DRAWS):
        found = find_in_subsets(
            rows(3_000),
            rows(3_000),
            N_CLASSES,
            max_error=MAX_ERROR,
            delta=DELTA,
        )
        broken += any(
            certified is not None and each.true_error(certified.threshold) > MAX_ERROR
            for each, certified in zip(classes, found, strict=True)
        )
    assert broken / N_DRAWS <= allowed(N_DRAWS)
