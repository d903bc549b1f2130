"""The one reader of rows: every form of the same table, what a type holds exactly, and what is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiz.rows import RowsError, read_rows
from tamiz.v1.manifest_pb2 import DataType, InputSpec


class Backwards(NamedTuple):
    b: Any
    a: Any


class Dataset:
    """A sequence of dicts that names its columns and has none, as one of Hugging Face."""

    column_names = ("a", "b")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, row: int) -> dict[str, float]:
        return [{"a": 1.0, "b": 2.0}][row]


@dataclass
class Patient:
    b: float
    a: float


def database_rows(query: str) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        return database.execute(query).fetchall()


def column(name: str, dtype: str) -> InputSpec:
    return InputSpec(
        name=name, dtype=DataType.Value(f"DATA_TYPE_{dtype}"), shape=[-1, 1], column_names=[name]
    )


def matrix(n_columns: int, dtype: str = "FLOAT64", names: str = "") -> InputSpec:
    data_type = DataType.Value(f"DATA_TYPE_{dtype}")
    return InputSpec(name="features", dtype=data_type, shape=[-1, n_columns], column_names=names)


def read(rows: Any, *specs: InputSpec) -> dict[str, list[Any]]:
    """Return each input's values by row; None for NaN, which does not equal itself."""
    arrays = read_rows(rows, specs)
    return {
        name: [None if value != value else value for value in array.ravel().tolist()]  # noqa: PLR0124
        for name, array in arrays.items()
    }


SPECS = [column("n", "INT64"), column("x", "FLOAT64"), column("text", "STRING"), column("flag", "BOOL")]
VALUES: dict[str, list[Any]] = {
    "flag": [True, False, True],
    "text": ["01001", None, "None"],
    "n": [7, 2**60 + 1, -1],
    "unused": [0, 0, 0],
    "x": [0.5, None, 1.0],
}
EXPECTED = {"n": VALUES["n"], "x": VALUES["x"], "text": ["01001", "", "None"], "flag": VALUES["flag"]}
FRAME = pd.DataFrame({**VALUES, "x": [0.5, np.nan, 1.0]})
BACKWARDS = FRAME[FRAME.columns[::-1]].astype(object)


class SparkRow(tuple[Any, ...]):
    """A row as Spark collects it: a tuple that knows its names."""

    __slots__ = ()
    __fields__ = tuple(BACKWARDS)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(FRAME, id="pandas"),
        pytest.param(FRAME.set_index(pd.Index(["r1", "r2", "r3"])), id="pandas, with an index"),
        pytest.param(FRAME.convert_dtypes(), id="pandas, nullable"),
        pytest.param(FRAME.convert_dtypes(dtype_backend="pyarrow"), id="pandas, by Arrow"),
        pytest.param(FRAME.astype(object), id="pandas, objects"),
        pytest.param(FRAME.astype("category"), id="pandas, categories"),
        pytest.param(pl.DataFrame(VALUES), id="polars"),
        pytest.param(
            pl.DataFrame(VALUES).with_columns(pl.col("text").cast(pl.Categorical)), id="polars, categories"
        ),
        pytest.param(pa.table(VALUES), id="arrow"),
        pytest.param(
            pa.table({**VALUES, "text": pa.array(VALUES["text"]).dictionary_encode()}), id="dictionary"
        ),
        pytest.param(pa.RecordBatch.from_pydict(VALUES), id="arrow, a batch"),
        pytest.param(VALUES, id="dict of lists"),
        pytest.param({**VALUES, "text": ["01001", np.nan, "None"]}, id="dict of lists, text with NaN"),
        pytest.param({name: np.array(values, dtype=object) for name, values in VALUES.items()}, id="arrays"),
        pytest.param(
            {**VALUES, "x": np.ma.array([0.5, 9.0, 1.0], mask=[False, True, False])}, id="masked array"
        ),
        pytest.param(FRAME.to_dict("records"), id="records"),
        pytest.param(FRAME.to_records(index=False), id="structured array"),
        pytest.param(list(BACKWARDS.to_records(index=False)), id="rows of a structured array"),
        pytest.param(list(BACKWARDS.itertuples()), id="named tuples"),
        pytest.param([row for _, row in BACKWARDS.iterrows()], id="pandas, rows"),
        pytest.param([SparkRow(row) for row in BACKWARDS.itertuples(index=False)], id="Spark's rows"),
    ],
)
def test_every_form_of_a_table_is_the_same_table(rows):
    assert read(rows, *SPECS) == EXPECTED


@pytest.mark.parametrize("row", [0, 1, 2])
def test_one_record_is_one_row(row):
    record = {name: values[row] for name, values in VALUES.items()}
    expected = {name: [values[row]] for name, values in EXPECTED.items()}
    assert read(record, *SPECS) == expected
    assert read(FRAME.astype(object).iloc[row], *SPECS) == expected
    assert read(list(BACKWARDS.itertuples())[row], *SPECS) == expected
    assert read(BACKWARDS.to_records()[row], *SPECS) == expected


@pytest.mark.parametrize(
    "values",
    [
        ["spam", "ham"],
        ("spam", "ham"),
        np.array(["spam", "ham"]),
        pd.Series(["spam", "ham"], index=["a", "b"]),
        pl.Series(["spam", "ham"]),
        pd.Series(["spam", "ham"], name="text"),
        pl.Series("text", ["spam", "ham"]),
        pa.array(["spam", "ham"]),
        pa.chunked_array([["spam"], ["ham"]]),
        [["spam"], ["ham"]],
    ],
    ids=[
        "list",
        "tuple",
        "array",
        "pandas",
        "polars",
        "pandas, named",
        "polars, named",
        "arrow",
        "arrow, chunked",
        "matrix",
    ],
)
def test_one_column_needs_no_name(values):
    assert read(values, column("text", "STRING")) == {"text": ["spam", "ham"]}


MISSING: list[Any] = [None, np.nan, pd.NA, pd.NaT, float("nan"), Decimal("nan"), np.datetime64("NaT")]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_missing_is_missing_in_every_form(missing):
    assert read({"x": [missing, 1.5], "text": [missing, "a"]}, *SPECS[1:3]) == {
        "x": [None, 1.5],
        "text": ["", "a"],
    }


@pytest.mark.parametrize("dtype", ["INT64", "INT8", "UINT32", "BOOL"])
@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_whole_numbers_and_bools_cannot_be_missing(missing, dtype):
    with pytest.raises(RowsError, match="column 'c', row 1: a value is missing"):
        read({"c": [1, missing]}, column("c", dtype))


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("INT64", [1.0, -2.0], [1, -2]),
        ("INT64", [True, False], [1, 0]),
        ("INT64", np.array([2**63 - 1], dtype=np.uint64), [2**63 - 1]),
        ("INT64", [Decimal(3)], [3]),
        ("BOOL", [0, 1], [False, True]),
        ("BOOL", [0.0, 1.0], [False, True]),
        ("UINT64", [2**64 - 1], [2**64 - 1]),
        ("FLOAT64", [2**53, True], [2.0**53, 1.0]),
        ("FLOAT64", [2**70, 0.5], [2.0**70, 0.5]),
        ("FLOAT64", [Decimal("0.1"), None], [0.1, None]),
        ("FLOAT64", [2**60, None], [2.0**60, None]),
        ("FLOAT64", [None, 2**70, 0.5], [None, 2.0**70, 0.5]),
        ("FLOAT64", pd.array([2**62, None], dtype="Int64"), [2.0**62, None]),
        ("FLOAT64", [Decimal("2.50"), Fraction(1, 4), Decimal("NaN")], [2.5, 0.25, None]),
        ("INT64", [Decimal(2**53 + 1), Fraction(6, 2), Decimal("4.0")], [2**53 + 1, 3, 4]),
        ("FLOAT32", [0.1, float("inf")], [float(np.float32(0.1)), float("inf")]),
        ("FLOAT16", [2048, None], [2048.0, None]),
        ("FLOAT64", [np.int64(2**62), None], [2.0**62, None]),
        ("FLOAT64", [Decimal("sNaN"), Fraction(1, 2)], [None, 0.5]),
        ("STRING", ["", "nan"], ["", "nan"]),
    ],
)
def test_a_value_is_taken_where_the_type_holds_it(dtype, values, expected):
    assert read({"c": values}, column("c", dtype)) == {"c": expected}


@pytest.mark.parametrize(
    ("dtype", "values", "message"),
    [
        ("INT64", [1, 2.5], "row 1: 2.5 does not fit int64"),
        ("INT64", [2**63], "row 0: 9223372036854775808 does not fit int64"),
        ("INT64", [1e300], "does not fit int64"),
        ("INT64", [float("inf")], "row 0: inf does not fit int64"),
        (
            "INT64",
            ["01001"],
            "'01001' does not fit int64, which the model reads: text is not read as a number",
        ),
        ("INT8", [1, 128], "row 1: 128 does not fit int8"),
        ("UINT8", [-1], "-1 does not fit uint8"),
        ("UINT64", np.array([-1]), "-1 does not fit uint64"),
        ("BOOL", [True, 2], "row 1: 2 does not fit bool"),
        ("BOOL", ["False"], "'False' does not fit bool"),
        ("BOOL", [0.5], "0.5 does not fit bool"),
        ("FLOAT64", [2**53 + 1], "too large to be exact; pass an identifier as text"),
        ("FLOAT64", [2**60 + 1, None], "row 0: 1152921504606846977 does not fit float64"),
        ("FLOAT64", [Decimal(2**53 + 1)], "row 0: .*9007199254740993.* too large to be exact"),
        ("FLOAT64", [1, Decimal("1e999999")], "row 1: .*999999.* does not fit float64"),
        ("FLOAT64", [Fraction(10**500, 3)], "does not fit float64"),
        ("INT64", [Decimal("9007199254740993.5")], "9007199254740993.5.* does not fit int64"),
        ("INT64", [1, Fraction(10**30 + 1, 10**30)], "row 1: .* does not fit int64"),
        ("BOOL", [Decimal("1.00000000000000000001")], "does not fit bool"),
        ("FLOAT64", [np.int64(2**53 + 1), 0.5], "9007199254740993 does not fit float64"),
        ("FLOAT64", np.array([np.int64(2**53 + 1), None]), "9007199254740993 does not fit float64"),
        ("FLOAT64", [Fraction(10**350, 3)], "does not fit float64"),
        ("FLOAT64", [date(2026, 1, 1)], r"datetime.date\(2026, 1, 1\) does not fit .*: convert it as in the"),
        ("FLOAT64", [pd.Period("2026")], "convert it as in the training"),
        ("FLOAT64", [{}], "convert it as in the training"),
        ("STRING", ["a", "\ud800"], "row 1: .* it holds half of a surrogate pair"),
        ("FLOAT32", [2**24 + 1], "16777217 does not fit float32"),
        ("FLOAT32", [1e39], r"1e\+39 does not fit float32"),
        ("FLOAT64", ["1.5"], "text is not read as a number"),
        ("FLOAT64", [10**400], "does not fit float64"),
        ("FLOAT64", [1j], "wants float64, got complex128: convert it as in the training"),
        ("FLOAT64", pd.to_datetime(["2026-01-01"]), "wants float64, got datetime64"),
        ("FLOAT64", [b"1"], "does not fit float64"),
        ("STRING", ["1", 1], "row 1: 1 does not fit string"),
        ("STRING", [1.0], "1.0 does not fit string, which the model reads; pass text"),
        ("STRING", [True], "True does not fit string"),
        ("STRING", [b"a"], "b'a' does not fit string"),
    ],
)
def test_a_value_that_the_type_does_not_hold_is_refused(dtype, values, message):
    with pytest.raises(RowsError, match=message):
        read({"c": values}, column("c", dtype))


@given(
    st.lists(st.one_of(st.booleans(), st.integers(-(2**65), 2**65), st.floats(width=64)), min_size=1),
    st.sampled_from(["INT8", "INT64", "UINT64", "BOOL", "FLOAT16", "FLOAT32", "FLOAT64"]),
)
def test_what_is_taken_is_the_same_number(values, dtype):
    """A column of floats is rounded to the nearest float of the type; a whole number never changes."""
    try:
        got = read_rows({"c": values}, [column("c", dtype)])["c"].ravel().tolist()
    except RowsError:
        return
    rounds = dtype.startswith("FLOAT") and any(isinstance(value, float) for value in values)
    for given_, value in zip(values, got, strict=True):
        if rounds:
            with np.errstate(over="ignore"):
                np.testing.assert_equal(value, float(np.dtype(dtype.lower()).type(float(given_))))
        else:
            assert given_ == value


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[1.0, 2.0]]),
        [[1, 2]],
        pd.DataFrame({"b": [2.0], "z": [9.0], "a": [1.0]}),
        pl.DataFrame({"b": [2], "a": [1]}),
        {"features": [[1.0, 2.0]]},
        {"a": 1, "b": 2},
        [Backwards(b=2, a=1)],
        Backwards(b=2, a=1),
        database_rows("select 2 as b, 1 as a"),
        database_rows("select 2 as b, 1 as a")[0],
        [pd.Series({"b": 2.0, "a": 1.0})],
        [pd.Series([1.0, 2.0])],
        Backwards(b=[2], a=[1]),
    ],
)
def test_a_matrix_with_names_is_read_by_name_and_an_array_by_position(rows):
    assert read(rows, matrix(2, names="ab")) == {"features": [1.0, 2.0]}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_a_table_for_a_model_without_names_is_read_in_order_if_it_has_as_many_columns(make):
    assert read(make({"z": [1.0], "a": [2.0]}), matrix(2)) == {"features": [1.0, 2.0]}
    with pytest.raises(RowsError, match="expected exactly 3 columns in the order of the training"):
        read(make({"z": [1.0], "a": [2.0]}), matrix(3))


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame(np.eye(3))[[2, 1, 0]],
        pl.from_numpy(np.eye(3)).select("column_0", "column_2", "column_1"),
        {f"f{number}": [1.0] for number in (9, 8, 10)},
        [pd.Series([1.0, 2.0, 3.0], index=[1, 0, 2])],
    ],
    ids=["pandas", "polars", "dict", "a Series"],
)
def test_numbered_columns_for_a_model_without_names_are_in_the_order_of_their_numbers(rows):
    with pytest.raises(RowsError, match="are not in the order of their numbers: pass an array"):
        read(rows, matrix(3))
    assert read({f"f{number}": [float(number)] for number in (8, 9, 10)}, matrix(3)) == {
        "features": [8.0, 9.0, 10.0]
    }


def test_a_matrix_without_names_leaves_the_columns_of_other_inputs():
    table = pd.DataFrame({"x": [1.0], "ward": ["east"], "y": [2.0]})
    assert read(table, matrix(2), column("ward", "STRING")) == {"features": [1.0, 2.0], "ward": ["east"]}


def test_a_column_may_be_called_like_the_input():
    table = pd.DataFrame({"features": [1.0], "b": [2.0]})
    assert read(
        table,
        InputSpec(
            name="features", dtype=DataType.DATA_TYPE_FLOAT64, shape=[-1, 2], column_names=["b", "features"]
        ),
    ) == {"features": [2.0, 1.0]}


@pytest.mark.parametrize(
    ("rows", "specs", "message"),
    [
        (np.ones((2, 2)), SPECS[:2], r"reads 2 inputs \('n', 'x'\), and the rows have no names"),
        (pl.LazyFrame({"n": [1]}), SPECS[:1], "not a table in memory"),
        (pd.DataFrame({"n": [1]}).groupby("n"), SPECS[:1], "not an array or a table"),
        (pd.DataFrame({"n": [1]}).groupby("n")["n"], SPECS[:1], "not an array or a table"),
        ([{"n": 1, "x": 1.0}, {"n": 2}], SPECS[:2], "row 1 lacks 'x'"),
        ({"n": [1, 2], "x": [1.0]}, SPECS[:2], r"different numbers of rows: \{'n': 2, 'x': 1\}"),
        (pd.DataFrame([[1, 2]], columns=["n", "n"]), SPECS[:1], "there are 2 columns 'n'"),
        (pd.DataFrame({"n": []}, dtype=int), SPECS[:1], "there are no rows"),
        ({}, SPECS[:1], r"missing column\(s\) 'n'; the rows have none"),
        ({"n": [[1, 2]]}, SPECS[:1], r"column 'n' has the shape \[1, 2\]: expected one value per row"),
        (7, SPECS[:1], "of type int: pass an array, a DataFrame or a dict"),
        ("rows.csv", SPECS[2:3], "the rows are str 'rows.csv'"),
        ([[1.0], [1.0, 2.0]], SPECS[:1], "not an array or a table"),
        (Path("rows.csv"), SPECS[:2], "the rows are PosixPath 'rows.csv'.* the command tamiz-client predict"),
        (None, SPECS[:2], "of type NoneType: pass an array"),
        ((each for each in [[1, 2.0]]), SPECS[:2], "of type generator"),
        ([], SPECS[:2], "there are no rows"),
        ([], [matrix(2)], "there are no rows"),
        ({"z": [1]}, SPECS[:2], r"missing column\(s\) 'n', 'x'; the rows have 'z'"),
        ({"N": [1], "x": [1.0]}, SPECS[:2], "'N' is another name than 'n': rename the column"),
        ({" x": [1.0], "n": [1]}, SPECS[:2], "' x' is another name than 'x': rename"),
        ([{"n": 1}, (1,)], SPECS[:1], "row 1 is a tuple without names, which other rows have"),
        ([(1,), {"n": 1}], SPECS[:1], "row 0 is a tuple without names, which other rows have"),
        (database_rows("select 1 as n, 2 as n"), SPECS[:1], "row 0 has a name twice: 'n', 'n'"),
        ([Patient(2.0, 1.0)], [matrix(2, names="ab")], "the rows hold a Patient: pass a list with one dict"),
        (pl.Series([{"b": 2.0, "a": 1.0}]), [matrix(2, names="ab")], "the rows hold a dict: pass a list"),
        (pd.Series([{"n": 1}]), SPECS[:1], "the rows hold a dict: pass a list with one dict per row"),
        (pd.Series([1], name="m"), SPECS[:1], "the rows are the column 'm', and the model reads 'n'"),
        (pl.Series("m", [1]), SPECS[:1], "the rows are the column 'm', and the model reads 'n'"),
        (pd.Series([1.0, 2.0], name="a"), [matrix(2, names="xy")], "the rows are the column 'a', and"),
        (Dataset(), [matrix(2, names="ab")], "the rows hold a dict: pass a list with one dict per row"),
        ([{"n": [1]}, {"x": [1.0]}], SPECS[:2], "row 0 lacks 'x', which other rows have"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(rows, specs, message):
    with pytest.raises(RowsError, match=message):
        read(rows, *specs)


def test_large_whole_numbers_are_not_rounded_on_their_way():
    """Codes of 2^60: pandas, polars and Arrow make them floats where a value is missing."""
    codes = [2**60 + 1, None]
    for table in (
        pd.DataFrame({"c": pd.array(codes, dtype="Int64")}),
        pl.DataFrame({"c": codes}),
        pa.table({"c": codes}),
        {"c": codes},
    ):
        with pytest.raises(RowsError, match="row 0: 1152921504606846977 does not fit float64"):
            read(table, column("c", "FLOAT64"))
