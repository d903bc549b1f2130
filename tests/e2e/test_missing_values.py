"""A missing value is answered only where the manifest says so; report, inspect and server agree."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tamiz_client import Client
from tamiz_convert import export, read_manifest
from tamiz_convert.__main__ import main
from tamiz_convert.bundles.subject import Subject

GAPS = {"none": [], "number": ["income"], "text": ["city"], "both": ["income", "city"]}
"""Name of a model → the columns in which its held-out rows miss values."""


def customers(n, gaps, seed):
    """Return a table of a number, a text and a whole number, with gaps in some columns, and labels."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "income": random.normal(size=n),
            "city": random.choice(["Ulm", "Bonn", "None"], n).astype(object),
            "kids": random.integers(0, 4, n),
        }
    )
    y = (table["income"] + (table["city"] == "Ulm") + random.normal(0, 0.3, n) > 0.4).astype(int)
    for column in gaps:
        table.loc[random.random(n) < 0.03, column] = None
    return table, y.to_numpy()


@pytest.fixture
def served(tmp_path, start_server):
    for name, gaps in GAPS.items():
        encoded = ColumnTransformer(
            [
                ("n", SimpleImputer(), ["income"]),
                ("t", OneHotEncoder(handle_unknown="ignore"), ["city"]),
                ("k", "passthrough", ["kids"]),
            ]
        )
        model = make_pipeline(encoded, LogisticRegression()).fit(*customers(400, ["income", "city"], 0))
        export(
            model,
            tmp_path / "models" / name / "1",
            calibration=customers(600, gaps, 1),
            calibrator="temperature",
            threshold=0.5,
        )
    return start_server()


def test_each_kind_of_column_abstains_unless_missing_values_are_allowed(served, tmp_path, capsys):
    for name in GAPS:
        _check(name, served, tmp_path, capsys)


def _check(name, served, tmp_path, capsys):
    bundle = tmp_path / "models" / name / "1"
    allowed = {spec.name: spec.missing_values_allowed for spec in read_manifest(bundle).inputs}
    assert allowed == {column: column in GAPS[name] for column in ("income", "city", "kids")}
    report = json.loads(bundle.joinpath("report.json").read_text())
    assert {each["name"]: each["missing_values_allowed"] for each in report["model"]["inputs"]} == allowed
    main(["inspect", str(bundle)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(tuple(allowed))]
    assert ["allowed" in line for line in lines] == [allowed[line.split()[0]] for line in lines]

    rows, _ = customers(6, [], 2)
    rows.loc[0, "income"] = np.nan
    rows.loc[1:3, "city"] = [None, "", np.nan]
    expected = [allowed["income"], *[allowed["city"]] * 3, True, True]
    with Client(served.target) as client:
        answer = client.predict(name, rows)
    assert answer.accepted.tolist() == expected
    assert [reason == "INVALID_INPUT" for reason in answer.reasons] == [not each for each in expected]
    assert Subject.read(bundle).predict(rows).accepted.tolist() == expected
