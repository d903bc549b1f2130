"""The documents' tables agree with the code, their links lead somewhere, and the README is short."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path

import pytest

from tamiz_convert.calibrators import METHODS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/decisions/*.md", "deploy/*.md")
    for path in ROOT.glob(pattern)
)
_LINK = re.compile(r"(?:\]\(|src=\")(?!https?:)([^)\s\"#]*)(?:#([\w-]+))?[)\"]")


@pytest.mark.parametrize("name", ["reference.md", "models.md"])
def test_the_tables_are_those_of_the_code(name):
    written = (ROOT / "docs" / name).read_text()
    filled = runpy.run_module("docs.tables")["filled"]
    assert filled(name, written) == written, "run: make docs"


def test_the_readme_is_short_and_its_picture_small():
    assert len(README.read_bytes()) <= 9_000
    assert (ROOT / "docs/report.png").stat().st_size <= 150_000


def test_the_commands_of_make_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for target in re.findall(r"^(?:\$ )?make (\w+)|`make (\w+)", document.read_text(), re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), (document, target)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document):
    for path, anchor in _LINK.findall(document.read_text()):
        target = document.parent / path if path else document
        assert target.exists(), f"{document.name} links to {path}"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{document.name} links to {path}#{anchor}"


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_on_calibration_describes_every_calibrator():
    page = (ROOT / "docs/calibration.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", page.split("## The calibrator")[1].split("## ")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == set(METHODS)


def test_no_document_speaks_of_a_file_that_is_gone():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in files.stdout.split():
        path = ROOT / name
        if (
            path.suffix in {".md", ".py", ".toml", ".yaml", ".yml"}
            and path.is_file()
            and name != "CHANGELOG.md"
        ):
            assert "DECISIONS" + ".md" not in path.read_text(), name
