"""Takes standard error over: what libraries in C++ print there becomes log lines, limited like the rest."""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import re
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tamiz_server.telemetry.repeats import RepeatLimit

_log = logging.getLogger("tamiz_server.libraries")

_STANDARD_ERROR: Final = 2
_LINES_PER_SECOND: Final = 10
"""How many lines of one place in a library are logged per second; the rest are counted."""
_MOST_BYTES: Final = 65_536
_PAUSE_S: Final = 0.02
"""Between two looks at what was printed. It bounds the work: what does not fit into the pipe is lost."""
_MOST_CHARACTERS: Final = 1_000
_LOOKS_EVERY_S: Final = 0.5
"""How soon it is said that lines were held back, once nothing is printed any more."""
_LEAVES_WITHIN_S: Final = 1.0


@contextmanager
def taken_over() -> Iterator[int]:
    """Give a descriptor of the real standard error; log what is printed to descriptor 2 meanwhile.

    A caller without a token can make gRPC print hundreds of thousands of lines per second, which would break
    a log in JSON and fill disks. Whoever prints never waits: a line for which there is no room is lost. Last
    words of a process that dies (`faulthandler`) go to the real standard error, at once.
    """
    _occupy()
    real, (out, into) = os.dup(_STANDARD_ERROR), os.pipe()
    os.set_blocking(into, False)
    faulthandler.enable(real)
    os.dup2(into, _STANDARD_ERROR)
    os.close(into)
    ended = threading.Event()
    reader = threading.Thread(target=_log_all, args=(out, ended), name="tamiz-stderr", daemon=True)
    reader.start()
    try:
        yield real
    finally:
        ended.set()
        with suppress(OSError):  # a full pipe wakes the reader as well
            os.write(_STANDARD_ERROR, b"\n")
        os.dup2(real, _STANDARD_ERROR)
        reader.join(_LEAVES_WITHIN_S)


def _occupy() -> None:
    """Put the null device where a standard descriptor is closed: else a socket would get its number."""
    for descriptor in range(_STANDARD_ERROR + 1):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)


def _log_all(out: int, ended: threading.Event) -> None:
    """Log what comes out of a pipe until it ends, or until `ended` and it is empty."""
    limit = RepeatLimit(_LINES_PER_SECOND)
    rest = b""
    while True:
        # The end of the pipe does not come while a child process has the other end.
        if not select.select([out], [], [], 0.0 if ended.is_set() else _LOOKS_EVERY_S)[0]:
            _say_held_back(limit, time.monotonic())
            if ended.is_set():
                break
            continue
        printed = os.read(out, _MOST_BYTES)
        if not printed:
            break
        *lines, rest = (rest + printed).split(b"\n")
        rest = rest[-_MOST_BYTES:]
        for line in lines:
            _log_line(line, limit)
        ended.wait(_PAUSE_S)
    _log_line(rest, limit)
    _say_held_back(limit, math.inf)
    os.close(out)


def _log_line(line: bytes, limit: RepeatLimit) -> None:
    text = line.decode(errors="backslashreplace").strip()
    if not text:
        return
    _say_held_back(limit, time.monotonic())
    if limit.lets_through(_place(text), time.monotonic()):
        _log.warning("%s", text[:_MOST_CHARACTERS])


def _place(text: str) -> str:
    """Return what lines of one kind have in common: the file and line that print it, or its first letters."""
    found = re.search(r"[\w./-]+\.(?:cc|cpp|c|h|py):\d+", text)
    return found[0] if found else re.sub(r"\d+", "", text)[:40]


def _say_held_back(limit: RepeatLimit, now_s: float) -> None:
    for place, count in limit.held_back(now_s).items():
        _log.warning("%d more lines of %s in one second", count, place)
