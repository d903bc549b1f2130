"""Sample weights: what is read, what is refused, and what they are worth."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tamiz_convert.errors import RowsError
from tamiz_convert.rows.held_out import SplitPlan, held_out
from tamiz_convert.rows.labeled import digest
from tamiz_convert.rows.weights import sample_weights, worth_of

CLASSES = np.array([0, 1])


@pytest.mark.parametrize(
    "given",
    [
        [1, 2, 0.5],
        np.array([1, 2, 0.5], dtype=np.float32),
        pd.Series([1.0, 2.0, 0.5], dtype="Float64"),
        pl.Series([1.0, 2.0, 0.5]),
        pd.DataFrame({"w": [1, 2, 0.5]}),
        [Decimal(1), Decimal(2), Decimal("0.5")],
    ],
)
def test_numbers_of_any_library_are_read(given):
    assert sample_weights(given, 3).tolist() == [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, -2, 1], "1 of 3 sample weights are not finite numbers from 0 up; the first is -2, in row 1"),
        ([1, 1, np.inf], "the first is inf, in row 2"),
        ([1, np.nan, 1], "1 of 3 sample weights are missing, the first in row 1"),
        ([1, None, 1], "1 of 3 sample weights are missing, the first in row 1"),
        ([0, 0.0, 0], "all 3 sample weights are 0, so no row would count"),
        ([1, 2], "3 calibration rows and 2 sample weights; expected one per row"),
        (
            "weight",
            "3 calibration rows and 1 sample weights; expected one per row: sample_weight=X['weight']",
        ),
        (["1", "2", "3"], "the sample weight of row 0 is '1'; expected a number from 0 up"),
        ([1, "heavy", 2], "the sample weight of row "),
        ([date(2026, 1, 1)] * 3, "the sample weight of row 0 is"),
        (np.array(["2026-01-01"] * 3, "datetime64[D]"), "the sample weight of row 0 is '2026-01-01'"),
        ([1, 10**400, 1], "a sample weight is too large for a 64-bit float"),
        (np.array([1j, 1, 1]), "the sample weight of row 0 is 1j"),
        (np.ones((3, 2)), "the sample weights are of shape [3, 2]"),
        (3.0, "the sample weights are 3.0; expected one value per row"),
    ],
)
def test_other_values_are_refused_in_words(given, said):
    with pytest.raises(RowsError) as refused:
        sample_weights(given, 3)
    assert said in str(refused.value)


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 1e300])
def test_they_add_up_to_what_the_rows_are_worth_whatever_their_scale(scale):
    assert worth_of(scale * np.array([2.0, 2.0, 2.0])) is None
    assert worth_of(scale * np.array([3.0, 1.0])) == pytest.approx([1.2, 0.4])
    assert worth_of(scale * np.array([1e6, 1.0, 1.0])).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("plan", [{}, {"groups": np.arange(60) // 3}, {"allow_duplicates": True}])
def test_each_weight_stays_with_its_row(plan):
    X = np.arange(120.0).reshape(60, 2)
    y, weights = np.arange(60) % 2, np.arange(60) % 7
    parts = held_out((X, y), None, None, CLASSES, SplitPlan(weights=weights, **plan))
    for part in (parts.fitting, parts.certifying):
        own = weights[(part.rows[:, 0] / 2).astype(int)]
        assert (own > 0).all()
        assert part.weights == pytest.approx(own * own.sum() / (own**2).sum())
    assert len(parts.fitting) + len(parts.certifying) == np.count_nonzero(weights)
    assert (parts.groups is None) == ("groups" not in plan)
    assert parts.notes[0] == "9 of 60 calibration rows have the sample weight 0 and are left out"
    assert "count by their sample weights, and are worth" in parts.notes[1]


@pytest.mark.parametrize("equal", [1, 0.25, 1e9])
def test_equal_weights_are_none(equal):
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    one = held_out((X, y), None, None, CLASSES, SplitPlan())
    other = held_out((X, y), None, None, CLASSES, SplitPlan(weights=np.full(20, equal)))
    assert other.fitting.weights is None
    assert other.notes == one.notes
    assert digest(other.fitting) == digest(one.fitting)


def test_weights_in_another_order_than_the_rows_are_refused():
    table = pd.DataFrame({"a": np.arange(20.0)})
    weights = pd.Series(np.arange(20.0), index=range(20)).sort_index(ascending=False)
    with pytest.raises(RowsError, match="sample weights have the index of the rows, but in another order"):
        held_out((table, np.arange(20) % 2), None, None, CLASSES, SplitPlan(weights=weights))
