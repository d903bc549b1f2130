"""Files that belong together, and text files. `tamiz.files` writes a single file in one step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from tamiz.files import replace
from tamiz_convert.errors import ExportError


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Ignore an interruption from the keyboard while files that belong together are written."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    # An interruption between bundle and report would leave a new bundle beside an old report.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        ExportError: if that is not possible.
    """
    try:
        replace(path, text.encode())
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from error
