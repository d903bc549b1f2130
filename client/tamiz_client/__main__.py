"""`tamiz-client`: ask a server from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tamiz.standard_output import OutputError, discard, written
from tamiz_client.errors import TamizClientError

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        from tamiz_client import commands  # noqa: PLC0415  its libraries may not be installed
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed; the command needs: pip install 'tamiz[cli]'")
    except KeyboardInterrupt:  # the libraries take a moment to load
        return _interrupted()
    try:
        with written():
            status = commands.run(arguments)
    except BrokenPipeError:  # the reader has seen enough
        discard()
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    except (TamizClientError, OutputError) as error:
        return _fail(str(error))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tamiz-client", description="Ask a Tamiz server.")
    parser.add_argument("--version", action="version", version=f"tamiz-client {version('tamiz')}")
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--server",
        default=os.environ.get("TAMIZ_SERVER", "localhost:8001"),
        metavar="HOST:PORT",
        help="the server (default: $TAMIZ_SERVER or localhost:8001)",
    )
    server.add_argument("--timeout-s", type=float, default=10.0, metavar="S", help="per call (default: 10)")
    server.add_argument("--tls", action="store_true", help="use TLS, with the system's authorities")
    server.add_argument(
        "--tls-ca", type=Path, metavar="FILE", help="use TLS, with this authority's certificate"
    )
    server.add_argument(
        "--tls-certificate", type=Path, metavar="FILE", help="the client's certificate, for mutual TLS"
    )
    server.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key")
    server.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the bearer token is in this file (default: it is in $TAMIZ_TOKEN, or there is none)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_predict(commands.add_parser("predict", parents=[server], help="predict the rows of a table"))
    models = commands.add_parser("models", parents=[server], help="list what is served")
    models.add_argument("--json", action="store_true", help="name → versions, as JSON")
    health = commands.add_parser(
        "health", parents=[server], help="exit with 0 if the server is serving, else 1"
    )
    health.add_argument("model", nargs="?", default="", help="one model instead of the whole server")
    return parser


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="the model's name")
    parser.add_argument(
        "--input", required=True, metavar="FILE", help=".parquet, .csv, or - for CSV on standard input"
    )
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
        "--threshold", type=float, metavar="T", help="a stricter threshold than the model's own"
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="write the probability of every class too"
    )
    parser.add_argument(
        "--keep",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B,…",
        help="columns of the input to copy",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="also write the request for the first chunk here, as it is sent: for <version>/warmup/ of a server",
    )
    parser.add_argument(
        "--chunk-rows", type=_positive, default=1024, metavar="N", help="rows per call (default: 1024)"
    )


def _version(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return number


def _interrupted() -> int:
    _fail("interrupted; no output was written")
    return _INTERRUPTED


def _fail(message: str) -> int:
    print(f"tamiz-client: {message}", file=sys.stderr)  # noqa: T201  a command's message
    return 1


if __name__ == "__main__":
    sys.exit(main())
