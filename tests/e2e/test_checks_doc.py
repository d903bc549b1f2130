"""What docs/checks.md says is true: its example runs, passes, and has every section and every transform."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml

from tamiz_convert.__main__ import main
from tamiz_convert.checks.runner import _SECTIONS
from tamiz_convert.checks.transforms import _TRANSFORMS

DOCUMENT = (Path(__file__).parents[2] / "docs/checks.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def commands(block):
    """Return the arguments of every command in a console block; a backslash joins lines."""
    return [shlex.split(line) for line in re.findall(r"^\$ (.*)$", block.replace("\\\n", ""), re.MULTILINE)]


def test_the_example_runs_and_passes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (specification,) = blocks("yaml")
    (tmp_path / "release.yaml").write_text(specification)
    scope = {"__name__": "__main__"}
    for block in blocks("python"):
        exec(compile(block, "docs/checks.md", "exec"), scope)
    results = scope["report"].checks
    assert [each for each in (*results, *scope["results"]) if each.status != "passed"] == []
    assert {each.kind for each in results} == set(_SECTIONS)
    (shown,) = blocks("text")
    assert shown in capsys.readouterr().out
    (console,) = blocks("console")
    for program, *arguments in commands(console):
        assert program == "tamiz-convert"
        assert main(arguments) == 0, capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} >= {"junit.xml", "checks.json"}


def test_every_section_and_every_transform_is_described():
    (specification,) = blocks("yaml")
    assert set(yaml.safe_load(specification)) == {"version", "alpha", "on_inconclusive", *_SECTIONS}
    table = DOCUMENT.split("## Transforms")[1].split("## ")[0]
    assert set(_TRANSFORMS) <= set(re.findall(r"`(\w+)`", table))
