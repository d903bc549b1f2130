"""What other splits of the same rows would have certified."""

from __future__ import annotations

import numpy as np
import pytest

from tamiz_convert.certificates.other_splits import N_SPLITS, other_splits
from tamiz_convert.certificates.threshold_choice import Judged, Policy


def judged(n: int, seed: int, *, share_wrong: float, in_groups: bool = False) -> Judged:
    random = np.random.default_rng(seed)
    right = random.uniform(0.6, 1.0, n)
    y = (random.random(n) < share_wrong).astype(np.int64)  # the first class is always predicted
    groups = np.arange(n) // 5 + 1_000 * seed if in_groups else None
    return Judged(np.column_stack([right, 1.0 - right]), y, None, groups)


@pytest.mark.parametrize(
    "wish",
    [
        {"max_error": 0.1},
        {"max_error": 0.1, "per_class": True},
        {"max_joint_error": 0.1},
        {"min_coverage": 0.5},
    ],
)
@pytest.mark.parametrize("in_groups", [False, True])
def test_a_sure_promise_is_certified_by_every_split(wish, in_groups):
    parts = [judged(n, seed, share_wrong=0.01, in_groups=in_groups) for seed, n in ((1, 300), (2, 700))]
    found = other_splits(Policy(**wish), *parts, 2 if "per_class" in wish else 0, seed=3)
    assert len(found.coverages) == N_SPLITS
    assert list(found.coverages) == sorted(found.coverages)
    assert "of 20 other splits of the same rows 20 certify and answer" in str(found)
    assert other_splits(Policy(**wish), *parts, 2 if "per_class" in wish else 0, seed=3) == found


def test_a_promise_that_cannot_be_kept_is_certified_by_hardly_any_split_and_a_doubtful_one_by_some():
    policy = Policy(max_error=0.05)
    hopeless = other_splits(policy, judged(90, 1, share_wrong=0.3), judged(210, 2, share_wrong=0.3), 0, 3)
    assert len(hopeless.coverages) < 5
    doubtful = other_splits(policy, judged(90, 1, share_wrong=0.02), judged(210, 2, share_wrong=0.02), 0, 3)
    assert 0 < len(doubtful.coverages) < N_SPLITS
    assert "a diagnosis, not a certificate" in str(doubtful)
    none = other_splits(policy, judged(9, 1, share_wrong=0.0), judged(21, 2, share_wrong=0.0), 0, 3)
    assert "0 certify (a diagnosis" in str(none)


def test_without_a_promise_there_is_nothing_to_diagnose():
    parts = judged(90, 1, share_wrong=0.3), judged(210, 2, share_wrong=0.3)
    assert other_splits(Policy(threshold=0.7), *parts, 0, seed=3) is None
