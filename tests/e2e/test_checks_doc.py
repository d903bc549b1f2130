"""What docs/checks.md says is true: its example has every section, and its table every transform."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tamiz_convert.checks.runner import _SECTIONS
from tamiz_convert.checks.transforms import _TRANSFORMS

DOCUMENT = (Path(__file__).parents[2] / "docs/checks.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_every_section_and_every_transform_is_described():
    (specification,) = blocks("yaml")
    assert set(yaml.safe_load(specification)) == {
        *("version", "alpha", "on_inconclusive", "files", "rules"),
        *_SECTIONS,
    }
    table = DOCUMENT.split("## Transforms")[1].split("## ")[0]
    assert set(_TRANSFORMS) <= set(re.findall(r"`(\w+)`", table))
