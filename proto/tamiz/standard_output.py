"""A command and its standard output: it may be closed, its disk may be full, and its reader may go away."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_INTERRUPTED: Final = 130

# Name in `sys`, how to open the null device in its place, and its mode. A closed standard output is opened
# for reading: then a write fails, instead of being lost without a word.
_STREAMS: Final = (
    ("stdin", os.O_RDONLY, "r"),
    ("stdout", os.O_RDONLY, "w"),
    ("stderr", os.O_WRONLY, "w"),
)


class OutputError(Exception):
    """The standard output cannot be written; the message says why."""


def prepare() -> None:
    """Open the standard streams that were closed, and let no character fail. A command calls this first.

    Python has None for a closed stream. Its number would go to the next file or connection, into which
    libraries would then write their messages.
    """
    for name, flags, mode in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, flags), mode))  # noqa: PTH123, SIM115  for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As on the standard error: under LC_ALL=POSIX and the like an arrow would end the command.
        sys.stdout.reconfigure(errors="backslashreplace")


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
