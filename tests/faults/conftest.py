"""The fault suite: what is done to a server here, how often, and what was lost.

In the ordinary test run each fault is done a few times; `make faults` does it as often as
`docs/reliability.md` says, and renews that page from what was recorded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WHOLE = os.environ.get("TAMIZ_FAULTS") == "whole"
RECORD = os.environ.get("TAMIZ_FAULTS_RECORD")

Scaled = Callable[[Any, Any], Any]
Record = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every fault the time that it takes as a whole."""
    for item in items:
        if WHOLE and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(3_600))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what passed as a whole: docs/reliability.md is renewed only if everything did."""
    if RECORD is not None and WHOLE and report.when == "call" and report.passed:
        folder = Path(RECORD)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "passed.txt").open("a") as passed:
            passed.write(f"{report.nodeid}\n")


@pytest.fixture(scope="session")
def scaled() -> Scaled:
    """`scaled(200, 100_000)`: how often something is done, in the short form and in the whole suite."""
    return lambda short, whole: whole if WHOLE else short


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record("Hostile input", "random bytes as a bundle", 100, lost=0, seen="…")`: an entry of
    docs/reliability.md.

    Call it at the end of a test, after the assertions. Arguments: the section, what was done, how often, how
    many answers, requests or served versions were lost, and what was seen instead, in one sentence. What was
    done over another transport than the default one is an entry of its own.
    """
    over = request.getfixturevalue("transport") if "transport" in request.fixturenames else "grpcio"

    def write(section: str, fault: str, times: int, *, lost: int, seen: str) -> None:
        if RECORD is None:
            return
        folder = Path(RECORD)
        folder.mkdir(parents=True, exist_ok=True)
        if over != "grpcio":
            fault = f"{fault} (over {over})"
        name = re.sub(r"\W+", "-", f"{section} {fault}".lower()).strip("-")
        entry = {"section": section, "fault": fault, "times": times, "lost": lost, "seen": seen}
        (folder / f"{name}.json").write_text(json.dumps(entry))

    return write
