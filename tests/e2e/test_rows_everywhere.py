"""A row means the same everywhere: every consumer reads the same table alike, or all refuse it alike."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.server_process import ServerProcess

import tamiz_convert
from tamiz.rows import RowsError as DoNotFit
from tamiz_client import AsyncClient, Client, InvalidRows
from tamiz_client.__main__ import main as ask_by_command
from tamiz_convert import RowsError, compare, export, recalibrate
from tamiz_convert.__main__ import main
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
    "named tuples": lambda table: list(table[table.columns[::-1]].itertuples()),
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


CLOSED = "nobody reads rows here"


@pytest.fixture
def closed(monkeypatch) -> None:
    """Let the one reader refuse everything: who does not fail with these words now reads rows elsewhere."""

    def refuse(_rows: Any, _specs: Any) -> None:
        raise DoNotFit(CLOSED)

    for name, module in list(sys.modules.items()):
        if name.startswith("tamiz") and "read_rows" in vars(module):
            monkeypatch.setattr(module, "read_rows", refuse)


@pytest.mark.parametrize("function", TAKE_ROWS)
@pytest.mark.usefixtures("closed")
def test_a_function_reads_rows_with_the_one_reader(function, model, bundle, tmp_path):
    table = make_table(300, seed=3)
    y = (np.arange(300) % 2).astype(int)
    with pytest.raises(RowsError, match=CLOSED):
        TAKE_ROWS[function](model, bundle, table, y, tmp_path / "m" / "2")


@pytest.mark.parametrize("function", TAKE_ROWS)
def test_a_function_names_the_value_that_does_not_fit(function, model, bundle, tmp_path):
    table = make_table(300, seed=3)
    y = (np.arange(300) % 2).astype(int)
    wrong = table.assign(age=table["age"].astype(object).where(table.index != 7, "forty"))
    with pytest.raises(
        RowsError, match=r"'age', row 7: 'forty'( does not fit int64|: expected numbers alone)"
    ):
        TAKE_ROWS[function](model, bundle, wrong, y, tmp_path / "m" / "2")


EXPORTS = {
    "sklearn": ["model.joblib", "--trust-pickle"],
    "torch": ["module.pt", "--trust-pickle"],
    "booster": ["booster.json"],
    "onnx": ["linear.onnx", "--scores", "probabilities"],
}
KNOW_NO_FILES_OF_ROWS = {"inspect", "keygen", "sign", "verify", "new-checks"}


@pytest.fixture(scope="module")
def files(model, tmp_path_factory) -> Path:
    """Models, rows and checks for every command."""
    folder = tmp_path_factory.mktemp("files")
    table = make_table(300, seed=4)
    y = ((table["code"] == "01001") ^ (table["age"] > 50)).astype(int)
    table.assign(y=y).to_csv(folder / "sklearn.csv", index=False)
    numbers = table[["age", "income"]].fillna(0.0).astype(np.float32)
    for command in ("torch", "booster", "onnx"):
        numbers.assign(y=y).to_csv(folder / f"{command}.csv", index=False)
    joblib.dump(model, folder / "model.joblib")
    module = torch.nn.Linear(2, 2).eval()
    module.load_state_dict(
        {"weight": torch.tensor([[-0.01, 0.0], [0.01, 0.0]]), "bias": torch.tensor([0.5, -0.5])}
    )
    torch.save(module, folder / "module.pt")
    xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(numbers, y), 2).save_model(
        folder / "booster.json"
    )
    linear = LogisticRegression().fit(numbers.to_numpy(), y)
    graph = to_onnx(linear, numbers[:1].to_numpy(), options={id(linear): {"zipmap": False}})
    (folder / "linear.onnx").write_bytes(graph.SerializeToString())
    (folder / "checks.yaml").write_text("version: 1\nselective: {min_coverage: 0.01}\n")
    return folder


def command_line(command: str, files: Path, bundle: Path, output: Path) -> list[str]:
    data = ["--data", f"{files}/sklearn.csv", "--target", "y"]
    if command == "check":
        return [command, str(bundle), *data, "--checks", f"{files}/checks.yaml"]
    if command == "compare":
        return [command, str(bundle), str(bundle), *data]
    given = [str(bundle)]
    if command in EXPORTS:
        given = [f"{files}/{EXPORTS[command][0]}", *EXPORTS[command][1:]]
    rows = f"{files}/{command if command in EXPORTS else 'sklearn'}.csv"
    settings = ["--threshold", "0.6", "--calibrator", "sigmoid", "--no-report", "--allow-duplicates"]
    return [command, *given, "--calibration", rows, "--target", "y", *settings, "--output", str(output)]


def test_every_command_that_takes_rows_is_known_here():
    (commands,) = (each.choices for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
    assert commands.keys() == {*EXPORTS, "recalibrate", "check", "compare"} | KNOW_NO_FILES_OF_ROWS


@pytest.mark.parametrize("command", [*EXPORTS, "recalibrate", "check", "compare"])
def test_a_command_reads_rows_with_the_one_reader(command, files, bundle, tmp_path, capsys, request):
    arguments = command_line(command, files, bundle, tmp_path / "m" / "2")
    assert main(arguments) == 0, capsys.readouterr().err
    request.getfixturevalue("closed")
    assert main([*arguments[:-1], str(tmp_path / "m" / "3")] if "--output" in arguments else arguments) == 1
    assert CLOSED in capsys.readouterr().err
    assert not (tmp_path / "m" / "3").exists()


ASK: dict[str, Callable[[Any, Any], Any]] = {
    "predict": lambda client, rows: client.predict("m", rows),
    "stream": lambda client, rows: client.stream("m", [rows]),
}
"""Every method of a client that takes rows."""


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_method_of_a_client_that_takes_rows_is_known_here(kind):
    methods = {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}
    parameters = {name: inspect.signature(getattr(kind, name)).parameters for name in methods}
    assert {name for name in methods if {"rows", "chunks"} & parameters[name].keys()} == ASK.keys()


@pytest.mark.parametrize("method", ASK)
@pytest.mark.usefixtures("closed")
def test_a_client_reads_rows_with_the_one_reader(method, client):
    with pytest.raises(InvalidRows, match=CLOSED):
        list(ASK[method](client, make_table(3, seed=5)))


@pytest.mark.parametrize("method", ASK)
@pytest.mark.usefixtures("closed")
def test_an_async_client_reads_rows_with_the_one_reader(method, client):
    async def ask() -> None:
        async with AsyncClient(client._target) as other:
            answer = ASK[method](other, make_table(3, seed=5))
            if method == "stream":
                _ = [each async for each in answer]
            else:
                await answer

    with pytest.raises(InvalidRows, match=CLOSED):
        asyncio.run(ask())


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.usefixtures("closed")
def test_the_command_of_the_client_reads_rows_with_the_one_reader(ending, client, tmp_path, capsys):
    table = make_table(3, seed=5)
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    output = tmp_path / "answers.csv"
    assert (
        ask_by_command(["predict", "m", str(path), "--server", client._target, "--output", str(output)]) == 1
    )
    assert CLOSED in capsys.readouterr().err
    assert not output.exists()
