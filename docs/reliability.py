"""Writes docs/reliability.md from what the fault suite recorded (`make faults`)."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reliability.md"
PASSED = "passed.txt"
SECTIONS = (
    "Clients and connections",
    "Hostile input",
    "Overload",
    "Stop and start",
    "Repository and disk",
    "Soak",
)
_FIELDS = {"section", "fault", "times", "lost", "seen"}

Entry = Mapping[str, Any]


class PartialRecordError(Exception):
    """A record from which the page may not be written; the message says what is missing."""


def expected_tests() -> set[str]:
    """Return the ids of all tests of the fault suite.

    Raises:
        PartialRecordError: if pytest cannot collect them.
    """
    collecting = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "tests/faults"],
        cwd=ROOT,
        env=os.environ | {"TAMIZ_FAULTS": "whole"},
        capture_output=True,
        text=True,
        check=False,
    )
    tests = {line for line in collecting.stdout.splitlines() if "::" in line}
    if collecting.returncode or not tests:
        raise PartialRecordError(f"the tests cannot be collected:\n{collecting.stdout}{collecting.stderr}")
    return tests


def read_record(folder: Path, expected: Iterable[str]) -> list[Entry]:
    """Return the entries of a record, by section.

    Args:
        folder: where the suite left its entries, and the names of the tests that passed as a whole.
        expected: the ids of all its tests.

    Raises:
        PartialRecordError: if one of the tests has not passed as a whole, or an entry is not one.
    """
    passed = folder / PASSED
    done = set(passed.read_text().splitlines()) if passed.is_file() else set()
    missing = sorted(set(expected) - done)
    if missing:
        raise PartialRecordError(
            f"{folder} is not a complete record: {len(missing)} tests have not passed in it,"
            f" or only in their short form (run `make faults` to the end, as root):\n  "
            + "\n  ".join(missing)
        )
    entries = [_read_entry(path) for path in sorted(folder.glob("*.json"))]
    if not entries:
        raise PartialRecordError(f"{folder} holds no entry; run `make faults`")
    return sorted(entries, key=lambda entry: SECTIONS.index(entry["section"]))


def _read_entry(path: Path) -> Entry:
    entry = json.loads(path.read_text())
    if set(entry) != _FIELDS or entry["section"] not in SECTIONS:
        raise PartialRecordError(
            f"{path} is not an entry: expected {', '.join(sorted(_FIELDS))},"
            f" and one of the sections {', '.join(SECTIONS)}"
        )
    return entry  # type: ignore[no-any-return]


def page(entries: Iterable[Entry], date: str) -> str:
    """Return the page, as Markdown; the entries stand in the order of the sections."""
    entries = list(entries)
    lines = [_INTRODUCTION.format(lost=sum(entry["lost"] for entry in entries), made=_made(date))]
    for section in SECTIONS:
        of_section = [entry for entry in entries if entry["section"] == section]
        if of_section:
            lines += [
                f"\n## {section}\n",
                "| what was done | times | lost | what was seen |",
                "|---|--:|--:|---|",
            ]
            lines += [
                f"| {_cell(entry['fault'])} | {entry['times']:,} | {entry['lost']:,}"
                f" | {_cell(entry['seen'])} |"
                for entry in of_section
            ]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """# What the server was put through

A server is only as good as its worst day. This page says what was done to a real `tamiz-server` process,
how often, and what happened. Meanwhile well-behaved clients went on asking, and every one of their answers
was checked.

**Lost** counts their requests that got no answer or a wrong one, and versions that were no longer served
afterwards; in all: **{lost:,}**. A refusal with a clear status, when the server says that it is full or
stopping, is not a loss. After each fault the metrics must add up (every received request has ended, with
the status that its caller saw), nothing may be waiting, and memory, threads and open files must be back to
where they were.

{made}

What is marked "over h2" was done to a server with `--transport h2`, everything else to one as it comes.

`make faults` repeats all of it, in an hour on a machine that does nothing else, and renews this page.
It needs root, to cut network connections and to fill a disk. `make test` runs a few rounds of each fault."""


def _made(date: str) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("grpcio", "onnxruntime", "numpy"))
    return (
        f"Done on {date} with Tamiz {version('tamiz')}, Python {platform.python_version()}, {packages},"
        f" on a machine with {os.cpu_count()} cores ({platform.system()})."
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main(arguments: list[str], page_path: Path = PAGE) -> int:
    """Write the page from the record in the folder that is given; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: reliability.py FOLDER, where `make faults` left its record\n")
        return 2
    folder = Path(arguments[0])
    try:
        entries = read_record(folder, expected_tests())
    except PartialRecordError as error:
        sys.stderr.write(f"{page_path.name} stays as it is: {error}\n")
        return 1
    date = time.strftime("%Y-%m-%d", time.gmtime((folder / PASSED).stat().st_mtime))
    page_path.write_text(page(entries, date))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
