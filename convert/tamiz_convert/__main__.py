"""`tamiz-convert`: export, recalibrate, compare and inspect bundles from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tamiz.standard_output import OutputError, discard, prepare, written
from tamiz_convert.command_line.arguments import parser
from tamiz_convert.errors import ExportError

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    prepare()
    arguments = parser().parse_args(argv)
    try:
        return _run(arguments)
    except BrokenPipeError:  # the reader has seen enough
        discard()
        return 1
    except KeyboardInterrupt:
        _say("interrupted; nothing is half written")
        return _INTERRUPTED
    except (ExportError, OutputError) as error:
        _say(str(error))
        return 1


def _run(arguments: argparse.Namespace) -> int:
    try:
        from tamiz_convert.command_line import commands  # noqa: PLC0415  heavy, and possibly not installed
    except ModuleNotFoundError as error:
        _say(f"{error.name} is not installed; exporting needs: pip install 'tamiz[convert]'")
        return 1
    with written():
        commands.run(arguments)
    return 0


def _say(message: str) -> None:
    print(f"tamiz-convert: {message}", file=sys.stderr)  # noqa: T201  a command's message


if __name__ == "__main__":
    sys.exit(main())
