"""Writes log lines in a thread of its own: whoever logs never waits for whoever reads the log."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Final

_MOST_LINES: Final = 10_000
"""How many lines may wait: some megabytes. More are dropped, the newest first."""


class LogWriter:
    """Writes lines to a file descriptor, in their order.

    A pipe that nobody reads blocks its writer: nothing but this thread then waits. Lines that cannot be
    written are dropped and counted.

    Attributes:
        n_dropped: how many lines were dropped so far.
    """

    def __init__(self, descriptor: int, most_lines: int = _MOST_LINES) -> None:
        self.n_dropped = 0
        self._descriptor = descriptor
        self._most_lines = most_lines
        self._lines: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._n_unwritten = 0
        """Lines that wait, and the one that is being written."""
        self._ends = False
        # A daemon, because Python waits for other threads at its end.
        self._thread = threading.Thread(target=self._write_all, name="tamiz-log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written. Never waits, and never fails."""
        with self._changed:
            if self._ends or len(self._lines) >= self._most_lines:
                self.n_dropped += 1
                return
            self._lines.append(line.encode(errors="backslashreplace") + b"\n")
            self._n_unwritten += 1
            self._changed.notify_all()

    def flush(self, within_s: float) -> None:
        """Wait until all lines are written, or dropped, for this time at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._ends or not self._n_unwritten, within_s)

    def close(self, within_s: float) -> None:
        """Write what waits, for this time at most; later lines are dropped."""
        self.flush(within_s)
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        self._thread.join(max(0.0, 0.1 if self._n_unwritten else within_s))

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._ends)
                if not self._lines:
                    return
                line = self._lines.popleft()
            is_written = self._write(line)
            with self._changed:
                self.n_dropped += not is_written
                self._n_unwritten -= 1
                self._changed.notify_all()

    def _write(self, line: bytes) -> bool:
        """Return whether the whole line was written; it is not where the reader is gone."""
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:  # whoever gave us the descriptor made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                time.sleep(0)  # a closed descriptor fails at once: let others run
                return False
        return True
