"""Files that are read again when they change, because others rotate their content."""

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
_Mark = tuple[int, int, int, int]
_Marks = tuple[_Mark | None, ...]


class Watched(Generic[_T]):
    """The content of some files, read again when they have changed. No thread or timer is used. Thread-safe.

    If the content cannot be used (a certificate whose key is not yet in place), the last good content stays
    in use, the log says why, and the files are tried again at every look.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], _T], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the files for the first time.

        Args:
            paths: of the files. Symbolic links are followed: Kubernetes rotates secrets by moving a link.
            read: reads them all; raises ConfigError if they cannot be used. Any other exception is turned
                into one.
            clock: in seconds; the files are checked at most once per second.

        Raises:
            ConfigError: if the files cannot be used.
        """
        self._paths = tuple(paths)
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._marks = self._look()
        self._value = self._attempt()
        self._has_failed = False
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
        has_changed = marks != self._marks
        if not (has_changed or self._has_failed):
            return
        self._marks = marks
        try:
            self._value = self._attempt()
        except ConfigError as error:
            self._has_failed = True
            if has_changed:
                _log.error("a watched file cannot be used; what was read before stays in use: %s", error)
        else:
            self._has_failed = False
            _log.info("%s has changed and was read again", self._names())

    def _attempt(self) -> _T:
        try:
            return self._read()
        except ConfigError:
            raise
        except Exception as error:  # no error of a reader may end a call or the server
            # Only the kind of the error is named: its text may quote a secret.
            raise ConfigError(f"{self._names()} cannot be used ({type(error).__name__})") from error

    def _names(self) -> str:
        return ", ".join(map(str, self._paths))

    def _look(self) -> _Marks:
        """Return what shows that a file has changed: its inode, size and times of change.

        The time of the last status change (ctime) also moves with owner and permissions, and cannot be set
        back.
        """
        return tuple(_mark(path) for path in self._paths)


def _mark(path: Path) -> _Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
