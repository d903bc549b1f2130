"""A command, and its standard output: the disk behind it may be full, and its reader may go away."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_INTERRUPTED: Final = 130


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


def exit_status(program: str, command: Callable[[], int], known: type[Exception], interrupted: str) -> int:
    """Run a command; say on standard error what went wrong, and return the exit status.

    Args:
        program: its name.
        command: does the work and returns the status.
        known: the errors whose message is for people.
        interrupted: what an interruption means for what was to be written.
    """
    try:
        with written():
            return command()
    except BrokenPipeError:  # the reader has seen enough
        discard()
    except KeyboardInterrupt:
        print(f"{program}: interrupted; {interrupted}", file=sys.stderr)  # noqa: T201  a command's message
        return _INTERRUPTED
    except (known, OutputError) as error:
        print(f"{program}: {error}", file=sys.stderr)  # noqa: T201  a command's message
    return 1
