"""The file of tokens: an entry is read as it is meant, or refused with its place."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib

import pytest

from tamiz_server.access.tokens import Grant, Right, entry, new_token, read_tokens
from tamiz_server.command_line import run
from tamiz_server.errors import ConfigError

TOKEN, DIGEST = "tamiz_abc", hashlib.sha256(b"tamiz_abc").hexdigest()


def read(tmp_path, text):
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    return read_tokens(path)


def test_a_token_has_a_name_rights_and_rates(tmp_path):
    text = entry("batch", DIGEST, [Right.PREDICT, Right.METRICS]) + "rows_per_second = 100\n"
    assert read(tmp_path, text) == {
        bytes.fromhex(DIGEST): Grant("batch", frozenset({Right.PREDICT, Right.METRICS}), None, 100.0)
    }


def test_a_new_token_is_random_long_and_stands_behind_its_hash():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    for token, digest in tokens:
        assert token.startswith("tamiz_")
        assert len(token) >= 43
        assert hashlib.sha256(token.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected tables"),
        ("tokens = 1", "expected tables"),
        (f'[tokens.a]\nsha256 = "{DIGEST}"\nrights = []\n[other]', "and nothing else"),
        ("[tokens.a", "is not TOML"),
        ("a = " + "[" * 10_000, "is not TOML"),
        ("[tokens]\na = 1", r"\[tokens.a\] has something that is not a table"),
        (f'[tokens.a]\nsha256 = "{DIGEST}"\nrights = []\nright = 1', "has right; expected"),
        ("[tokens.a]\nrights = []", "has no sha256 of 64 hexadecimal digits"),
        (f'[tokens.a]\nsha256 = "{DIGEST[:-2]}"\nrights = []', "has no sha256 of 64"),
        (f'[tokens.a]\nsha256 = "{DIGEST}"', "has rights None; expected a list of predict, admin, metrics"),
        (f'[tokens.a]\nsha256 = "{DIGEST}"\nrights = ["root"]', r"has rights \['root'\]"),
        (
            f'[tokens.a]\nsha256 = "{DIGEST}"\nrights = []\nrows_per_second = 0',
            "has rows_per_second 0; expected a number",
        ),
        (
            f'[tokens.a]\nsha256 = "{DIGEST}"\nrights = []\nrequests_per_second = nan',
            "expected a number above 0",
        ),
        (
            f'[tokens.a]\nsha256 = "{DIGEST}"\nrights = []\n[tokens.b]\nsha256 = "{DIGEST}"\nrights = []',
            r"\[tokens.b\] has the same hash as \[tokens.a\]",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_a_token_in_the_place_of_its_hash_is_not_repeated(tmp_path):
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, f'[tokens.a]\nsha256 = "{TOKEN}"\nrights = ["predict"]')
    assert TOKEN not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match=r"pipe\.toml cannot be read: it is not a regular file"):
        read_tokens(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read: No such file"):
        read_tokens(tmp_path / "nowhere.toml")


def test_the_command_makes_a_token_and_its_entry(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tamiz_server",
        "token",
        "batch",
        "--right",
        "predict",
        "--right",
        "admin",
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    token = made.stdout.strip()
    grants = read(tmp_path, made.stderr)
    assert grants == {
        hashlib.sha256(token.encode()).digest(): Grant("batch", frozenset({Right.PREDICT, Right.ADMIN}))
    }
    assert token not in made.stderr
    assert tomllib.loads(made.stderr)["tokens"].keys() == {"batch"}


@pytest.mark.parametrize("right", ["all", "Predict", "", "predict,metrics"])
def test_the_command_lists_the_rights_if_one_is_unknown(right, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(["token", "batch", "--right", right], None)
    said = capsys.readouterr().err
    assert f"{right!r} is not one: expected predict, admin, metrics" in said
    assert said.count("\n") == 1


def test_the_command_refuses_a_name_that_is_no_key():
    command = [sys.executable, "-m", "tamiz_server", "token", "a b", "--right", "predict"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "is not allowed: expected letters" in refused.stderr
