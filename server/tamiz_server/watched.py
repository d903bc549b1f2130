"""Files that are read again when they have changed, because others rotate what they hold."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from tamiz_server.errors import ConfigError

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0

_T = TypeVar("_T")
_Marks = tuple[tuple[int, int, int] | None, ...]


class Watched(Generic[_T]):
    """What some files hold, read again after they have changed; nothing runs in between. Thread-safe.

    What cannot be used, such as a certificate whose key is not yet in place, changes nothing: the last good content stays,
    and the log says why.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], _T], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the files for the first time.

        Args:
            paths: of the files; symbolic links are followed, as Kubernetes rotates secrets by moving one.
            read: reads them all; raises ConfigError where they cannot be used.
            clock: seconds; the files are looked at once per second at most.

        Raises:
            ConfigError: from `read`.
        """
        self._paths = tuple(paths)
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._marks = self._look()
        self._value = read()
        self._look_at_s = clock() + _LOOK_EVERY_S

    def current(self) -> _T:
        """Return what the files hold, at most a second old."""
        if self._clock() >= self._look_at_s:
            with self._lock:
                self._renew()
        return self._value

    def _renew(self) -> None:
        self._look_at_s = self._clock() + _LOOK_EVERY_S
        marks = self._look()
        if marks == self._marks:
            return
        self._marks = marks
        try:
            self._value = self._read()
        except ConfigError as error:
            _log.error("what was read before stays in use: %s", error)
        else:
            _log.info("read again, because it has changed: %s", ", ".join(map(str, self._paths)))

    def _look(self) -> _Marks:
        """Return what tells a changed file: its number, size and time of change."""
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
