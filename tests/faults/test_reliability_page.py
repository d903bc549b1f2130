"""The fault suite either rewrites its page completely or leaves it as it was."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "reliability", Path(__file__).parents[2] / "docs/reliability.py"
)
reliability = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reliability)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one.json").write_text(
        json.dumps({"section": "Soak", "fault": "much", "times": 500_000, "lost": 0, "seen": "nothing\ngrew"})
    )
    (tmp_path / "two.json").write_text(
        json.dumps({"section": "Overload", "fault": "a | b", "times": 3, "lost": 2, "seen": "refusals"})
    )
    (tmp_path / "passed.txt").write_text("a.py::one\nb.py::two[x]\n")
    return tmp_path


@pytest.fixture
def main(monkeypatch, tmp_path):
    monkeypatch.setattr(reliability, "expected_tests", lambda: {"a.py::one", "b.py::two[x]"})
    target = tmp_path / "reliability.md"
    target.write_text("as it was")
    return lambda where: (reliability.main([str(where)], target), target.read_text())


def test_a_whole_record_becomes_the_page(folder, main):
    os.utime(folder / "passed.txt", (1e9, 1e9))
    status, text = main(folder)
    assert status == 0
    assert text.index("## Overload") < text.index("## Soak")
    assert "| a \\| b | 3 | 2 | refusals |" in text
    assert "| much | 500,000 | 0 | nothing grew |" in text
    assert "in all: **2**" in text
    assert "2001-09-09" in text
    assert "## Hostile input" not in text
    assert os.uname().nodename not in text
    assert "/" not in text.replace("and/or", "").split("## Overload")[1]


@pytest.mark.parametrize("spoil", ["empty", "partial", "short form", "foreign"])
def test_anything_less_leaves_the_page_as_it_was(folder, main, spoil, capsys, tmp_path):
    match spoil:
        case "empty":
            folder = tmp_path / "nothing"
        case "partial":
            (folder / "passed.txt").write_text("a.py::one\n")
        case "short form":
            (folder / "passed.txt").unlink()
        case "foreign":
            (folder / "three.json").write_text('{"section": "Luck"}')
    status, text = main(folder)
    assert status == 1
    assert text == "as it was"
    said = capsys.readouterr().err
    assert "stays as it is" in said
    assert ("three.json is not an entry" if spoil == "foreign" else "b.py::two[x]") in said


def test_the_tests_that_are_expected_are_those_of_the_suite():
    expected = reliability.expected_tests()
    soak = "tests/faults/test_soak.py::test_a_long_time_of_everything"
    assert {f"{soak}[grpcio]", f"{soak}[h2]"} <= expected  # whatever the short form leaves out
    assert all(each.startswith("tests/faults/") for each in expected)
