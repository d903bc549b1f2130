"""The demo ends with what happened and where to look, and the README shows its figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_shows_what_is_true_and_names_its_reports(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, end = done.stdout.split(" what happened ")
    assert re.search(r"digits: the server answered [\d,]+ rows and abstained on [\d,]+", end)
    for name in ("breast_cancer", "digits"):
        (report,) = re.findall(rf"open in a browser +(.*/{name}/1/report.html)", end)
        assert Path(report).is_file()
        (shown,) = re.findall(rf"^│{name} *│([^│]*│[^│]*│[^│]*│[^│]*)", done.stdout, re.MULTILINE)
        assert f"│{shown}│" in (ROOT / "README.md").read_text()
    assert "tamiz_rows_total" not in done.stdout
