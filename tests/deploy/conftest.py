"""The programs that check deploy/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


def find(program: str) -> str:
    """Return the path of a program of this environment, or else of the machine; fail where there is none."""
    beside = Path(sys.executable).with_name(program)
    found = str(beside) if beside.exists() else shutil.which(program)
    assert found, (
        f"{program} is not installed: pip install -c constraints.txt '.[dev]'; prometheus and promtool are"
        " Debian's prometheus"
    )
    return found


def _run(program: str, *arguments: str | Path) -> str:
    """Run a program; return its output, or fail with it."""
    done = subprocess.run(
        [find(program), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def run() -> Run:
    """`run("kubectl", "kustomize", folder)` returns what the program prints."""
    return _run
