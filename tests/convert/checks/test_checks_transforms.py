"""Transforms change rows as documented, and the garbage rows are really garbage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz_convert import SpecificationError
from tamiz_convert.checks.garbage import garbage
from tamiz_convert.checks.table import Table
from tamiz_convert.checks.transforms import Transform


@pytest.fixture
def table():
    return Table.of(
        pd.DataFrame(
            {
                "age": [20, 30, 40, 50, 60, 70],
                "income": [1.0, 2.0, 3.0, 4.0, np.nan, 6.0],
                "zone": ["a", "a", "a", "b", "b", None],
                "home": ["x", "y", "z", "u", "v", "w"],
                "is_new": [True, False, True, False, True, False],
            },
            index=[9, 8, 7, 6, 5, 4],
        )
    )


def changed(table, columns, name, argument=None, seed=0):
    return Transform(name, argument).apply(table, columns, np.random.default_rng(seed), "here").frame


def test_only_the_named_columns_change(table):
    for name, argument in (("permute", None), ("scale", 3.0), ("shift", 1), ("gaussian", {"rel_std": 0.5})):
        frame = changed(table, ["income"], name, argument)
        others = ["age", "zone", "home", "is_new"]
        pd.testing.assert_frame_equal(frame[others], table.frame[others])
        assert not frame["income"].equals(table.frame["income"])


def test_a_permutation_keeps_columns_together_and_loses_nothing(table):
    frame = changed(table, ["age", "home"], "permute")
    assert sorted(frame["home"]) == sorted(table.frame["home"])
    pairs = dict(zip(table.frame["home"], table.frame["age"], strict=True))
    assert [pairs[home] for home in frame["home"]] == frame["age"].tolist()


@given(st.integers(0, 200))
def test_a_permutation_within_a_column_stays_within_it(seed):
    frame = pd.DataFrame({"zone": [*"aabbbccca", None], "home": range(10)})
    result = changed(Table.of(frame), ["home"], "permute_within", "zone", seed)
    for zone in ("a", "b", "c"):
        rows = frame["zone"] == zone
        assert sorted(result["home"][rows]) == sorted(frame["home"][rows])
    assert result["home"][9] == 9


def test_values_are_replaced_mapped_and_swapped(table):
    assert set(changed(table, ["home"], "replace", "q")["home"]) == {"q"}
    assert changed(table, ["zone"], "map", {"a": "b", "b": "a"})["zone"].tolist()[:5] == list("bbbaa")
    frame = changed(table, ["zone", "home"], "swap")
    assert frame["home"].tolist()[:5] == list("aaabb")
    assert frame["zone"].tolist() == list("xyzuvw")


def test_whole_numbers_stay_whole(table):
    frame = changed(table, ["age"], "scale", 1.07)
    assert frame["age"].tolist() == [21, 32, 43, 54, 64, 75]
    assert frame["age"].dtype == table.frame["age"].dtype


def test_noise_is_a_share_of_the_columns_own_spread():
    values = np.random.default_rng(1).normal(100, 20, 20_000)
    frame = changed(Table.of(pd.DataFrame({"v": values})), ["v"], "gaussian", {"rel_std": 0.1})
    assert (frame["v"] - values).std() == pytest.approx(2.0, rel=0.05)


def test_a_share_of_the_values_goes_missing():
    many = Table.of(pd.DataFrame({"v": np.zeros(5000), "t": ["x"] * 5000}))
    frame = changed(many, ["v", "t"], "missing", 0.3)
    assert frame.isna().mean().tolist() == pytest.approx([0.3, 0.3], abs=0.03)
    assert not (frame["v"].isna() == frame["t"].isna()).all()


def test_what_cannot_be_changed_so_is_refused(table):
    with pytest.raises(SpecificationError, match="column 'age' holds int64 values, which cannot be missing"):
        changed(table, ["age"], "missing", 0.5)
    with pytest.raises(SpecificationError, match="column 'is_new' does not hold numbers"):
        changed(table, ["is_new"], "scale", 2)


def test_a_matrix_stays_one():
    matrix = np.arange(12.0).reshape(4, 3)
    result = Transform("scale", 2).apply(Table.of(matrix), [1], np.random.default_rng(0), "here").rows
    np.testing.assert_array_equal(result, matrix * [1, 2, 1])


def test_images_are_rows_whose_columns_are_their_values():
    images = Table.of(np.zeros((5, 3, 8, 8)))
    assert images.rows.shape == (5, 3, 8, 8)
    assert images.take(np.array([0, 2])).rows.shape == (2, 3, 8, 8)
    ((name, rows),) = images.slices((), "here")
    assert (name, int(rows.sum())) == ("all rows", 5)
    with pytest.raises(SpecificationError, match="the rows have no column 'age'"):
        images.column("age", "here")
    made = garbage("nan", images, 10, np.random.default_rng(0), "here").rows
    assert made.shape == (10, 3, 8, 8)
    assert np.isnan(made).all()


def made(kind, table, n_rows=200):
    return garbage(kind, table, n_rows, np.random.default_rng(0), "here").frame


def test_nan_takes_every_value_that_can_be_missing(table):
    frame = made("nan", table)
    assert len(frame) == 200
    assert frame[["income", "zone", "home"]].isna().all(axis=None)
    assert frame[["age", "is_new"]].notna().all(axis=None)


def test_out_of_range_is_beyond_what_was_seen(table):
    frame = made("out_of_range", table)
    assert ((frame["age"] <= 20 - 50) | (frame["age"] >= 70 + 50)).all()
    assert ((frame["income"] < 1 - 4) | (frame["income"] > 6 + 4)).all()
    assert (frame["age"] < 0).any()
    assert (frame["age"] > 0).any()
    assert frame["age"].dtype == np.int64
    assert not set(frame["home"]) & set(table.frame["home"])


def test_shuffled_columns_hold_the_values_of_others(table):
    frame = made("shuffled_columns", table)
    assert set(frame["income"]) <= set(table.frame["age"].astype(float))
    assert set(frame["age"]) <= {0, 1, 2, 3, 4, 6}
    assert set(frame["home"]) <= set(table.frame["home"])
