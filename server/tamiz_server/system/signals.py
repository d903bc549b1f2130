"""Waits for signals in a thread of its own: the process ends in time, whatever the event loop does.

A handler of Python or of an event loop runs between two steps of the main thread. A model that computes there
for minutes, in a node that cannot be stopped, would hold back SIGTERM for as long.

This is imported before anything else, and until then signals are lost to process 1: it imports little itself.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable

_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})
_HANDLED = _STOPPING | {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


class Signals:
    """The signals SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 of this process, and the time of its end.

    Until somebody takes them, SIGTERM and SIGINT end the process at once, and the others do nothing.
    """

    def __init__(self) -> None:
        """Begin, before any other thread is started: one that does not block signals would get them.

        Both threads are started now, because later there may be no room for any.
        """
        self._take: Callable[[signal.Signals], None] = _end_at_once
        self._changed = threading.Condition()
        self._end_s = math.inf
        self._why = ""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            for target in (self._keep_time, self._wait):
                threading.Thread(target=target, name="tamiz-signals", daemon=True).start()
        except RuntimeError:  # no thread can be started: a signal ends the process, as always
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)

    def give_to(self, take: Callable[[signal.Signals], None]) -> None:
        """Have a function called for each signal, in the thread that waits for them."""
        self._take = take

    def end_within(self, seconds: float, why: str) -> None:
        """End the process after a time if it has not ended by then, and log why. The last call counts."""
        with self._changed:
            self._end_s, self._why = time.monotonic() + seconds, why
            self._changed.notify()

    def _keep_time(self) -> None:
        with self._changed:
            while (rest_s := self._end_s - time.monotonic()) > 0.0:
                self._changed.wait(min(rest_s, threading.TIMEOUT_MAX))
        import logging  # noqa: PLC0415  it takes long to import

        logging.getLogger(__name__).warning("%s; the process ends without waiting for it", self._why)
        logging.shutdown()
        os._exit(0)

    def _wait(self) -> None:
        while True:
            number = signal.Signals(signal.sigwait(_HANDLED))
            self._take(number)  # looked up now: it may have changed meanwhile


def _end_at_once(number: signal.Signals) -> None:
    if number in _STOPPING:
        os._exit(0)
