"""`tamiz-client`: ask a server from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tamiz.arguments import Parser
from tamiz.standard_output import exit_status, prepare
from tamiz.tables.errors import TableError
from tamiz.tables.options import KINDS, add_reading
from tamiz_client.errors import TamizClientError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    prepare()
    arguments = _parser().parse_args(argv)
    return exit_status("tamiz-client", lambda: _run(arguments), TamizClientError, "no output was written")


def _run(arguments: argparse.Namespace) -> int:
    try:
        from tamiz_client import commands  # noqa: PLC0415  its libraries may not be installed
    except ModuleNotFoundError as error:
        raise TamizClientError(
            f"{error.name} is not installed; the command needs: pip install 'tamiz[cli]'"
        ) from error
    try:
        return commands.run(arguments)
    except TableError as error:
        raise TamizClientError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tamiz-client", description="Ask a Tamiz server.", parents=[_server_flags()])
    parser.add_argument("--version", action="version", version=f"tamiz-client {version('tamiz')}")
    parser.set_defaults(
        server=os.environ.get("TAMIZ_SERVER", "localhost:8001"),
        timeout_s=10.0,
        tls=False,
        tls_ca=None,
        tls_certificate=None,
        tls_key=None,
        token_file=None,
    )
    server = _server_flags()  # a second time: the parser's defaults are now in the first flags, and would win
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(commands.add_parser("predict", parents=[server], help="predict the rows of a table"))
    models = commands.add_parser("models", parents=[server], help="list what is served")
    models.add_argument("--json", action="store_true", help="print name → versions as JSON")
    health = commands.add_parser(
        "health",
        parents=[server],
        help="exit with 0 if the server is serving, with 1 if it is not or does not answer,"
        " with 3 if it does not serve the model",
    )
    health.add_argument("model", nargs="?", default="", help="one model instead of the whole server")
    return parser


def _server_flags() -> Parser:
    """Return the flags that are understood before the command and after it; the parser has the defaults."""
    flags = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    flags.add_argument(
        "--server", metavar="HOST:PORT", help="the server (default: $TAMIZ_SERVER or localhost:8001)"
    )
    flags.add_argument(
        "--timeout-s", type=float, metavar="S", help="how long a call may take, in seconds (default: 10)"
    )
    flags.add_argument(
        "--tls",
        action="store_true",
        default=argparse.SUPPRESS,
        help="use TLS, and trust the authorities that gRPC trusts by default",
    )
    flags.add_argument(
        "--tls-ca", type=Path, metavar="FILE", help="use TLS, and trust the authority with this certificate"
    )
    flags.add_argument(
        "--tls-certificate", type=Path, metavar="FILE", help="the client's certificate, for mutual TLS"
    )
    flags.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="the client's private key, for mutual TLS"
    )
    flags.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the file with the bearer token (default: $TAMIZ_TOKEN, if it is set)",
    )
    return flags


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model's name")
    file = parser.add_argument(
        "file", metavar="FILE", help=f"the rows: {KINDS}, or - for CSV on standard input"
    )
    parser.add_argument("--input", action=_Instead, of=file, metavar="FILE", help="instead of the FILE above")
    add_reading(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=".parquet, .csv, or - for CSV on standard output; without it a table is shown",
    )
    parser.add_argument(
        "--version",
        type=_version,
        metavar="N",
        help="the model's version, or the label of one (default: the highest)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="a stricter threshold than the model's own, from 0 to 1"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="write the probability of every class too"
    )
    parser.add_argument(
        "--keep",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B,…",
        help="columns of the input to copy into the output",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="also write the request for the first rows into this file; a server warms up with what is in the"
        " folder warmup/ of a version",
    )
    parser.add_argument(
        "--chunk-rows", type=_positive, default=1024, metavar="N", help="rows per call (default: 1024)"
    )


class _Instead(argparse.Action):
    """A flag that is given instead of a positional argument.

    The positional cannot have nargs="?": argparse would then not find it after another flag.
    """

    def __init__(self, *arguments: Any, of: argparse.Action, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._of = of

    def __call__(self, _parser: Any, namespace: argparse.Namespace, values: Any, _option: Any = None) -> None:
        self._of.required = False
        setattr(namespace, self.dest, values)


def _version(text: str) -> int | str:
    if text.lstrip("-").isdecimal() and int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a version: expected a number from 1, or a label")
    return int(text) if text.isdecimal() else text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
