"""One reader of files of rows: what stands in a file is read as the model's types, or refused by name."""

from __future__ import annotations

import codecs
import gzip
import json

import pandas as pd
import pyarrow as pa
import pytest

from tamiz.tables.columns import Unknown, types_of
from tamiz.tables.errors import TableError
from tamiz.tables.options import Reading
from tamiz.tables.source import Source
from tamiz.v1.manifest_pb2 import DataType, InputSpec

BOOL = DataType.DATA_TYPE_BOOL
FLOAT = DataType.DATA_TYPE_FLOAT64
INT = DataType.DATA_TYPE_INT64
TEXT = DataType.DATA_TYPE_STRING
WORDS = ["01001", "None", "NA", "nan", "N/A", "null", "", " x ", 'a "b", c', "two\nlines", "1,5"]


def read(path, types=None, **reading):
    with Source(path, Reading(**reading)) as source:
        return source.read(types or {}, source.names)


@pytest.fixture
def column(tmp_path):
    """Return a function: fields of a CSV column, its type → its values."""

    def values(fields, kind=Unknown.GUESSED, **reading):
        path = tmp_path / "column.csv"
        pd.DataFrame({"a": fields, "z": "z"}).to_csv(path, index=False)
        return read(path, {"a": kind}, **reading).column("a").to_pylist()

    return values


@pytest.fixture
def text(tmp_path):
    """Return a function: content → the table, as dict of columns."""

    def table(content, name="rows.csv", **reading):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(path, **reading).to_pydict()

    return table


def written(table, path):
    """Write a table in the form that the file's name asks for."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        table.to_parquet(path, index=False)
    elif name.endswith(".jsonl"):
        content = "".join(json.dumps(row) + "\n" for row in table.to_dict("records")).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    else:
        table.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")


@pytest.mark.parametrize("n_rows", [None, 4], ids=["whole", "in chunks"])
@pytest.mark.parametrize(
    "ending", ["csv", "tsv", "csv.gz", "tsv.gz", "jsonl", "jsonl.gz", "parquet", "ndjson"]
)
def test_the_same_table_is_the_same_columns_from_every_kind_of_file(ending, n_rows, tmp_path):
    n = len(WORDS)
    table = pd.DataFrame(
        {
            "code": WORDS,
            "count": [-(2**62), 2**62, 0, *range(n - 3)],
            "size": [0.1, float("nan"), 1e300, -0.0, *map(float, range(n - 4))],
            "vip": [True, False] * (n // 2) + [True] * (n % 2),
        }
    )
    path = tmp_path / f"rows.{ending}"
    written(table, path.with_suffix(".jsonl") if ending == "ndjson" else path)
    if ending == "ndjson":
        path.with_suffix(".jsonl").rename(path)
    types = {"code": TEXT, "count": INT, "size": FLOAT, "vip": BOOL}
    with Source(path) as source:
        chunks = list(source.chunks(types, Unknown.TEXT, n_rows))
    assert all(chunk.num_rows <= (n_rows or n) for chunk in chunks)
    found = pa.concat_tables(chunks)
    assert found.schema.names == list(table.columns)
    assert found.column("code").to_pylist() == WORDS
    assert found.column("count").to_pylist() == table["count"].tolist()
    assert found.column("vip").to_pylist() == table["vip"].tolist()
    assert found.column("size").to_pylist() == [0.1, None, *table["size"].tolist()[2:]]


@pytest.mark.parametrize("kind", [TEXT, Unknown.TEXT, Unknown.GUESSED])
def test_text_is_what_it_says(column, kind):
    assert column(WORDS, kind) == WORDS


def test_a_word_is_missing_only_if_it_is_named(column):
    assert column(["NA", "x", "n/a"], TEXT, missing=frozenset(["NA"])) == [None, "x", "n/a"]
    assert column(["NA", "1", "n/a"], FLOAT, missing=frozenset(["NA", "n/a"])) == [None, 1.0, None]
    assert column(["x", "", "y"], TEXT, missing=frozenset([""])) == ["x", None, "y"]


@pytest.mark.parametrize(
    ("fields", "kind", "values"),
    [
        (["1", "", "NaN", "nan"], FLOAT, [1.0, None, None, None]),
        (["+1.5", ".5", "5.", " 2 ", "1e-3"], FLOAT, [1.5, 0.5, 5.0, 2.0, 0.001]),
        (["True", "0.5"], FLOAT, [1.0, 0.5]),
        (["True", "2"], INT, [1, 2]),
        (["inf", "-Infinity", "-0"], FLOAT, [float("inf"), -float("inf"), -0.0]),
        (["1.0", "3e2", "007", "-5"], INT, [1, 300, 7, -5]),
        (["9007199254740993", "9007199254740993.0"], INT, [2**53 + 1] * 2),
        (["255", "0"], DataType.DATA_TYPE_UINT8, [255, 0]),
        (["1", "-1"], DataType.DATA_TYPE_INT32, [1, -1]),
        (["18446744073709551615"], DataType.DATA_TYPE_UINT64, [2**64 - 1]),
        (["true", "False", "1", "0"], BOOL, [True, False, True, False]),
        (["0.1", "16777217.0", "16777218"], DataType.DATA_TYPE_FLOAT32, [0.1, 16777217.0, 16777218.0]),
        (["01", "2"], Unknown.NUMBER, [1, 2]),
        (["01", ""], Unknown.NUMBER, [1.0, None]),
        (["True", "False"], Unknown.NUMBER, [True, False]),
    ],
)
def test_a_value_is_taken_if_the_type_holds_exactly_this_value(column, fields, kind, values):
    found = column(fields, kind)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        ("n/a", FLOAT, "'n/a': expected a number; a word that means a missing value is named with --missing"),
        ("abc", FLOAT, "'abc': expected a number"),
        ("1,5", FLOAT, "'1,5': expected a number with a decimal point and no comma"),
        ("1.234,5", FLOAT, "with a decimal point and no comma"),
        ("1_000", FLOAT, "'1_000': expected a number"),
        ("0x10", FLOAT, "'0x10': expected a number"),
        ("1e999", FLOAT, "'1e999': expected a number that float64 holds exactly"),
        ("9007199254740993", FLOAT, "expected a number that float64 holds exactly"),
        ("16777217", DataType.DATA_TYPE_FLOAT32, "expected a number that float32 holds exactly"),
        ("9" * 300, DataType.DATA_TYPE_FLOAT32, "expected a number that float32 holds exactly"),
        ("2049", DataType.DATA_TYPE_FLOAT16, "expected a number that float16 holds exactly"),
        ("1.5", INT, "'1.5': expected a whole number"),
        ("", INT, "'': expected int64, which cannot be missing"),
        ("1e999999999", INT, "expected a whole number from -9"),
        ("9223372036854775808", INT, "to 9223372036854775807 (int64)"),
        ("0x10", INT, "'0x10': expected a whole number"),
        ("256", DataType.DATA_TYPE_UINT8, "'256': expected a whole number from 0 to 255 (uint8)"),
        ("-1", DataType.DATA_TYPE_UINT8, "'-1': expected a whole number from 0"),
        ("yes", BOOL, "'yes': expected true, false, 1 or 0"),
        ("2", BOOL, "'2': expected true"),
        ("", BOOL, "which cannot be missing"),
        ("x", Unknown.NUMBER, "'x': expected a number"),
    ],
)
def test_any_other_value_is_refused_with_column_row_and_value(column, bad, kind, message):
    with pytest.raises(TableError) as caught:
        column(["1", "0", bad, "1"], kind)
    assert "column.csv: column 'a', row 2: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", ""], [1.0, None]),
        (["1.5", "NaN", ".5"], [1.5, None, 0.5]),
        (["01001", "2"], ["01001", "2"]),
        (["+31", "2"], ["+31", "2"]),
        (["-01", "2"], ["-01", "2"]),
        (["00.5", "2"], ["00.5", "2"]),
        (["99999999999999999999", "2"], ["99999999999999999999", "2"]),
        (["True", "false"], [True, False]),
        (["True", ""], ["True", ""]),
        (["NA", "x"], ["NA", "x"]),
        (["None", "None"], ["None", "None"]),
        (["nan", "x"], ["nan", "x"]),
        (["", ""], [None, None]),
    ],
)
def test_an_unknown_column_is_numbers_only_if_nothing_speaks_against_it(column, fields, values):
    assert column(fields) == values


@pytest.mark.parametrize("word", ["NA", "None", "null", "?"])
def test_numbers_among_words_that_may_mean_missing_are_not_guessed(column, word):
    with pytest.raises(TableError, match=r"row 1: .* the other values are numbers; .*--missing-values"):
        column(["1", word, "2"])
    assert column(["1", word, "2"], missing=frozenset([word])) == [1.0, None, 2.0]


def test_a_decimal_comma_does_not_make_a_column_text(text):
    with pytest.raises(TableError, match=r"column 'a', row 0: '1,5': expected a number with a decimal point"):
        text("a;b\n1,5;2\n3,25;4\n")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(text, separator):
    rows = [["a", "b"], ["1", '"x,y;z|w\tv"'], ["2", "u"]]
    found = text("".join(separator.join(row) + "\n" for row in rows))
    assert found == {"a": [1, 2], "b": ["x,y;z|w\tv", "u"]}


def test_a_file_of_one_column_may_hold_empty_fields_and_end_in_empty_lines(text):
    assert text('a\nx\n""\ny\n\n\n') == {"a": ["x", "", "y"]}


def test_a_point_is_a_decimal_point_whatever_the_separator(text):
    content = "country;area\nSweden;6739.5362\nDenmark;15300.69996\n"
    assert text(content) == {"country": ["Sweden", "Denmark"], "area": [6739.5362, 15300.69996]}


def test_the_separator_may_be_given(text):
    assert text("a:b;c\n1:2;3\n", separator=":") == {"a": [1], "b;c": ["2;3"]}
    assert text("a;b\n1;2\n", name="rows.tsv", separator=";") == {"a": [1], "b": [2]}
    assert text("a;b,c\n1;2\n", name="rows.tsv") == {"a;b,c": ["1;2"]}


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + "a,b\nmüller,1\n".encode(),
        "a,b\nmüller,1\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "a,b\r\nmüller,1\r\n".encode("utf-16-be"),
        "a,b\rmüller,1".encode(),
        "a,b\r\r\nmüller,1\r\r\n".encode(),
        '\n\n"a","b"\n\nmüller,1\n\n'.encode(),
    ],
)
def test_marks_and_line_ends_are_no_content(text, content):
    assert text(content) == {"a": ["müller"], "b": [1]}


def test_lines_that_cross_a_block_are_whole(text, monkeypatch):
    monkeypatch.setattr("tamiz.tables.lines._BLOCK_BYTES", 3)
    rows = ["".join(["ü" * (i % 5), ("\r", "\r\n", "x")[i % 3]]) for i in range(1, 30)]
    content = "a,b\r\n" + "".join(f'"{row}",{i}\r\n' for i, row in enumerate(rows))
    assert text(content)["a"] == rows


@pytest.mark.parametrize(
    ("content", "reading", "message"),
    [
        (
            "a,b\nm\xfcller,1\n".encode("latin-1"),
            {},
            "byte 5 is not UTF-8; name its encoding with --encoding",
        ),
        ("a,b\nmüller,1\n".encode("utf-16-le"), {}, "byte 10 is not UTF-8"),
        ("a,b\nx,1\n".encode("utf-16-le"), {}, "byte 1 is NUL, which no text holds: if the file is UTF-16"),
        (b"a,b\nx,\0\n", {}, "byte 6 is NUL"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), {}, "it is compressed with gzip: end its name in .gz"),
        (b"PK\x03\x04xl/workbook.xml", {}, "it is a zip file or an Excel workbook: save the table as CSV"),
        (b"PAR1\x15", {}, "it is a Parquet file: end its name in .parquet"),
        ("a,b\nmüller,1\n".encode(), {"encoding": "ascii"}, "byte 5 is not ASCII; name another one"),
        (b"a,b\n" + b"x,1\n" * 300_000 + b"\xff,1\n", {}, f"byte {4 + 4 * 300_000} is not UTF-8"),
    ],
)
def test_other_encodings_are_refused_with_the_bytes_position(text, content, reading, message):
    with pytest.raises(TableError) as caught:
        text(content, **reading)
    assert f"rows.csv: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("first", "separator"), [("sep=;", ";"), ('"sep=,"', ","), ("SEP=\t", "\t"), ("sep=:\r", ":")]
)
def test_excels_line_about_the_separator_is_not_the_header(text, first, separator):
    content = f"{first}\na{separator}b\n1{separator}x y\n"
    assert text(content) == {"a": [1], "b": ["x y"]}
    assert text(content, separator=separator) == {"a": [1], "b": ["x y"]}
    assert text("sep=\n1\n") == {"sep=": [1]}


def test_an_encoding_may_be_given(text):
    assert text("a,b\nmüller,1\n".encode("latin-1"), encoding="latin-1")["a"] == ["müller"]
    assert text("a,b\nmüller,1\n".encode("utf-16-le"), encoding="utf-16-le")["a"] == ["müller"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", "", "r.csv: it is empty: expected a header"),
        ("r.csv", "\n\n", "r.csv: it is empty"),
        ("r.csv", "a,b\n", "r.csv has columns, but no rows"),
        ("r.csv", "a,b,a\n1,2,3\n", "r.csv: the column 'a' occurs twice"),
        ("r.csv", "a,b\n1,2\n1,2,3\n", "r.csv: row 1 has 3 fields, and the header has 2 ('1', '2', '3')"),
        ("r.csv", "a,b\n1,2\n1\n", "r.csv: row 1 has 1 fields, and the header has 2"),
        ("r.csv", 'a,b\n1,2\n"1,2\n', "r.csv: row 1: the quotes do not fit"),
        ("r.csv", "a\n1\n\n2\n", 'r.csv: row 1 is an empty line; write "" for an empty field'),
        ("r.jsonl", '{"a": "\\ud800"}', "r.jsonl: row 0 is not JSON: "),
        ("r.jsonl", '{"a": 1e400}', "r.jsonl: row 0 is not JSON: 1e400 is too large for float64"),
        ("r.csv", 'a,b\n"x"y,2\n', "r.csv: row 0: the quotes do not fit"),
        ("r.csv.gz", "a,b\n1,2\n", "r.csv.gz cannot be read: Not a gzipped file"),
        (
            "r.csv.gz",
            gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9],
            "r.csv.gz cannot be read: Compressed file ended",
        ),
        ("r.jsonl", "", "r.jsonl: it is empty: expected one JSON object per line"),
        ("r.jsonl", '{"a": 1}\n{"a": 1', "r.jsonl: row 1 is not JSON: "),
        ("r.jsonl", '[{"a": 1}]', "r.jsonl: row 0 is not a JSON object; expected one object per line"),
        ("r.jsonl", '{"a": 1, "a": 2}', "r.jsonl: row 0 is not JSON: the key 'a' occurs twice"),
        ("r.jsonl", '{"a": 1}\n{"b": 2}', "r.jsonl: row 1 lacks 'a', which row 0 has: write null"),
        ("r.jsonl", '{"a": 1}\n{"a": 2, "b": 2}', "r.jsonl: row 1 has 'b', which row 0 lacks"),
        (
            "r.jsonl",
            '{"a": 1}\n{"a": "x"}',
            "r.jsonl: column 'a', row 1: 'x': the values before are of another",
        ),
        ("r.jsonl", '{"a": 1}\n{"a": [1]}', "r.jsonl: column 'a', row 1: [1]: expected a single value"),
        ("r.parquet", "PAR1", "r.parquet cannot be read: "),
        ("r.xlsx", "", "r.xlsx: it is not a table: expected a file that ends in .parquet, .csv"),
    ],
)
def test_a_broken_file_is_told(text, name, content, message):
    with pytest.raises(TableError) as caught:
        text(content, name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        (FLOAT, [1, 1.5, True, None, float("nan")], ["1.5", 2**53 + 1, 10**400]),
        (INT, [1, 1.0, False, 2**53 + 1], [1.5, None, "1", float("nan"), 2**63, 10**400]),
        (BOOL, [True, False, 1, 0.0], [2, None, "true", 0.5]),
        (DataType.DATA_TYPE_FLOAT32, [0.1, 16777217.0, 16777218], [16777217]),
        (TEXT, ["01001", "None", None, ""], [1, 1.0, True]),
    ],
)
def test_values_of_json_are_taken_if_the_type_holds_them(tmp_path, kind, taken, refused):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"a": value}) + "\n" for value in taken))
    values = read(path, {"a": kind}).column("a").to_pylist()
    assert values == [None if value != value else value for value in taken]  # noqa: PLR0124  NaN
    for value in refused:
        path.write_text("".join(json.dumps({"a": each}) + "\n" for each in [*taken, value]))
        with pytest.raises(TableError, match=rf"column 'a', row {len(taken)}: .*expected "):
            read(path, {"a": kind})


def test_null_is_missing_in_json_and_empty_lines_are_passed_over(text):
    content = '{"a": 1, "b": "x"}\n\n{"b": "y", "a": null}\n'
    assert text(content, "rows.jsonl") == {"a": [1.0, None], "b": ["x", "y"]}


@pytest.mark.parametrize("index", [None, "id"])
def test_an_index_of_pandas_is_a_column_only_if_it_is_named(tmp_path, index):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 9], name=index)).to_parquet(path)
    with Source(path) as source:
        assert source.names == ["a"]
        assert [chunk.column_names for chunk in source.chunks({}, Unknown.TEXT, 1)] == [["a"]] * 2
        assert source.read({}, ["a"]).to_pandas().to_dict("list") == {"a": [1, 2]}
    with Source(path, named=["id"]) as source:
        assert source.names == (["a"] if index is None else ["a", "id"])


def test_text_of_parquet_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": ["müller", "x"]}).to_parquet(path, compression=None, use_dictionary=False)
    path.write_bytes(path.read_bytes().replace("müller".encode(), b"m\xff\xfeller"))
    with pytest.raises(TableError, match=r"rows\.parquet cannot be read: "):
        read(path)


def test_named_words_are_missing_in_parquets_text_too(tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": ["NA", "x"], "b": pd.Categorical(["x", "NA"]), "c": [1, 2]}).to_parquet(path)
    found = read(path, missing=frozenset(["NA"])).to_pydict()
    assert found == {"a": [None, "x"], "b": ["x", None], "c": [1, 2]}
    pd.DataFrame({"a": pd.Categorical([3, 1]), "b": ["1", "3"]}).to_parquet(path)
    assert read(path, missing=frozenset(["1"])).to_pydict() == {"a": [3, 1], "b": [None, "3"]}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_missing_column_and_a_missing_file_are_named(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    with pytest.raises(TableError, match=rf"rows\.{ending} does not exist"):
        read(path)
    written(pd.DataFrame({"a": [1], "b": ["x"]}), path)
    with Source(path) as source, pytest.raises(TableError, match=r"has no column 'c', 'd'; it has 'a', 'b'"):
        source.read({}, ["a", "c", "d"])


def test_a_bundles_inputs_give_the_types():
    specs = [
        InputSpec(name="age", dtype=INT),
        InputSpec(name="features", dtype=FLOAT, column_names=["a", "b"]),
    ]
    assert types_of(specs) == {"age": INT, "a": FLOAT, "b": FLOAT}
