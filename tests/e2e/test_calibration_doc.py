"""What docs/calibration.md shows runs, and says what the document says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tamiz_convert import read_manifest
from tamiz_convert.metrics.binomial import fewest_rows

TEXT = (Path(__file__).parents[2] / "docs/calibration.md").read_text()


def test_the_worked_example_runs(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "at most 0.02 of the accepted rows are wrong, with confidence 0.9" in done.stdout
    assert "cannot prove an error of at most 0.001" in done.stdout
    chosen = read_manifest(tmp_path / "models/digits/1")
    assert sum(candidate.chosen for candidate in chosen.calibrator.candidates) == 1
    assert (tmp_path / "models/digits/1/report.html").exists()
    assert not (tmp_path / "models/digits/2").exists()
    assert len(read_manifest(tmp_path / "models/digits/3").threshold.subsets) == 10


def test_the_rows_without_an_error_are_those_that_prove_it():
    (said,) = re.findall(
        r"takes (\d+) accepted rows to prove an error of 10 % with confidence 90 %, (\d+) for 5 %, (\d+) for\s2 %, (\d+) for 1 %",
        TEXT,
    )
    assert [int(n) for n in said] == [fewest_rows(error, 0.1) for error in (0.1, 0.05, 0.02, 0.01)]
