"""Fuzz parsers, guided by coverage: `python -m tests.fuzz predict infer --seconds 600`; `make fuzz` runs it.

Each target runs in a process of its own. What it learns stays in build/fuzz/TARGET, and the next run goes on
from there. To keep a finding, mend it, and append the line that is printed to corpus/TARGET.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import sys
import tempfile
import traceback
from contextlib import ExitStack
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tamiz", "tamiz_server", "tamiz_client", "http", "jwt", "tomllib"]):
    from tests.fuzz.target import Run, corpus
    from tests.fuzz.targets import TARGETS

BUILD = Path("build/fuzz")
LIMITS = ("-max_len=4096", "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=0", "-verbosity=0")


def main() -> int:
    logging.disable()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], metavar="TARGET", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="how long each runs (default: 60)")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs each tries at most")
    arguments = parser.parse_args()
    limits = [f"-max_total_time={arguments.seconds}", f"-runs={arguments.runs}", "-seed=1"]
    return max(_run(name, limits) for name in arguments.targets or TARGETS)


def _run(name: str, limits: list[str]) -> int:
    """Run one target in a child of this process, which has imported everything; return 1 for a finding."""
    learnt = BUILD / name / "corpus"
    learnt.mkdir(parents=True, exist_ok=True)
    for data in corpus(name):
        (learnt / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    before = _findings(name)
    print(f"{name}: from {len(list(learnt.iterdir()))} inputs", flush=True)
    child = os.fork()
    if child == 0:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
            prefix = f"-artifact_prefix={BUILD / name}/"
            run = TARGETS[name].prepared(Path(folder), opened)
            atheris.Setup(["fuzz", *LIMITS, *limits, prefix, str(learnt)], _keeping(run, BUILD / name))
            atheris.Fuzz()
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for finding in sorted(_findings(name) - before):
        print(f"{name}: a finding in {finding}; for corpus/{name}.txt:\n{finding.read_bytes()!r}")
    print(f"{name}: {'ok' if code == 0 else f'FAILED ({code})'}", flush=True)
    return int(code != 0)


def _keeping(run: Run, folder: Path) -> Run:
    """Keep the input that raises, and end at once: a library's threads may hang an orderly end."""

    def kept(data: bytes) -> None:
        try:
            run(data)
        except BaseException:  # noqa: BLE001  whatever it is, it is a finding
            (folder / f"raises-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            traceback.print_exc()
            os._exit(1)

    return kept


def _findings(name: str) -> set[Path]:
    return {path for path in (BUILD / name).iterdir() if path.is_file()}


if __name__ == "__main__":
    sys.exit(main())
