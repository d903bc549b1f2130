"""`tamiz-convert`: export, recalibrate, compare and inspect bundles from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tamiz.standard_output import exit_status, prepare
from tamiz_convert.command_line import keys
from tamiz_convert.command_line.arguments import parser
from tamiz_convert.errors import ExportError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    prepare()
    arguments = parser().parse_args(argv)
    return exit_status("tamiz-convert", lambda: _run(arguments), ExportError, "nothing is half written")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command in keys.COMMANDS:
        keys.COMMANDS[arguments.command](arguments)
        return 0
    try:
        from tamiz_convert.command_line import commands  # noqa: PLC0415  heavy, and possibly not installed
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error.name} is not installed; exporting needs: pip install 'tamiz[convert]'"
        ) from error
    commands.run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
