"""Many claims at once: Holm's procedure, step by step and as corrected p-values."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tamiz_convert.metrics.holm import holm, holm_corrected

ALPHA = 0.05
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_rejects_step_by_step_and_stops_at_the_first_failure():
    steps = holm([0.04, 0.001, 0.03, 0.013], 0.05)
    assert [step.rejects for step in steps] == [False, True, False, True]
    assert [step.level for step in steps] == pytest.approx([0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3])
    assert holm([0.03, 0.04], 0.05)[1] == holm([0.03, 0.04], 0.05)[0]
    assert holm([], 0.05) == []


@given(P_VALUES)
def test_a_step_rejects_exactly_if_the_p_value_is_at_most_its_level(p_values):
    for p, step in zip(p_values, holm(p_values, ALPHA), strict=True):
        assert step.rejects == (p <= step.level)


def test_corrected_p_values_are_those_of_the_books():
    assert holm_corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_corrected([0.5, 0.9]) == [1.0, 1.0]
    assert holm_corrected([]) == []


@given(P_VALUES, st.floats(0.001, 0.999))
def test_a_level_rejects_exactly_what_is_corrected_to_at_most_that_level(p_values, level):
    corrected = holm_corrected(p_values)
    assume(all(abs(each - level) > 1e-9 for each in corrected))  # where rounding would decide
    assert [step.rejects for step in holm(p_values, level)] == [each <= level for each in corrected]
