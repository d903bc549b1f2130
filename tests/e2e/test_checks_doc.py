"""What docs/checks.md says is true: its example runs, passes, and has every section and every transform."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tamiz_convert.checks.runner import _SECTIONS
from tamiz_convert.checks.transforms import _TRANSFORMS

DOCUMENT = (Path(__file__).parents[2] / "docs/checks.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_the_example_runs_and_passes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (specification,) = blocks("yaml")
    (tmp_path / "release.yaml").write_text(specification)
    scope = {"__name__": "__main__"}
    for block in blocks("python"):
        exec(compile(block, "docs/checks.md", "exec"), scope)
    results = scope["report"].checks
    assert [each for each in results if each.status != "passed"] == []
    assert {each.kind for each in results} == set(_SECTIONS)
    assert "passed | slices | accuracy, region = north" in capsys.readouterr().out


def test_every_section_and_every_transform_is_described():
    (specification,) = blocks("yaml")
    assert set(yaml.safe_load(specification)) == {"version", "alpha", "on_inconclusive", *_SECTIONS}
    table = DOCUMENT.split("## Transforms")[1].split("## ")[0]
    assert set(_TRANSFORMS) <= set(re.findall(r"`(\w+)`", table))
