"""What the README says is true: its tables are those of the code, and its examples run."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_tables_are_those_of_the_code():
    filled = runpy.run_path(str(ROOT / "docs/tables.py"))["filled"]
    assert filled(README) == README, "run: make docs"


def test_the_examples_run_one_after_the_other(tmp_path, start_server):
    first_export, first_request = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "at most 0.06 of the accepted rows are wrong, with confidence 0.9" in run(first_export)
    server = start_server()
    answered = run(first_request.replace("localhost:8001", server.target))
    assert re.search(r"Result\(\d+ of 569 rows accepted by tumors/1 at threshold 0\.\d+\)", answered)
    assert len(answered.splitlines()) == 6


def test_the_two_commands_are_targets_of_the_makefile():
    for target in re.findall(r"^\$ make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
