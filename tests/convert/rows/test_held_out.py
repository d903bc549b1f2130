"""Groups stay on one side; equal rows are divided like others, and noticed."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from tamiz_convert.errors import RowsError
from tamiz_convert.rows.held_out import SplitPlan, divide, held_out
from tamiz_convert.rows.labeled import LabeledRows, labeled

CLASSES = np.array([0, 1])


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (n, 3)), np.arange(n) % 2


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 120), fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9))
def test_every_row_is_on_one_side(n, fraction, seed):
    rows = LabeledRows(*made(n, seed))
    plan = SplitPlan(fraction, seed=seed)
    if not 0 < round(n * fraction) < n:
        with pytest.raises(RowsError, match="cannot be split"):
            divide(rows, plan)
        return
    fitting, certifying = divide(rows, plan)
    assert sorted([*fitting, *certifying]) == list(range(n))
    assert len(certifying) == round(n * fraction)


def test_what_certifies_says_nothing_of_what_fits_where_rows_are_independent():
    """Stratified, a class would have 3 of its 10 rows among the 30 every time."""
    X, _ = made(100)
    y = (np.arange(100) < 10).astype(int)
    counts = []
    for seed in range(400):
        fitting, certifying = divide(LabeledRows(X, y), SplitPlan(0.3, seed=seed))
        assert (len(fitting), len(certifying)) == (70, 30)
        counts.append(y[certifying].sum())
    assert np.mean(counts) == pytest.approx(3.0, abs=0.25)
    assert np.std(counts) == pytest.approx(np.sqrt(10 * 0.3 * 0.7 * 90 / 99), abs=0.2)  # hypergeometric


def test_a_group_stays_on_one_side():
    X, y = made(200)
    customer = np.arange(200) // 8
    parts = held_out((X, y), None, None, CLASSES, SplitPlan(groups=customer))
    found = {tuple(row): group for row, group in zip(X.tolist(), customer, strict=True)}
    certifying = {found[tuple(row)] for row in parts.certifying.rows.tolist()}
    assert not certifying & set(parts.groups.tolist())
    assert certifying | set(parts.groups.tolist()) == set(customer.tolist())


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.7, 0.99])
@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_few_groups_are_divided_whatever_the_fraction_is(n_groups, fraction):
    groups = np.arange(60) % n_groups
    parts = held_out(made(60), None, None, CLASSES, SplitPlan(fraction, groups))
    n_certifying = n_groups - len(set(parts.groups.tolist()))
    assert abs(n_certifying - n_groups * fraction) <= 1
    assert 0 < n_certifying < n_groups


def test_in_time_order_the_last_rows_certify():
    X, y = made(100)
    parts = held_out((X, y), None, None, CLASSES, SplitPlan(0.4, splitter=TimeSeriesSplit(3)))
    np.testing.assert_array_equal(parts.certifying.rows, X[60:])


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        (np.arange(100) // 7, "1 groups .*such as 8"),
        (np.arange(100) % 2, "2 groups .*such as 0"),
        ([f"customer {i % 50}" for i in range(100)], "40 groups .*such as 'customer 10'"),
    ],
)
def test_a_cut_in_time_does_not_go_through_a_group(groups, named):
    plan = SplitPlan(0.4, groups, TimeSeriesSplit(3))
    with pytest.raises(RowsError, match=f"{named}.* certification_fraction"):
        held_out(made(100), None, None, CLASSES, plan)
    days = held_out(made(100), None, None, CLASSES, SplitPlan(0.4, np.arange(100) // 6, TimeSeriesSplit(3)))
    assert set(days.groups.tolist()) == set(range(10))
    assert set(days.certifying_groups.tolist()) == set(range(10, 17))


def test_labels_that_are_left_out_are_called_missing():
    with pytest.raises(RowsError, match="the calibration rows came without labels"):
        held_out((made(10)[0], None), None, None, CLASSES, SplitPlan())


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(9), "10 calibration rows and 9 groups; expected one group per row: groups="),
        (np.zeros(10), "all rows belong to the group 0"),
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
    assert note.endswith("each counts as an observation: remove them if they are copies")
    with pytest.raises(RowsError, match=r"30 of 130 calibration rows repeat another row.*--allow-duplicates"):
        held_out(many, None, None, CLASSES, SplitPlan())
    assert held_out(many, None, None, CLASSES, SplitPlan(allow_duplicates=True)).notes


def few_values(seed, n=400):
    """Return a table of two small categories, whose rows repeat by nature."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"sex": random.choice(["f", "m"], n), "kids": random.integers(0, 3, n)})
    return table, random.integers(0, 2, n)


@pytest.mark.parametrize(
    "rows", [few_values, lambda seed: (few_values(seed)[0][["kids"]].to_numpy(), [0, 1] * 200)]
)
@pytest.mark.parametrize(
    ("role", "what", "whose"),
    [("train", "calibration", "training"), ("certification", "certification", "calibration")],
)
def test_rows_that_repeat_by_nature_may_be_allowed_between_the_sets(rows, role, what, whose):
    sets = {"train": None, "certification": None, role: rows(1)}
    with pytest.raises(RowsError, match="repeat another row"):
        held_out(rows(0), sets["certification"], sets["train"], CLASSES, SplitPlan())
    parts = held_out(
        rows(0), sets["certification"], sets["train"], CLASSES, SplitPlan(0.5, allow_duplicates=True)
    )
    assert any(f"400 of 400 {what} rows equal {whose} rows" in note for note in parts.notes)


@pytest.mark.parametrize("role", ["train", "certification"])
def test_the_advice_for_rows_in_two_sets_is_not_to_remove_them(role):
    X, y = made(100)
    sets = {"train": None, "certification": None, role: (X[:50], y[:50])}
    with pytest.raises(RowsError, match=r"allow_duplicates=True .*Do not remove the equal rows alone"):
        held_out((X, y), sets["certification"], sets["train"], CLASSES, SplitPlan())


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("counts", [[880, 100, 20], [40], [20, 20], [8] * 5])
@pytest.mark.parametrize("wrong", ["their label", "some labels"])
def test_rows_that_repeat_by_nature_are_divided_one_by_one(counts, wrong, allowed):
    """One frequent row on one side whole would be in no certificate that the other side makes."""
    again = np.repeat(np.arange(len(counts)), counts)
    X = np.concatenate([again, 10.0 + np.arange(1000 - len(again))])[:, None]
    y = (X[:, 0] < 10) if wrong == "their label" else np.arange(1000) % 2
    for seed in range(4):
        plan = SplitPlan(0.5, allow_duplicates=allowed, seed=seed)
        fitting, certifying = divide(LabeledRows(X, y.astype(np.int64)), plan)
        assert len(fitting) == len(certifying) == 500
        for row, count in enumerate(counts):
            assert abs((X[certifying] == row).sum() - count / 2) <= 2.2 * count**0.5


LABELS = {
    "list": lambda y: y.tolist(),
    "tuple": lambda y: tuple(y.tolist()),
    "column of a matrix": lambda y: y.reshape(-1, 1),
    "float": lambda y: y.astype(float),
    "bool": lambda y: y.astype(bool),
    "uint8": lambda y: y.astype(np.uint8),
    "objects": lambda y: y.astype(object),
    "Series": pd.Series,
    "DataFrame": lambda y: pd.DataFrame({"y": y}),
    "Int64": lambda y: pd.Series(y, dtype="Int64"),
    "Float64": lambda y: pd.Series(y, dtype="Float64"),
    "boolean": lambda y: pd.Series(y.astype(bool), dtype="boolean"),
    "category": lambda y: pd.Series(y, dtype="category"),
    "arrow": lambda y: pd.Series(y, dtype="int64[pyarrow]"),
    "Index": pd.Index,
    "masked": lambda y: np.ma.MaskedArray(y, mask=np.zeros(len(y), dtype=bool)),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_and_groups_of_any_type_are_read(kind):
    X, y = made(20)
    np.testing.assert_array_equal(labeled(X, LABELS[kind](y), CLASSES, "given").y, y)
    customer = np.arange(20) // 10
    parts = held_out((X, y), None, None, CLASSES, SplitPlan(groups=LABELS[kind](customer)))
    assert len(parts.fitting) == len(parts.certifying) == 10


@pytest.mark.parametrize("dtype", ["object", "str", "string", "category", "string[pyarrow]"])
def test_text_labels_of_any_type_are_read(dtype):
    labels = pd.Series(["no", "yes", "no"], dtype=dtype)
    rows = labeled(np.zeros((3, 1)), labels, np.array(["no", "yes"]), "given")
    assert rows.y.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.0, 2.0**53], r"a float beyond 2\^53"),
        (pd.Series([0, None, 1], dtype="Int64"), "1 of 3 given labels are missing .* the first in row 1"),
        (pd.Series(["a", None, "b"], dtype="category"), "1 of 3 given labels are missing"),
        (pd.Series([True, None, True], dtype="boolean"), "1 of 3 given labels are missing"),
        ([0, None, 1], "1 of 3 given labels are missing"),
        (pd.Series(["0", "1", "1"]), "labels are strings .row 0: '0'., but .* integers"),
        ([0, 1, "1"], "labels are strings .row 2"),
        ([0.5, 0, 1], r"labels 0\.5 were not seen in training .the first in row 0"),
        ([[0], [1], [1, 2]], "cannot be read"),
        ([[0, 1], [1, 0], [1, 0]], r"labels are of shape \[3, 2\]; expected one value per row"),
        (pd.DataFrame({"a": [0, 1, 1], "b": [0, 1, 1]}), "a table of 2 columns"),
        ("target", "labels are 'target'; expected one value per row"),
        (7, "labels are 7; expected one value per row"),
        (pd.to_datetime(["2020-01-01"] * 3), "not seen in training"),
        ([(1,), {}, set()], "cannot be read|labels are "),
    ],
)
def test_labels_that_cannot_be_used_are_refused_by_row(labels, message):
    with pytest.raises(RowsError, match=message):
        labeled(np.zeros((3, 1)), labels, CLASSES, "given")


@pytest.mark.parametrize("index", [[2, 0, 1], ["c", "a", "b"], pd.to_datetime(["2024", "2022", "2023"])])
def test_labels_and_groups_in_another_order_than_their_rows_are_refused(index):
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=index)
    labels = pd.Series([0, 1, 1], index=index)
    with pytest.raises(RowsError, match="labels have the index of the rows, but in another order: in row 0"):
        labeled(rows, labels.sort_index(), CLASSES, "given")
    with pytest.raises(RowsError, match="groups have the index of the rows, but in another order"):
        held_out((rows, labels), None, None, CLASSES, SplitPlan(groups=labels.sort_index()))
    for same in (
        labels,
        labels.sort_index().loc[rows.index],
        labels.reset_index(drop=True).set_axis([7, 8, 9]),
    ):
        assert labeled(rows, same, CLASSES, "given").y.tolist() == [0, 1, 1]
    assert len(labeled(rows.set_axis([0, 0, 1]), labels.to_numpy(), CLASSES, "given")) == 3


def test_missing_labels_are_not_to_be_removed_if_a_reader_took_a_class_for_missing():
    with pytest.raises(RowsError, match=r"'None', which pandas.read_csv takes .* keep_default_na=False"):
        labeled(np.zeros((2, 1)), ["yes", None], np.array(["None", "yes"]), "given")


def test_columns_that_the_training_rows_lack_are_told():
    rows = pd.DataFrame({"age": [1, 2, 3, 4], "pay": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(RowsError, match="training rows as well in 'age', the columns that both have"):
        held_out((rows, [0, 1, 0, 1]), None, rows[["age"]], CLASSES, SplitPlan())


@pytest.mark.parametrize(
    "groups", [[None] * 5 + list(range(5)), pd.Series([1, pd.NA] * 5, dtype="Int64"), np.full(10, np.nan)]
)
def test_missing_groups_are_refused(groups):
    with pytest.raises(RowsError, match="groups are missing, the first in row"):
        held_out(made(10), None, None, CLASSES, SplitPlan(groups=groups))


@pytest.mark.parametrize(
    "groups", [["a", 1, 2.5, "b"] * 5, pd.date_range("2020-01-01", periods=20), [(1, 2), (2, 3)] * 10]
)
def test_groups_that_cannot_be_sorted_are_read(groups):
    with contextlib.suppress(RowsError):
        held_out(made(20), None, None, CLASSES, SplitPlan(groups=groups))


def test_a_class_without_certification_rows_is_noted():
    X, y = made(40)
    parts = held_out((X, y), (X + 100, np.zeros(40, dtype=int)), None, CLASSES, SplitPlan())
    assert parts.notes == (
        "there is no certification row of class 1: the certificate says nothing about such rows",
    )
    assert held_out((X, y), None, None, CLASSES, SplitPlan()).notes == ()


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2]] * 20,
        [{"a": 1}, None] * 10,
        [b"x", 1, "y", 2.5] * 5,
        pd.to_timedelta(np.arange(20), unit="s"),
        np.arange(20) * 1j,
        pd.array([1, None] * 10, dtype="Int64"),
        pd.Categorical([1, None] * 10),
    ],
    ids=["list", "dict", "mixed", "timedelta", "complex", "Int64", "category"],
)
def test_a_column_beside_the_features_may_hold_anything(values):
    X, y = made(20)
    table = pd.DataFrame(X, columns=list("abc")).assign(d=values)
    parts = held_out((table, y), None, None, CLASSES, SplitPlan(0.5))
    assert len(parts.fitting) == len(parts.certifying) == 10
    with pytest.raises(RowsError, match="20 of 20 calibration rows are training rows as well"):
        held_out((table, y), None, table, CLASSES, SplitPlan())


def people() -> pd.DataFrame:
    random = np.random.default_rng(3)
    gaps = random.random((2, 60)) < 0.3
    return pd.DataFrame(
        {
            "age": random.integers(0, 90, 60),
            "income": np.where(gaps[0], np.nan, random.normal(size=60)),
            "member": random.random(60) < 0.5,
            "town": np.where(gaps[1], None, random.choice(["x", "y"], 60)),
        }
    )


OTHER_TYPES = {
    "objects": lambda table: table.astype(object),
    "categories": lambda table: table.astype({"age": "category", "town": "category"}),
    "nullable": lambda table: table.convert_dtypes(),
    "Arrow": lambda table: table.convert_dtypes(dtype_backend="pyarrow"),
    "empty text": lambda table: table.assign(town=table["town"].fillna("")),
    "whole numbers for bool": lambda table: table.assign(member=table["member"].astype(int)),
    "decimals": lambda table: table.assign(age=[Decimal(age) for age in table["age"].tolist()]),
    "float32": lambda table: table.assign(income=table["income"].astype(np.float32)),
    "other order": lambda table: table[["town", "member", "income", "age"]],
    "a column more": lambda table: table.assign(number=np.arange(len(table))),
}


@pytest.mark.parametrize("types", OTHER_TYPES)
def test_rows_that_were_seen_are_found_whatever_types_hold_them(types):
    seen, y = people(), np.arange(60) % 2
    other = OTHER_TYPES[types](seen)
    for train, rows in ((seen, other), (other, seen)):
        with pytest.raises(RowsError, match="60 of 60 calibration rows are training rows as well"):
            held_out((rows, y), None, train, CLASSES, SplitPlan())


@pytest.mark.parametrize("change", [np.float32, object, pd.DataFrame, np.asfortranarray])
def test_seen_rows_of_an_array_are_found_whatever_types_hold_them(change):
    X, y = made(20)
    X[:, 0] = -0.0
    seen = (X + 0.0).astype(change) if change in (np.float32, object) else change(X + 0.0)
    with pytest.raises(RowsError, match="20 of 20 calibration rows are training rows as well"):
        held_out((X, y), None, seen, CLASSES, SplitPlan())


def test_training_rows_that_cannot_be_compared_are_refused():
    X, y = made(20)
    with pytest.raises(
        RowsError, match="calibration rows have 3 columns and the training rows 4, and without"
    ):
        held_out((X, y), None, np.column_stack([X, y]), CLASSES, SplitPlan())


@pytest.mark.parametrize(
    ("n_rows", "n_certifying"), [(100, 80), (2_500, 2_000), (5_000, 4_500), (40_000, 39_500)]
)
def test_without_a_calibrator_to_fit_a_fifth_of_the_rows_or_500_places_the_thresholds(n_rows, n_certifying):
    assert SplitPlan(only_places=True).n_certifying(n_rows) == n_certifying
    assert SplitPlan(0.5, only_places=True).n_certifying(n_rows) == n_rows // 2
    assert SplitPlan().n_certifying(n_rows) == round(0.7 * n_rows)


def test_of_groups_the_usual_share_certifies_also_without_a_calibrator():
    groups = np.arange(200) // 2
    fitting, certifying = divide(LabeledRows(*made(200)), SplitPlan(groups=groups, only_places=True))
    assert (len(fitting), len(certifying)) == (60, 140)
