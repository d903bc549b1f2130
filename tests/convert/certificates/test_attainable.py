"""The curve of the attainable error, and the advice."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_convert.certificates.attainable import attainable_errors
from tamiz_convert.certificates.certify import certify
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.errors import UnattainableError


def sample(n: int, seed: int) -> Outcomes:
    random = np.random.default_rng(seed)
    confidence = random.beta(8.0, 1.0, n)
    return Outcomes(confidence, random.random(n) > confidence)


@pytest.mark.parametrize("seed", range(5))
def test_more_rows_never_prove_less_and_the_rows_at_hand_prove_what_is_said(seed):
    rows = sample(600, seed), sample(600, seed + 100)
    curve = attainable_errors(*rows, confidence_level=0.9)
    assert [entry.n_rows for entry in curve] == sorted({entry.n_rows for entry in curve})
    errors = [entry.max_error for entry in curve]
    assert errors == sorted(errors, reverse=True)
    at_hand = next(entry for entry in curve if entry.n_rows == 600)
    certified = certify(*rows, max_error=at_hand.max_error, confidence_level=0.9)
    assert at_hand.coverage == certified.n_accepted / 600


def test_a_number_of_rows_that_proves_nothing_has_no_entry():
    curve = attainable_errors(sample(24, 1), sample(24, 2), confidence_level=0.9)
    assert all(entry.max_error <= 0.5 for entry in curve)
    assert curve[0].n_rows > 24 / 8
    nothing = Outcomes(np.full(50, np.nan), np.zeros(50, dtype=bool))
    assert attainable_errors(nothing, nothing, confidence_level=0.9) == []


def test_rows_counted_more_often_are_rounded_against_the_promise():
    confidence, error = np.array([0.9, 0.8, 0.7]), np.array([False, True, False])
    rows = Outcomes(confidence, error)
    thresholds = np.array([0.85, 0.75, 0.65])
    half, double = rows.times(0.5), rows.times(2.0)
    assert [counts.tolist() for counts in half.errors_and_rows(thresholds)] == [[0, 1, 1], [0, 1, 1]]
    assert [counts.tolist() for counts in double.errors_and_rows(thresholds)] == [[1, 2, 3], [2, 4, 6]]
    assert (half.n_rows, double.n_rows) == (1, 6)
    assert [counts.tolist() for counts in rows.errors_and_rows(thresholds)] == [[0, 1, 1], [1, 2, 3]]


def test_it_is_said_how_many_times_as_many_rows_would_do():
    confidence = np.linspace(0.9, 1.0, 400)
    error = np.zeros(400, dtype=bool)
    error[::25] = True
    rows = Outcomes(confidence, error)
    with pytest.raises(UnattainableError, match=r"more rows \(about [\d.]+ times as many"):
        certify(rows, rows, max_error=0.05, confidence_level=0.9)


@given(st.integers(0, 10_000))
def test_nobody_is_advised_to_ask_for_less_than_was_not_proven(seed):
    random = np.random.default_rng(seed)

    def some(n: int) -> Outcomes:
        confidence = random.uniform(0.5, 1.0, n).round(1)
        return Outcomes(confidence, random.random(n) > confidence + 0.05)

    for max_error in (0.05, 0.1, 0.2):
        try:
            certify(some(300), some(300), max_error=max_error, confidence_level=0.9)
        except UnattainableError as error:
            advised = re.search("max_error=([0-9.e-]+),", str(error))
            assert advised is None or float(advised[1]) > max_error
