"""`tamiz-convert`: export, recalibrate, compare and inspect bundles from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tamiz_convert.command_line.arguments import parser
from tamiz_convert.errors import ExportError

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        return _run(arguments)
    except BrokenPipeError:  # the reader has seen enough
        _discard_output()
        return 1
    except KeyboardInterrupt:
        _say("interrupted; nothing is half written")
        return _INTERRUPTED
    except ExportError as error:
        _say(str(error))
        return 1


def _run(arguments: argparse.Namespace) -> int:
    try:
        from tamiz_convert.command_line import commands  # noqa: PLC0415  heavy, and possibly not installed
    except ModuleNotFoundError as error:
        _say(f"{error.name} is not installed; exporting needs: pip install 'tamiz[convert]'")
        return 1
    try:
        commands.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:  # another file could not be opened
            raise
        _discard_output()
        _say(f"the standard output cannot be written: {error.strerror or error}")
        return 1
    return 0


def _discard_output() -> None:
    """Write what is still buffered for standard output to nowhere: Python would try again at the end, and end with 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    print(f"tamiz-convert: {message}", file=sys.stderr)  # noqa: T201  a command's message


if __name__ == "__main__":
    sys.exit(main())
