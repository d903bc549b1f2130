"""A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LEFTOVER_AFTER_S: Final = 600.0


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Let files that belong together be written together: an interruption from the keyboard comes too late for them."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def replace(path: Path, content: bytes) -> None:
    """Put a file in place in one step: either the old content is there or the new one, never a part."""
    for leftover in path.parent.glob(f".{path.name}.*"):  # of a process that was killed while it wrote
        if time.time() - leftover.stat().st_mtime > _LEFTOVER_AFTER_S:
            leftover.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)  # the new name has to reach the disk as well
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
