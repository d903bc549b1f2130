"""Limits how long a model computes. One thread watches all runs; onnxruntime stops those that take too long.

onnxruntime checks between two nodes, also within loops, whether to stop. It cannot stop a single node. A run
that overstays because of that is counted and written into the log, and its engine lets the model rest.

Time is counted in steps of the watching thread, not by a clock. A paused process (SIGSTOP, a suspended
machine) does not compute, and its run must not be stopped for the pause.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path
from typing import Final
from weakref import WeakSet

import onnxruntime

_log = logging.getLogger(__name__)

OVERSTAY_S: Final = 2.0
"""A run that computes for so much longer than it may is in a node that cannot be stopped."""

_STEP_S: Final = 0.25
_OVERSTAYS: Final = (
    "%s: a batch still computes %g s after its %g s were over (--max-run-s): it is in a node of the graph"
    " that takes long, and onnxruntime stops between nodes only. Until it ends, this version answers nobody;"
    " if it runs in the event loop, no other does, nor does health. If it does not end, restart the server"
    " without this version"
)


class Overstays:
    """Counts the runs of a model that overstayed. The watching thread alone changes it.

    A run knows it, and not its `RunLimit`: objects that know each other stay in memory.

    Attributes:
        n: how many there were.
    """

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class Run:
    """The options of a run; later runs use them again.

    Attributes:
        path: the file of the model.
        options: the options for onnxruntime.
        serial: odd while the run computes; each run has its own number.
        overdue: whether the run was stopped; then the options are not used again.
        max_run_s: how long it may take, in seconds; 0: no limit.
    """

    __slots__ = (
        *("__weakref__", "_overstays", "_seen", "_steps"),
        *("max_run_s", "options", "overdue", "path", "serial"),
    )

    def __init__(self, path: Path, overstays: Overstays) -> None:
        self.path = path
        self._overstays = overstays
        self.options = onnxruntime.RunOptions()
        self.serial = 0
        self.overdue = False
        self.max_run_s = 0.0
        self._seen = 0
        self._steps = 0

    def step(self) -> None:
        """Count a step of the watching thread; stop the run after too many."""
        serial = self.serial
        if not serial % 2:
            return
        if serial != self._seen:
            self._seen, self._steps = serial, 0
            return
        self._steps += 1
        if 0 < self.max_run_s <= self._steps * _STEP_S:
            # Code that ends the run from now on sees this and throws the options away. If the run has just
            # ended, they are in use for another run, and must not be touched.
            self.overdue = True
            if self.serial == serial:
                self.options.terminate = True
            if self._steps == math.ceil((self.max_run_s + OVERSTAY_S) / _STEP_S):
                self._overstays.n += 1
                _log.error(_OVERSTAYS, self.path, OVERSTAY_S, self.max_run_s)


class RunLimit:
    """Limits the runs of one model. Any thread may use it, several at once.

    Attributes:
        overstays: how many runs overstayed.
    """

    def __init__(self, path: Path) -> None:
        """Limit the runs of the model in a file."""
        self.overstays = Overstays()
        self._path = path
        self._idle: list[Run] = []

    def begin(self, max_run_s: float) -> Run:
        """Return the options for a run that begins now.

        Args:
            max_run_s: how long it may take, in seconds, accurate to a quarter of a second; 0: no limit.
        """
        try:
            run = self._idle.pop()
        except IndexError:
            run = _watched(Run(self._path, self.overstays))
        run.max_run_s = max_run_s
        run.serial += 1
        return run

    def end(self, run: Run) -> None:
        """Note that a run has ended, whether it succeeded or not."""
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
            thread = threading.Thread(target=_watch, name="tamiz-run-limit", daemon=True)
            thread.start()
            _threads.append(thread)
    return run


def _watch() -> None:
    while True:
        time.sleep(_STEP_S)
        with _lock:
            runs = list(_runs)
        for run in runs:
            run.step()
        del runs
