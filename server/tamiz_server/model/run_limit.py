"""How long a model may compute. One thread for all models watches what runs, and has onnxruntime stop what runs too long.

onnxruntime looks between two nodes whether it shall stop, also within loops; one node that never ends is not stopped.

Time is counted in the watching thread's own steps and not by a clock: a process that was paused (SIGSTOP, a suspended
machine) has not computed meanwhile, and what it was at is not stopped for that.
"""

from __future__ import annotations

import threading
import time
from typing import Final
from weakref import WeakSet

import onnxruntime

_STEP_S: Final = 0.25


class Run:
    """The options of a run, used again by later ones.

    Attributes:
        options: to be given to onnxruntime.
        serial: odd while it computes; every run has its own.
        overdue: whether it was stopped; such options are not used again.
        max_run_s: how long it may take, in seconds; 0 for as long as it takes.
    """

    __slots__ = ("__weakref__", "_seen", "_steps", "max_run_s", "options", "overdue", "serial")

    def __init__(self) -> None:
        self.options = onnxruntime.RunOptions()
        self.serial = 0
        self.overdue = False
        self.max_run_s = 0.0
        self._seen = 0
        self._steps = 0

    def step(self) -> None:
        """Count a step of the watching thread; stop the run if it has seen too many."""
        serial = self.serial
        if not serial % 2:
            return
        if serial != self._seen:
            self._seen, self._steps = serial, 0
            return
        self._steps += 1
        if 0 < self.max_run_s <= self._steps * _STEP_S:
            # Whoever ends the run from now on sees this and throws the options away. If it ended just before, they are in
            # use for another run, and must not be touched.
            self.overdue = True
            if self.serial == serial:
                self.options.terminate = True


class RunLimit:
    """Limits the runs of one model; from any thread, several at once."""

    def __init__(self) -> None:
        self._idle: list[Run] = []

    def begin(self, max_run_s: float) -> Run:
        """Return the options of a run that begins now.

        Args:
            max_run_s: how long it may take, in seconds, kept to within a quarter of a second; 0 for no limit.
        """
        try:
            run = self._idle.pop()
        except IndexError:
            run = _watched(Run())
        run.max_run_s = max_run_s
        run.serial += 1
        return run

    def end(self, run: Run) -> None:
        """Say that it has ended, however."""
        run.serial += 1  # before `overdue` is read; see `Run.step`
        if not run.overdue:
            self._idle.append(run)


_runs: Final[WeakSet[Run]] = WeakSet()
_lock: Final = threading.Lock()
_threads: Final[list[threading.Thread]] = []


def _watched(run: Run) -> Run:
    with _lock:
        _runs.add(run)
        if not _threads:
            _threads.append(threading.Thread(target=_watch, name="tamiz-run-limit", daemon=True))
            _threads[0].start()
    return run


def _watch() -> None:
    while True:
        time.sleep(_STEP_S)
        with _lock:
            runs = list(_runs)
        for run in runs:
            run.step()
        del runs
