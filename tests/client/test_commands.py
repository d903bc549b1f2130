"""`tamiz-client` as somebody in a hurry uses it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from tamiz.v1.prediction_pb2 import PredictRequest
from tamiz_client import Client, Result
from tamiz_client.__main__ import main


@pytest.fixture
def rows(tmp_path):
    """Return the path of a CSV file: the first row is accepted, the second abstains."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,label\n1,2,x\n-1,2,y\n")
    return path


@pytest.fixture
def run(stub, capsys):
    """Return a function that runs the command, and returns its status, standard output and standard error."""

    def run(*arguments):
        try:
            status = main([*map(str, arguments), "--server", stub.target])
        except SystemExit as exit_:
            status = exit_.code
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    "given",
    [
        ["plain", "FILE"],
        ["plain", "--input", "FILE"],
        ["--input", "FILE", "plain"],
        ["plain", "--version", "3", "FILE"],
        ["--threshold", "0.5", "plain", "--version", "3", "FILE", "--chunk-rows", "1"],
    ],
    ids=" ".join,
)
def test_the_file_stands_after_the_model_or_after_a_flag(given, run, rows):
    status, out, err = run("predict", *(rows if word == "FILE" else word for word in given))
    assert status == 0, err
    assert "LOW_CONFIDENCE" in out
    assert "2 rows, 50.0% accepted" in err


def test_the_file_is_given_once(run, rows):
    status, _, err = run("predict", "plain", rows, "--input", rows)
    assert (status, err) == (
        1,
        "tamiz-client: the rows are given twice, as FILE and as --input: give one of them\n",
    )
    status, _, err = run("predict", "plain")
    assert status == 2
    assert "required: FILE" in err


def test_the_server_is_named_before_the_command_or_after_it(stub, capsys, monkeypatch):
    monkeypatch.setenv("TAMIZ_SERVER", "localhost:1")
    assert main(["--server", stub.target, "--timeout-s", "5", "models", "--json"]) == 0
    assert main(["models", "--json", "--server", stub.target]) == 0
    monkeypatch.setenv("TAMIZ_SERVER", stub.target)
    assert main(["models", "--json"]) == 0
    assert capsys.readouterr().out == '{"plain": [1, 3]}\n' * 3


def test_models_shows_each_version_with_its_labels_whom_it_answers_and_its_own_promise(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = run("models")
    first, second = (
        [cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "plain" in line
    )
    assert status == 0
    assert first[:4] == ["plain", "1", "canary, stable", "who names none"]
    assert second[:4] == ["plain", "3", "", "as shadow"]


def test_health_tells_a_model_that_is_not_served_from_one_that_is_not_serving(run):
    assert run("health") == (0, "SERVING\n", "")
    assert run("health", "plain") == (0, "SERVING\n", "")
    assert run("health", "stopping") == (1, "NOT_SERVING\n", "")
    status, out, err = run("health", "nobody")
    assert (status, out) == (3, "")
    assert err.startswith("tamiz-client: 127.0.0.1:")
    assert "no model 'nobody'; served: plain" in err


def test_health_without_the_token_that_other_calls_need_is_answered(run):
    assert run("health", "closed") == (1, "NOT_SERVING\n", "")


def test_health_says_why_there_is_no_answer(capsys):
    assert main(["health", "--server", "127.0.0.1:1", "--timeout-s", "5"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        "127.0.0.1:1: UNAVAILABLE: no server was reached; check that tamiz-server runs there" in captured.err
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), (" \n", "is empty"), ('[tokens.a]\nsha256 = "x"\n', "holds more than a token")],
)
def test_a_file_that_holds_no_token_is_named(content, said, capsys, tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text(content)
    assert main(["models", "--server", "127.0.0.1:1", "--token-file", str(file)]) == 1
    assert f"tamiz-client: --token-file: {file} {said}; expected" in capsys.readouterr().err


def test_a_proxy_in_the_environment_is_named_when_no_server_is_reached(capsys, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert main(["models", "--server", "192.0.2.1:1", "--timeout-s", "5"]) == 1
    assert "http_proxy is set: to go past that proxy, put the host into no_proxy" in capsys.readouterr().err


def test_rows_without_a_confidence_are_left_out_of_its_mean(run, rows, tmp_path):
    _, out, err = run("predict", "partial", rows)
    assert "mean confidence 0.9000 (without 1 row(s) that have none)" in err
    assert "0.0000" not in out
    assert run("predict", "partial", rows, "--output", tmp_path / "answers.csv")[0] == 0
    confidence = pd.read_csv(tmp_path / "answers.csv")["confidence"]
    assert (confidence[0], confidence.isna().tolist()) == (0.9, [False, True])
    rows.write_text("a,b\n-1,2\n")
    assert "no row has a confidence" in run("predict", "partial", rows)[2]


def test_a_threshold_without_effect_is_told(run, rows):
    assert (
        "--threshold 0.5 had no effect: the model's own is 0.8"
        in run("predict", "plain", rows, "--threshold", "0.5")[2]
    )
    assert "effect" not in run("predict", "plain", rows, "--threshold", "0.9")[2]
    assert "no certificate covers 1 of the accepted rows" in run("predict", "plain", rows)[2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "{rows}"], "is the input file: name another one"),
        (["--output", "{rows.parent}/./rows.csv"], "is the input file"),
        (["--keep", "label"], "--keep names 'label', but the output has its own column of that name"),
        (["--keep", "b, a"], "--keep names ' a'; the input has the columns 'a', 'b', 'label'"),
        (
            ["--output", "{rows.parent}/nowhere/out.csv"],
            "out.csv cannot be written: No such file or directory",
        ),
        (["--record", "."], ". cannot be written: it is a folder"),
        (["--record", "/"], "/ cannot be written: it is a folder"),
        (["--timeout-s", "-1"], "timeout_s is -1.0: expected a number of seconds above 0"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_changes_nothing(flags, message, run, rows):
    before = rows.read_text()
    status, _, err = run("predict", "plain", rows, *(flag.format(rows=rows) for flag in flags))
    assert status == 1
    assert err.startswith("tamiz-client: ")
    assert err.count("\n") == 1
    assert message in err
    assert [path.name for path in rows.parent.iterdir()] == ["rows.csv"]
    assert rows.read_text() == before


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--version=0", "0 is not a version: expected a number from 1, or a label"),
        ("--version=-2", "-2 is not a version"),
        ("--chunk-rows=0", "'0': expected a whole number from 1"),
        ("--chunk-rows=many", "'many': expected a whole number from 1"),
    ],
)
def test_a_flag_that_cannot_be_right_is_refused(flag, message, run, rows):
    status, _, err = run("predict", "plain", rows, flag)
    assert status == 2
    assert message in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.csv", None, "nowhere.csv does not exist"),
        (
            "colons.csv",
            "a:b\n1:2\n",
            "colons.csv: missing column(s) 'a', 'b'; the rows have 'a:b'; name what separates the fields",
        ),
        ("capital.csv", "A,b\n1,2\n", "capital.csv: missing column(s) 'a'; the rows have 'A', 'b'; 'A' is"),
        ("units.csv", "a,b\n1,2 kg\n", "row 0: '2 kg': expected a number such as 1234.5, without a unit"),
        ("thousands.csv", 'a,b\n1,"1,234.5"\n', "row 0: '1,234.5': expected a number such as 1234.5"),
        ("rows.xlsx", "", "rows.xlsx: it is not a table: expected a file that ends in .parquet, .csv"),
        ("rows.json", "{}", "rows.json: row 0 has no values"),
        ("text.csv", "a,b\n1,two\n", "text.csv: column 'b', row 0: 'two': expected a number"),
        ("empty.csv", "", "empty.csv: it is empty: expected a header"),
        ("long.csv", "a,b\n1,2\n1,2,3\n", "long.csv: row 1 has 3 fields, and the header has 2"),
        ("broken.parquet", "PAR1", "broken.parquet cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_rows_is_told(name, content, message, run, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    status, _, err = run("predict", "plain", tmp_path / name)
    assert status == 1
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("bad", [1, 2, 5, 6])
@pytest.mark.parametrize("value", [1e39, -1e300])
def test_rows_of_parquet_are_counted_from_the_files_beginning(bad, value, run, tmp_path):
    table = pd.DataFrame({"a": [1.0] * 7, "b": 2})
    table.loc[bad, "a"] = value
    table.to_parquet(tmp_path / "huge.parquet")
    status, _, err = run("predict", "plain", tmp_path / "huge.parquet", "--chunk-rows", "2")
    assert (status, err.count("\n")) == (1, 1)
    assert f"huge.parquet: column 'a', row {bad}: {value!r} does not fit float32" in err


@pytest.mark.parametrize("values", [[1, 2**24 + 1], ["1", "2"], [True, None]])
def test_a_table_for_a_model_without_names_keeps_its_types(values, run, tmp_path):
    """As one matrix, whole numbers beside floats would be rounded, and numbers beside text would be text."""
    pd.DataFrame({"a": [0.5, 1.0], "b": values}).to_parquet(tmp_path / "rows.parquet")
    status, _, err = run("predict", "unnamed", tmp_path / "rows.parquet")
    expected = {int: "row 1: 16777217 does not fit float32", str: "row 0: '1' does not fit float32", bool: ""}
    assert status == (type(values[0]) is not bool)
    assert expected[type(values[0])] in err


def test_a_model_without_column_names_says_how_many_columns_it_reads(run, rows):
    status, _, err = run("predict", "unnamed", rows)
    assert status == 1
    assert (
        "unnamed was trained without column names, so it reads all 3 columns in their order, and expects 2"
        in err
    )
    assert run("predict", "unnamed", rows, "--keep", "label", "--output", rows.parent / "out.csv")[0] == 1
    rows.write_text("a,b,city\n1,2,x\n")
    assert run("predict", "unnamed", rows, "--keep", "city")[0] == 0


def test_endings_of_files_may_be_upper_case(run, rows, tmp_path):
    loud = rows.rename(rows.with_suffix(".CSV"))
    assert run("predict", "plain", loud, "--output", tmp_path / "OUT.PARQUET")[0] == 0
    assert len(pd.read_parquet(tmp_path / "OUT.PARQUET")) == 2


def test_an_output_is_whole_or_absent(run, rows, tmp_path):
    rows.write_text("a,b\n" + "1,2\n" * 200 + "1,oops\n")
    output = tmp_path / "answers.csv"
    output.write_text("what was there\n")
    assert run("predict", "plain", rows, "--output", output, "--chunk-rows", 50)[0] == 1
    assert output.read_text() == "what was there\n"
    rows.write_text("a,b\n1,2\n")
    assert run("predict", "plain", rows, "--output", output)[0] == 0
    assert output.read_text().startswith('"label","accepted"')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "rows.csv"]


def test_a_recorded_request_takes_the_place_of_the_one_before(run, rows, tmp_path):
    record = tmp_path / "first.pb"
    record.write_bytes(b"what was there")
    assert run("predict", "plain", rows, "--record", record)[0] == 0
    assert PredictRequest.FromString(record.read_bytes()).model_name == "plain"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.pb", "rows.csv"]


def test_the_summary_says_that_a_release_came_in_the_middle_of_a_file(stub, tmp_path, capsys, monkeypatch):
    answers = iter(range(1, 100))
    predict = Client.predict

    def released(self: Client, *arguments: object, **options: object) -> Result:
        result = predict(self, *arguments, **options)
        return replace(result, model_version=min(next(answers), 2))

    monkeypatch.setattr(Client, "predict", released)
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,2\n" * 30)
    flags = ["--server", stub.target, "--chunk-rows", "10"]
    assert main(["predict", "plain", "--input", str(path), *flags]) == 0
    assert "answered by the versions 1, 2: one was released meanwhile" in capsys.readouterr().err
    assert main(["predict", "plain", "--input", str(path), *flags]) == 0
    assert "answered by the versions" not in capsys.readouterr().err
