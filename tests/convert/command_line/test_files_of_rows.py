"""Files of rows at the command line: the same rows from every kind of file, read with the model's types."""

from __future__ import annotations

import gzip
import json

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tamiz_convert.__main__ import main
from tamiz_convert.bundles.bundle import read_manifest
from tamiz_convert.rows.tables import opened, read
from tamiz_convert.sources.onnx_graph import OnnxModel, input_specs

ENDINGS = ["parquet", "csv", "tsv", "csv.gz", "jsonl", "jsonl.gz"]
CHECKS = """
version: 1
minimum_functionality: [{name: cases, data: cases.csv, target: y, max_failure_rate: 1.0}]
"""


def houses(n, seed):
    """Return rows whose texts look like missing values and numbers, and labels that look like numbers."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "area": random.normal(100, 20, n).round(2),
            "rooms": random.integers(1, 9, n),
            "new": random.random(n) < 0.5,
            "veneer": random.choice(["None", "NA", "null"], n),
            "zip": random.choice(["01001", "1001", "20000"], n),
        }
    )
    p = np.select([table["veneer"] == "None", table["zip"] == "01001"], [0.9, 0.1], 0.5)
    return table, np.where(random.random(n) < p, "01", "1")


def write(table, path):
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        table.to_parquet(path)
        return
    lines = table.to_json(orient="records", lines=True)
    separator = "\t" if ".tsv" in name else ","
    text = lines if name.endswith(".jsonl") else table.to_csv(index=False, sep=separator)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a model, its bundle, and the same rows in every kind of file."""
    folder = tmp_path_factory.mktemp("houses")
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = [("n", StandardScaler(), ["area", "rooms"]), ("b", "passthrough", ["new"])]
    steps = ColumnTransformer([*columns, ("c", encoder, ["veneer", "zip"])])
    table, labels = houses(500, 0)
    joblib.dump(make_pipeline(steps, LogisticRegression()).fit(table, labels), folder / "model.joblib")
    table, labels = houses(400, 1)
    for ending in ENDINGS:
        write(table.assign(y=labels), folder / f"rows.{ending}")
    assert main(export(folder, "rows.parquet", "houses/1")) == 0
    return folder


def export(folder, rows, output, *flags):
    command = ["sklearn", str(folder / "model.joblib"), "--trust-pickle", "--calibration", str(folder / rows)]
    command += ["--target", "y", "--threshold", "0.6", "--calibrator", "sigmoid", "--no-report"]
    return [*command, "--output", str(folder / output), *flags]


def reading(folder, rows, output=None):
    """Return the commands that read rows for a bundle."""
    bundle, data = str(folder / "houses/1"), ["--target", "y", "--data", str(folder / rows)]
    (folder / "checks.yaml").write_text(CHECKS)
    return {
        "check": ["check", bundle, *data, "--checks", str(folder / "checks.yaml")],
        "compare": ["compare", bundle, bundle, *data],
        "recalibrate": [
            *(
                "recalibrate",
                bundle,
                "--calibration",
                str(folder / rows),
                "--target",
                "y",
                "--threshold",
                "0.6",
            ),
            *("--calibrator", "sigmoid", "--no-report", "--output", str(output or folder / "again/2")),
        ],
    }


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_an_export_is_the_same_from_every_kind_of_file(folder, ending):
    output = f"{ending}/1"
    assert main(export(folder, f"rows.{ending}", output)) == 0
    found, expected = read_manifest(folder / output), read_manifest(folder / "houses/1")
    assert found.row_sets == expected.row_sets
    assert found.inputs == expected.inputs
    assert found.graph_digest == expected.graph_digest


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rooms", "", "column 'rooms', row 2: '': expected int64, which cannot be missing"),
        ("rooms", "3.5", "column 'rooms', row 2: '3.5': expected a whole number"),
        ("area", "n/a", "column 'area', row 2: 'n/a': expected a number; a word that means"),
        ("area", "1,5", "column 'area', row 2: '1,5': expected a number with a decimal point"),
        ("new", "yes", "column 'new', row 2: 'yes': expected true, false"),
    ],
)
@pytest.mark.parametrize("command", ["check", "compare", "recalibrate"])
def test_a_value_that_the_bundle_does_not_read_is_named(
    folder, capsys, command, column, value, message, tmp_path
):
    table, labels = houses(20, 2)
    table = table.astype({column: object})
    table.loc[2, column] = value
    table.assign(y=labels).to_csv(folder / "bad.csv", index=False)
    assert main(reading(folder, "bad.csv", tmp_path / "again/2")[command]) == 1
    error = capsys.readouterr().err
    assert f"bad.csv: {message}" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["check", "compare", "recalibrate"])
def test_every_command_reads_texts_and_labels_as_they_stand(folder, command, tmp_path):
    table, labels = houses(300, 3)
    cases = table.head(3).assign(y=labels[:3], remark=["1", "NA", "2"])
    cases.to_csv(folder / "cases.csv", index=False)
    (folder / "odd.csv").write_text(table.assign(y=labels).to_csv(index=False, sep=":"), encoding="utf-16")
    assert main([*reading(folder, "odd.csv", tmp_path / "again/2")[command], "--separator", ":"]) == 0


def test_a_word_that_is_named_is_missing(folder, capsys):
    table, labels = houses(60, 4)
    table = table.astype({"area": object})
    table.loc[3, "area"] = "n/a"
    table.assign(y=labels).to_csv(folder / "worded.csv", index=False)
    compare = reading(folder, "worded.csv")["compare"]
    assert main(compare) == 1
    assert "--missing-values" in capsys.readouterr().err
    assert main([*compare, "--missing-values", "n/a"]) == 0


def test_a_missing_label_is_told(folder, capsys, tmp_path):
    table, labels = houses(60, 4)
    labels[7] = ""
    table.assign(y=labels).to_csv(folder / "unlabeled.csv", index=False)
    assert main(reading(folder, "unlabeled.csv", tmp_path / "again/2")["recalibrate"]) == 1
    assert (
        "1 of 60 calibration labels are missing (NaN or None), the first in row 7" in capsys.readouterr().err
    )


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_the_answers_of_a_rule_are_read_as_labels(folder, ending, tmp_path):
    """Labels such as "01" are text, and a rule that always gives "1" is right as often as "1" is."""
    table, labels = houses(300, 3)
    write(table.assign(y=labels, rule="1"), folder / f"ruled.{ending}")
    command = reading(folder, f"ruled.{ending}")["check"]
    (folder / "checks.yaml").write_text("{version: 1, baseline: [{column: rule, severity: warn}]}")
    assert main([*command, "--checks-json", str(tmp_path / "found.json")]) == 0
    (found,) = json.loads((tmp_path / "found.json").read_text())["checks"]
    assert found["observed"] < 0.5


def export_numbers(folder, rows, output, trained_on):
    """Return the command that exports a model of two columns with integer labels."""
    table = houses(500, 0)[0][["area", "rooms"]]
    model = LogisticRegression().fit(trained_on(table), (table["area"] > 100).astype(int))
    joblib.dump(model, folder / "numbers.joblib")
    command = export(folder, rows, output)
    command[1] = str(folder / "numbers.joblib")
    return command


def test_a_model_that_reads_columns_by_order_does_not_read_pandas_index(folder, capsys):
    rows = houses(200, 5)[0][["area", "rooms"]]
    rows = rows.assign(y=(rows["area"] + rows["rooms"] > 104).astype(int))
    rows.sample(frac=1, random_state=0).to_parquet(folder / "index.parquet")
    assert main(export_numbers(folder, "index.parquet", "plain/1", pd.DataFrame.to_numpy)) == 0
    rows.assign(rooms="01").to_csv(folder / "codes.csv", index=False)
    assert main(export_numbers(folder, "codes.csv", "plain/2", pd.DataFrame.to_numpy)) == 1
    assert "(not numbers: 'rooms';" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["zip", "rooms", "owner"])
def test_groups_may_be_a_feature_or_any_other_column(folder, column, tmp_path):
    table, labels = houses(400, 1)
    table.assign(owner=np.arange(400) // 2, y=labels).to_csv(folder / "owned.csv", index=False)
    flags = ["--groups", column, "--allow-duplicates"]
    assert main(export(folder, "owned.csv", tmp_path / "grouped/1", *flags)) == 0
    inputs = read_manifest(tmp_path / "grouped/1").inputs
    assert [spec.name for spec in inputs] == ["area", "rooms", "new", "veneer", "zip"]


@pytest.mark.parametrize("flag", ["--slices", "--slice-by", "--checks", "--sample-weight"])
def test_the_column_of_the_groups_may_have_another_use_too(folder, flag, tmp_path):
    table, labels = houses(400, 1)
    table.assign(owner=np.arange(400) % 40 + 1, y=labels).to_csv(folder / "owned.csv", index=False)
    (tmp_path / "checks.yaml").write_text(
        "{version: 1, slices: [{by: owner, metric: accuracy, min_lower_bound: 0.1, severity: warn}]}"
    )
    value = str(tmp_path / "checks.yaml") if flag == "--checks" else "owner"
    flags = ["--groups", "owner", "--allow-duplicates", flag, value]
    command = export(folder, "owned.csv", tmp_path / "grouped/1", *flags)
    if flag == "--slice-by":
        at = command.index("--threshold")
        command[at : at + 2] = ["--max-error", "0.7", "--allow-uncertified"]
    assert main(command) == 0


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_whole_number_beside_fractions_is_not_rounded(folder, capsys, ending):
    rows = houses(200, 5)[0][["area", "rooms"]]
    rows = rows.assign(rooms=rows["rooms"] + 2**53, y=(rows["area"] > 104).astype(int))
    write(rows, folder / f"large.{ending}")
    assert main(export_numbers(folder, f"large.{ending}", "large/1", pd.DataFrame.to_numpy)) == 1
    assert (
        "does not fit float64, which the model reads: it is too large to be exact" in capsys.readouterr().err
    )


def test_integer_labels_may_be_written_as_bool(folder):
    rows = houses(200, 5)[0][["area", "rooms"]]
    rows.assign(y=rows["area"] + rows["rooms"] > 104).to_csv(folder / "bool.csv", index=False)
    assert main(export_numbers(folder, "bool.csv", "bool/1", pd.DataFrame.copy)) == 0


def test_an_onnx_file_gives_the_types_of_its_inputs(folder):
    specs = input_specs(OnnxModel(folder / "houses/1/model.onnx", "probabilities"))
    assert [spec.dtype for spec in specs] == [
        spec.dtype for spec in read_manifest(folder / "houses/1").inputs
    ]


@pytest.mark.parametrize("command", ["check", "compare"])
def test_parquet_without_pandas_keeps_whole_numbers_beside_a_gap(folder, capsys, command):
    table, labels = houses(40, 6)
    rooms = [2**53 + 1, None, *table["rooms"].tolist()[2:]]
    columns = {**table.to_dict("list"), "rooms": rooms, "y": labels}
    pq.write_table(pa.table(columns), folder / "gap.parquet")
    assert main(reading(folder, "gap.parquet")[command]) == 1
    assert "column 'rooms', row 1: a value is missing, which int64 cannot hold" in capsys.readouterr().err


def test_whole_numbers_and_bools_with_a_gap_are_not_floats(tmp_path):
    columns = {"id": [2**53 + 1, None], "vip": [True, None], "size": [0.5, None], "full": [2**53 + 1, 2]}
    pq.write_table(pa.table(columns), tmp_path / "gap.parquet")
    with opened(tmp_path / "gap.parquet") as source:
        frame = read(source, {}, source.names)
    assert [str(dtype) for dtype in frame.dtypes] == ["Int64", "boolean", "float64", "int64"]
    assert frame["id"].tolist()[0] == frame["full"].tolist()[0] == 2**53 + 1
