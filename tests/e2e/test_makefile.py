"""`make` on a bare machine says in one line what is missing, and installs no more than it needs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.programs import needs

ROOT = Path(__file__).parents[2]


def make(tmp_path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", f"VENV={tmp_path / 'venv'}", *arguments],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@needs("make")
def test_without_the_venv_module_it_says_in_one_line_what_to_install(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError")  # as on a bare Debian
    done = make(tmp_path, "demo", PYTHONPATH=str(tmp_path))
    said, *rest = done.stderr.splitlines()
    assert said.endswith("cannot create virtual environments. On Debian or Ubuntu: apt install python3-venv")
    assert [line[:5] for line in rest] == ["make:"]
    assert done.returncode == 2
    assert not (tmp_path / "venv").exists()


@needs("make")
def test_manifests_need_no_training_library(tmp_path):
    planned = make(tmp_path, "--dry-run", "manifests").stdout
    assert "'.[deploy]'" in planned
    assert "'.[dev]'" not in planned
