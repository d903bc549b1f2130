"""What docs/compare.md says is true: its examples run, one after the other, and print what it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tamiz_convert.__main__ import main

DOCUMENT = (Path(__file__).parents[2] / "docs/compare.md").read_text()
BLOCK = re.compile(r"```(python|console|text)\n(.*?)```", re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Return the arguments of every command in a console block; a backslash joins lines."""
    return [shlex.split(line) for line in re.findall(r"^\$ (.*)$", block.replace("\\\n", ""), re.MULTILINE)]


def test_the_examples_run_and_print_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran, printed = [], ""
    for kind, block in BLOCK.findall(DOCUMENT):
        if kind == "text":
            assert " ".join(block.split()) in " ".join(printed.split())
        elif kind == "python":
            exec(compile(block, "docs/compare.md", "exec"), {"__name__": "__main__"})
        else:
            for program, *arguments in commands(block):
                assert program == "tamiz-convert"
                assert main(arguments) == 0, capsys.readouterr().err
                ran.append(arguments[0])
        printed = capsys.readouterr().out or printed
    assert ran == ["compare", "recalibrate", "compare", "inspect"]
    assert (tmp_path / "comparison.html").read_text().startswith("<!DOCTYPE html>")
    assert "at most 0.05 of the accepted rows are wrong" in printed
