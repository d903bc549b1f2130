"""A command's standard output: the disk behind it may be full, and its reader may go away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class OutputError(Exception):
    """The standard output cannot be written; the message says why."""


@contextmanager
def written() -> Iterator[None]:
    """Make sure that what a block prints has been written when the block ends.

    Raises:
        OutputError: if it cannot be written.
        BrokenPipeError: if nobody reads it any longer.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:  # another file could not be opened
            raise
        discard()
        raise OutputError(f"the standard output cannot be written: {error.strerror or error}") from error


def discard() -> None:
    """Throw away what is still buffered. Python would try again at exit, and end with status 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
