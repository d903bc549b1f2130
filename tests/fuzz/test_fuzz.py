"""Parsers read any bytes, or refuse them with an error of ours. `make fuzz` goes on as long as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from tests.faults.mutations import mutated

from .target import corpus
from .targets import TARGETS

ROOT = Path(__file__).parents[2]
SEED = 11
N_MUTATED = 150


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_and_what_is_near_it_is_read_or_refused(name, tmp_path):
    inputs, random = corpus(name), Random(SEED)
    assert inputs
    with ExitStack() as opened:
        run = TARGETS[name].prepared(tmp_path, opened)
        for data in inputs:
            run(data)
        for _ in range(N_MUTATED):
            run(mutated(random, inputs)[:4096])


def test_every_corpus_has_a_target():
    assert {path.stem for path in (ROOT / "tests/fuzz/corpus").iterdir()} == set(TARGETS)


@pytest.mark.timeout(900)
def test_coverage_leads_to_no_finding(tmp_path):
    """A few hundred inputs per target, which libFuzzer chooses by what they reach."""
    pytest.importorskip("atheris", reason="has wheels for Linux only")
    command = [sys.executable, "-m", "tests.fuzz", "--runs", "200"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok\n") == len(TARGETS)
