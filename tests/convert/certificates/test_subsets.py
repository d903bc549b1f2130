"""Thresholds per subset: how each is certified, and what happens to subsets that cannot be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tamiz.thresholds import ACCEPT_NONE
from tamiz_convert.certificates import subsets
from tamiz_convert.certificates.certify import certify
from tamiz_convert.certificates.certify import find as find_certificate
from tamiz_convert.certificates.fixed_sequence import Walk
from tamiz_convert.certificates.outcomes import Evidence
from tamiz_convert.certificates.subsets import SubsetRows, certify_subsets, find_in_subsets
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
    assert found.subsets[0].confidence_level == pytest.approx(1 - 0.1 / 2)  # the tiny one could prove nothing
    easy = found.subsets[0].certified
    alone = certify(rows[0].of(0), rows[1].of(0), max_error=0.05, confidence_level=1 - 0.1 / 2)
    assert easy.threshold == alone.threshold
    assert easy.n_rows == 1_500
    assert easy.p_value <= 0.1 / 2


def test_a_subset_that_cannot_be_certified_abstains_wholly_and_is_named_with_the_reason():
    found = find(sample(1), sample(2))
    assert [subset.name for subset in found.subsets] == list(NAMES)
    hard, tiny = found.subsets[1:]
    assert (hard.certified, hard.threshold) == (None, ACCEPT_NONE)
    assert "24 of 68 accepted certification rows are wrong" in hard.reason
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
    assert "'hard': no threshold is proven to keep the error" in str(caught.value)


def test_the_order_of_the_rows_does_not_matter():
    rows = sample(1), sample(2)
    order = np.random.default_rng(0).permutation(3_003)
    shuffled = [SubsetRows(*(column[order] for column in each[:3])) for each in rows]
    assert find(*rows) == find(*shuffled)


def test_what_each_subset_is_advised_to_ask_for_is_proven_if_it_is_asked_for():
    n_advised = 0
    for seed in range(4):
        rows = sample(seed, (900, 400, 60)), sample(seed + 50, (900, 400, 60))
        try:
            reasons = [subset.reason for subset in find(*rows).subsets]
        except UnattainableError as error:
            reasons = re.split("'(?:easy|hard|tiny)': ", str(error))[1:]
        for index, reason in enumerate(reasons):
            for advised in re.findall(r"Ask for max_error=([\d.e-]+),", reason):
                again = certify_subsets(*rows, NAMES, max_error=float(advised), confidence_level=0.9)
                assert again.subsets[index].certified is not None, (seed, index, advised)
                n_advised += 1
    assert n_advised >= 8


def blocks(*each: tuple[int, int]) -> SubsetRows:
    """Return one subset for each number of rows, of which so many are wrong: the least confident ones."""
    sizes = [n for n, _ in each]
    confidence = np.concatenate([np.linspace(0.99, 0.6, n) for n in sizes])
    wrong = np.concatenate([np.arange(n) >= n - k for n, k in each])
    return SubsetRows(confidence, wrong, np.repeat(np.arange(len(sizes)), sizes))


def certified(rows: SubsetRows, n_subsets: int) -> list[bool]:
    return [each is not None for each in find_in_subsets(rows, rows, n_subsets, max_error=0.05, delta=0.1)]


def test_what_a_subset_proven_whole_does_not_need_is_passed_on():
    """One error in 80 rows proves 0.05 with the whole doubt and with a half of it not (p = 0.086)."""
    rows = blocks((500, 0), (80, 1))
    alone = rows.of(1)
    assert find_certificate(alone, alone, max_error=0.05, delta=0.1).n_errors == 1
    assert find_certificate(alone, alone, max_error=0.05, delta=0.05).n_errors == 0
    found = certify_subsets(rows, rows, ["easy", "few"], max_error=0.05, confidence_level=0.9)
    easy, few = found.subsets
    assert (few.certified.n_accepted, few.certified.n_errors) == (80, 1)
    assert (easy.confidence_level, few.confidence_level) == (pytest.approx(0.95), pytest.approx(0.9))
    errs = blocks((500, 400), (80, 1))
    few = certify_subsets(errs, errs, ["errs", "few"], max_error=0.05, confidence_level=0.9).subsets[1]
    assert (few.certified.n_errors, few.confidence_level) == (0, pytest.approx(0.95))


@pytest.mark.parametrize(
    ("p_values", "level"),
    [
        ((0.001, 0.002, 0.04, 0.2), 0.95),  # proven with its own share alone
        ((0.001, 0.004, 0.04, 0.2), 0.9),  # the same threshold, but one more stricter than it
        ((0.004, 0.004, 0.04, 0.2), 0.9),
        ((0.001, 0.002, 0.04, 0.07), 0.9),  # a looser one
    ],
)
def test_a_subset_is_as_sure_as_the_least_sure_of_its_proven_thresholds(monkeypatch, p_values, level):
    counts = np.array([1, 2, 3, 4])
    walks = [
        Walk(np.array([0.9, 0.8, 0.7, 0.6]), counts, counts, Evidence(counts, counts + 9), np.array(p), start)
        for p, start in (((0.0,) * 4, 0), (p_values, 2))
    ]
    made = iter(walks)
    monkeypatch.setattr(subsets, "walk", lambda *_: next(made))
    rows = blocks((100, 0), (100, 0))
    found = certify_subsets(rows, rows, ["whole", "other"], max_error=0.05, confidence_level=0.9)
    assert found.subsets[1].confidence_level == pytest.approx(level)


def test_a_subset_that_could_prove_nothing_takes_no_share():
    """45 right rows prove 0.05 with the whole doubt, 59 with a half of it, 67 with a third of it."""
    assert certified(blocks((60, 0), (60, 0), (44, 0)), 3) == [True, True, False]
    assert certified(blocks((60, 0), (46, 0), (44, 0)), 3) == [True, False, False]
    assert certified(blocks((70, 0), (70, 0), (66, 0)), 3) == [True, True, False]
    assert certified(blocks((50, 0), *[(10, 0)] * 20), 21) == [True] + [False] * 20
