"""A command's standard output, which may be full, or read by somebody who has seen enough. Both commands treat it alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class OutputError(Exception):
    """The standard output cannot be written; the message says why."""


@contextmanager
def written() -> Iterator[None]:
    """See to it that what a block writes to standard output is written at its end.

    Raises:
        OutputError: if it cannot be written.
        BrokenPipeError: if nobody reads it any more.
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
    """Write what is still buffered to nowhere: Python would try again at its end, and end with status 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
