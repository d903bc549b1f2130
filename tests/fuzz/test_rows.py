"""Rows of extreme values end no process, and are answered only as certificates allow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .families import export_all

ROOT = Path(__file__).parents[2]


def test_rows_of_extreme_values_are_decided_or_refused_by_every_family(tmp_path):
    export_all(tmp_path, heavy=False)
    command = [sys.executable, "-m", "tests.fuzz.rows", str(tmp_path), "--rounds", "15"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    last = (tmp_path / "last.txt").read_text()
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}\nlast: {last[:2_000]}"
    seen = json.loads(done.stdout)
    assert seen.keys() == {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert all(counts["accepted"] and counts["abstained"] for counts in seen.values()), seen
    assert seen["foreign"]["refused"]  # identifiers beyond the end of its table
