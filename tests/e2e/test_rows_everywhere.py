"""A row means the same everywhere: every consumer reads the same table alike, or all refuse it alike."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.server_process import ServerProcess

import tamiz_convert
from tamiz_client import AsyncClient, Client, InvalidRows, encoding
from tamiz_convert import RowsError, compare, export, recalibrate
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.command_line.arguments import parser

CODES = ["01001", "02002", "None"]
FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda table: table,
    "nullable": lambda table: table.convert_dtypes(),
    "by Arrow": lambda table: table.convert_dtypes(dtype_backend="pyarrow"),
    "objects": lambda table: table.astype(object),
    "polars": lambda table: pl.DataFrame({name: _plain(table[name]) for name in table}),
    "arrow": lambda table: pa.table({name: _plain(table[name]) for name in table}),
    "dict": lambda table: {name: _plain(table[name]) for name in table},
    "records": lambda table: pa.table({name: _plain(table[name]) for name in table}).to_pylist(),
}


def _plain(column: pd.Series[Any]) -> list[Any]:
    return [None if pd.isna(value) else value for value in column.tolist()]


def make_table(n_rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "code": rng.choice(CODES, n_rows),
            "age": rng.integers(18, 90, n_rows),
            "income": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(size=n_rows)),
        }
    )


@pytest.fixture(scope="module")
def model() -> Any:
    table = make_table(600, seed=0)
    y = (table["code"] == "01001") ^ (table["age"] > 50)
    columns = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore"), ["code"]),
            ("number", StandardScaler(), ["age"]),
            ("gaps", SimpleImputer(), ["income"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(table, y.astype(int))


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory) -> Path:
    table = make_table(1_000, seed=1)
    y = ((table["code"] == "01001") ^ (table["age"] > 50)).astype(int)
    output = tmp_path_factory.mktemp("everywhere") / "models" / "m" / "1"
    export(model, output, calibration=(table, y), threshold=0.6, calibrator="sigmoid", report=False)
    return output


@pytest.fixture(scope="module")
def client(bundle) -> Iterator[Client]:
    server = ServerProcess.start(bundle.parents[1])
    try:
        server.wait_ready()
        with Client(server.target) as client:
            yield client
    finally:
        server.end()


def offline(bundle: Path, rows: Any) -> list[Any] | str:
    try:
        answers = Subject.read(bundle).predict(rows)
    except RowsError as error:
        return str(error)
    return answers.accepted.tolist()


def served(client: Client, rows: Any) -> list[Any] | str:
    try:
        return client.predict("m", rows).accepted.tolist()
    except InvalidRows as error:
        return str(error)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_is_decided_alike(form, bundle, client):
    table = make_table(50, seed=2)
    expected = offline(bundle, table)
    assert {True, False} <= set(expected)
    assert offline(bundle, FORMS[form](table)) == served(client, FORMS[form](table)) == expected


cells = st.one_of(
    st.sampled_from([*CODES, "", "nan", None, np.nan, pd.NA]),
    st.integers(-(2**54), 2**54),
    st.floats(allow_infinity=True),
    st.booleans(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=4),
    st.sampled_from(["objects", "dict", "records"]),
)
def test_any_table_is_decided_alike_or_refused_alike(bundle, client, rows, form):
    """Most of these tables have a value of a wrong type; a right column is put in the place of some."""
    table = pd.DataFrame(rows, columns=["code", "age", "income"], dtype=object)
    for column, right in (("code", "01001"), ("age", 40)):
        if len(rows) % 2:
            table[column] = pd.Series([right] * len(rows), dtype=object)
    given_ = table.to_dict("records") if form == "records" else FORMS[form](table)
    assert served(client, given_) == offline(bundle, given_)


TAKE_ROWS = {
    "export": lambda model, bundle, rows, y, out: export(
        model, out, calibration=(rows, y), threshold=0.6, report=False
    ),
    "recalibrate": lambda model, bundle, rows, y, out: recalibrate(
        bundle, out, calibration=(rows, y), threshold=0.6, report=False
    ),
    "compare": lambda model, bundle, rows, y, out: compare(bundle, bundle, rows, y, n_resamples=10),
    "check_bundle": lambda model, bundle, rows, y, out: tamiz_convert.check_bundle(
        bundle, rows, y, {"version": 1, "selective": {"min_coverage": 0.01}}
    ),
}
"""Every public function of the exporter that takes rows."""

KNOW_NO_ROWS = {"read_manifest"}


def test_every_function_that_takes_rows_is_known_here():
    functions = {
        name
        for name in tamiz_convert.__all__
        if callable(getattr(tamiz_convert, name)) and not isinstance(getattr(tamiz_convert, name), type)
    }
    assert functions == TAKE_ROWS.keys() | KNOW_NO_ROWS


@pytest.mark.parametrize("function", TAKE_ROWS)
def test_a_function_reads_rows_with_the_one_reader(function, model, bundle, tmp_path):
    table = make_table(300, seed=3)
    y = (np.arange(300) % 2).astype(int)
    wrong = table.assign(age=table["age"].astype(object).where(table.index != 7, "forty"))
    with pytest.raises(
        RowsError, match=r"'age', row 7: 'forty'( does not fit int64|: expected numbers alone)"
    ):
        TAKE_ROWS[function](model, bundle, wrong, y, tmp_path / "m" / "2")


def test_every_command_that_takes_rows_has_them_read_by_these_functions():
    (commands,) = (each.choices for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    take_rows = {
        name
        for name, command in commands.items()
        if any(option in command._option_string_actions for option in ("--calibration", "--data"))
    }
    assert take_rows == {"sklearn", "torch", "booster", "onnx", "recalibrate", "check", "compare"}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_method_of_a_client_that_takes_rows_encodes_them_in_one_place(kind):
    take_rows = {
        name
        for name in dir(kind)
        if not name.startswith("_") and {"rows", "chunks"} & set(getattr(kind, name).__code__.co_varnames)
        if callable(getattr(kind, name))
    }
    assert take_rows == {"predict", "stream"}
    assert "read_rows" in vars(encoding)
