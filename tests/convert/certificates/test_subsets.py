"""Thresholds per subset: how each is certified, and what happens to subsets that cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from tamiz.thresholds import ACCEPT_NONE
from tamiz_convert.certificates.certify import certify
from tamiz_convert.certificates.subsets import SubsetRows, certify_subsets
from tamiz_convert.errors import UnattainableError

NAMES = ("easy", "hard", "tiny")


def sample(seed: int, sizes: tuple[int, ...] = (1_500, 1_500, 3)) -> SubsetRows:
    random = np.random.default_rng(seed)
    subset = np.repeat(np.arange(len(sizes)), sizes)
    confidence = random.beta(6.0, 1.0, len(subset))
    wrong = np.where(subset == 1, 0.3, 1 - confidence)
    order = random.permutation(len(subset))
    return SubsetRows(confidence[order], (random.random(len(subset)) < wrong)[order], subset[order])


def find(calibration: SubsetRows, certification: SubsetRows, names=NAMES):
    return certify_subsets(calibration, certification, names, max_error=0.05, confidence_level=0.9)


def test_each_subset_is_certified_on_its_own_rows_with_its_share_of_the_doubt():
    rows = sample(1), sample(2)
    found = find(*rows)
    assert found.confidence_level == pytest.approx(1 - 0.1 / 3)
    easy = found.subsets[0].certified
    alone = certify(rows[0].of(0), rows[1].of(0), max_error=0.05, confidence_level=1 - 0.1 / 3)
    assert easy.threshold == alone.threshold
    assert easy.n_rows == 1_500
    assert easy.p_value <= 0.1 / 3


def test_a_subset_that_cannot_be_certified_abstains_wholly_and_is_named_with_the_reason():
    found = find(sample(1), sample(2))
    assert [subset.name for subset in found.subsets] == list(NAMES)
    hard, tiny = found.subsets[1:]
    assert (hard.certified, hard.threshold) == (None, ACCEPT_NONE)
    assert "more rows alone will not help" in hard.reason
    assert (tiny.certified, tiny.threshold) == (None, ACCEPT_NONE)
    assert "3 certification rows" in tiny.reason


def test_the_overall_certificate_counts_all_accepted_rows_and_its_threshold_is_the_strictest():
    rows = sample(1), sample(2)
    found = find(*rows)
    assert found.overall.threshold == ACCEPT_NONE
    assert found.overall.n_rows == 3_003
    assert found.overall.n_accepted == found.subsets[0].certified.n_accepted
    assert found.overall.n_errors == found.subsets[0].certified.n_errors

    both = find(sample(3, (1_500, 0, 1_500)), sample(4, (1_500, 0, 1_500)))
    certified = [subset.certified for subset in both.subsets if subset.certified]
    assert len(certified) == 2
    assert both.overall.n_accepted == sum(each.n_accepted for each in certified)


def test_a_class_that_is_never_predicted_is_uncertified():
    found = find(sample(3, (1_500, 0, 1_500)), sample(4, (1_500, 0, 1_500)))
    assert found.subsets[1].threshold == ACCEPT_NONE
    assert "0 certification rows (and 0 calibration rows)" in found.subsets[1].reason


def test_where_no_subset_can_be_certified_the_export_stops_and_says_why():
    rows = sample(1, (0, 1_500, 3)), sample(2, (0, 1_500, 3))
    with pytest.raises(UnattainableError, match="none of the 3 subsets can be certified") as caught:
        find(*rows)
    assert caught.value.threshold is None
    assert "'hard': no threshold keeps the error" in str(caught.value)


def test_the_order_of_the_rows_does_not_matter():
    rows = sample(1), sample(2)
    order = np.random.default_rng(0).permutation(3_003)
    shuffled = [SubsetRows(*(column[order] for column in each[:3])) for each in rows]
    assert find(*rows) == find(*shuffled)
