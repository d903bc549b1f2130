"""`tamiz-convert`: export, recalibrate, compare and inspect bundles from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tamiz_convert.arguments import parser

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        from tamiz_convert import commands  # noqa: PLC0415  heavy, and possibly not installed
    except ModuleNotFoundError as error:
        print(f"tamiz-convert: {error}", file=sys.stderr)  # noqa: T201  a command's message
        return 1
    except KeyboardInterrupt:  # the libraries take a moment to load
        return _interrupted()
    try:
        commands.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    except commands.ExportError as error:
        print(f"tamiz-convert: {error}", file=sys.stderr)  # noqa: T201  a command's message
        return 1
    return 0


def _interrupted() -> int:
    print("tamiz-convert: interrupted; nothing is half written", file=sys.stderr)  # noqa: T201  a command's message
    return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
