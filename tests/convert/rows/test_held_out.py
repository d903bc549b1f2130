"""Rows that belong together stay on one side; copies are noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from tamiz_convert.errors import RowsError
from tamiz_convert.rows.held_out import SplitPlan, divide, held_out
from tamiz_convert.rows.labeled import LabeledRows

CLASSES = np.array([0, 1])


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (n, 3)), np.arange(n) % 2


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(2, 60), copies=st.integers(0, 60), fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9)
)
def test_every_row_is_on_one_side_and_copies_are_together(n, copies, fraction, seed):
    X, y = made(n, seed)
    again = np.random.default_rng(seed).integers(0, n, copies)
    rows = LabeledRows(np.concatenate([X, X[again]]), np.concatenate([y, y[again]]))
    plan = SplitPlan(fraction, seed=seed)
    if not 0 < round(len(rows) * fraction) < len(rows):
        with pytest.raises(RowsError, match="cannot be split"):
            divide(rows, plan)
        return
    fitting, certifying = divide(rows, plan)
    assert sorted([*fitting, *certifying]) == list(range(len(rows)))
    assert len(fitting)
    assert len(certifying)
    assert not set(map(bytes, rows.rows[fitting])) & set(map(bytes, rows.rows[certifying]))


def test_the_split_is_stratified_where_rows_are_independent():
    X, _ = made(100)
    y = (np.arange(100) < 10).astype(int)
    fitting, certifying = divide(LabeledRows(X, y), SplitPlan(0.3))
    assert len(certifying) == 30
    assert y[certifying].sum() == 3
    assert y[fitting].sum() == 7


def test_a_group_stays_on_one_side():
    X, y = made(200)
    customer = np.arange(200) // 8
    parts = held_out((X, y), None, None, CLASSES, SplitPlan(groups=customer))
    found = {tuple(row): group for row, group in zip(X.tolist(), customer, strict=True)}
    certifying = {found[tuple(row)] for row in parts.certifying.rows.tolist()}
    assert not certifying & set(parts.groups.tolist())
    assert certifying | set(parts.groups.tolist()) == set(customer.tolist())


def test_in_time_order_the_last_rows_certify():
    X, y = made(100)
    parts = held_out((X, y), None, None, CLASSES, SplitPlan(0.4, splitter=TimeSeriesSplit(3)))
    np.testing.assert_array_equal(parts.certifying.rows, X[60:])


def test_labels_that_are_left_out_are_called_missing():
    with pytest.raises(RowsError, match="the calibration rows came without labels"):
        held_out((made(10)[0], None), None, None, CLASSES, SplitPlan())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(9), "10 calibration rows and 9 groups; expected one group per row: groups="),
        (np.zeros(10), "all rows belong to the group 0.0"),
    ],
)
def test_groups_that_cannot_be_used_are_refused(groups, message):
    with pytest.raises(RowsError, match=message):
        held_out(made(10), None, None, CLASSES, SplitPlan(groups=groups))


def test_a_few_copies_are_noted_and_many_are_refused():
    X, y = made(100)
    few = (np.concatenate([X, X[:3]]), np.concatenate([y, y[:3]]))
    many = (np.concatenate([X, X[:30]]), np.concatenate([y, y[:30]]))
    (note,) = held_out(few, None, None, CLASSES, SplitPlan()).notes
    assert note.startswith(
        "3 of 103 calibration rows repeat another row and its label (the first is row 100)"
    )
    with pytest.raises(RowsError, match=r"30 of 130 calibration rows repeat another row.*--allow-duplicates"):
        held_out(many, None, None, CLASSES, SplitPlan())
    assert held_out(many, None, None, CLASSES, SplitPlan(allow_duplicates=True)).notes


def test_equal_rows_alone_cannot_be_divided():
    rows = (np.zeros((10, 2)), np.zeros(10, dtype=int))
    with pytest.raises(RowsError, match="copies of one row"):
        held_out(rows, None, None, CLASSES, SplitPlan(allow_duplicates=True))


def test_a_class_without_certification_rows_is_noted():
    X, y = made(40)
    parts = held_out((X, y), (X + 100, np.zeros(40, dtype=int)), None, CLASSES, SplitPlan())
    assert parts.notes == (
        "there is no certification row of class 1: the certificate says nothing about such rows",
    )
    assert held_out((X, y), None, None, CLASSES, SplitPlan()).notes == ()
