"""What `tamiz-server` does: flags and environment → Config → App, or one of three small commands."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Final

from tamiz.arguments import Parser
from tamiz.standard_output import OutputError, discard, prepare, written
from tamiz_server.access.tokens import Right, entry, new_token
from tamiz_server.config.flags import parse_config
from tamiz_server.config.variables import ignored
from tamiz_server.errors import ConfigError
from tamiz_server.system.signals import Signals
from tamiz_server.system.threads import WHERE, startable, threads_needed
from tamiz_server.telemetry.log_writer import LogWriter
from tamiz_server.telemetry.logs import set_up as set_up_logs
from tamiz_server.telemetry.standard_error import taken_over

_OF_LIBRARIES: Final = {"ORT_DISABLE_TELEMETRY": "1", "GRPC_ENABLE_FORK_SUPPORT": "0"}
"""What libraries must know before they are imported. onnxruntime's own wheels report to their maker. gRPC
stops its threads before a fork and starts them again afterwards: where no thread can be started, it stays
dead. The processes that a server starts have no use for gRPC."""

_LEAVES_WITHIN_S: Final = 2.0
_LOG_ENDS_WITHIN_S: Final = 1.0
_COMPUTES: Final = "a model was still computing or being loaded"
"""Python would wait for a thread in which a model computes, however long."""
_TO_END: Final = 1
"""Threads that an orderly end needs, which asyncio starts. Without them the process ends at once."""


def run(argv: Sequence[str], signals: Signals | None) -> int:
    """Run the server until it is told to stop, or without signals a small command; return the exit status."""
    prepare()
    command = {"token": _make_token, "health": _ask_health, "label": _set_label}.get(argv[0] if argv else "")
    try:
        return command(argv[1:]) if command else _run_server(argv, signals or Signals())
    except ConfigError as error:
        return _fail(str(error))


def _run_server(argv: Sequence[str], signals: Signals) -> int:
    config = parse_config(argv, os.environ)
    _require_threads()
    os.environ.update(_OF_LIBRARIES)
    try:
        from tamiz_server.app import App  # noqa: PLC0415  to name the extra when its libraries are missing
    except ModuleNotFoundError as error:
        return _fail(f"{error.name} is not installed; the server needs: pip install 'tamiz[server]'")
    with taken_over() as real_stderr:
        log = LogWriter(real_stderr)
        set_up_logs(config.log_level, config.log_format, log, is_terminal=os.isatty(real_stderr))
        for warning in ignored(os.environ):
            logging.getLogger(__name__).warning(warning)

        async def serve() -> None:
            await App(config, signals, lambda: log.n_dropped).run()
            if startable(_TO_END) < _TO_END:
                log.close(_LOG_ENDS_WITHIN_S)
                os._exit(0)
            signals.end_within(_LEAVES_WITHIN_S, _COMPUTES)

        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve())
    log.close(_LOG_ENDS_WITHIN_S)
    return 0


def _require_threads() -> None:
    """Refuse to start where threads are short: gRPC would crash, or take connections and never answer."""
    needed = threads_needed()
    found = startable(needed)
    if found < needed:
        raise ConfigError(
            f"only {found} more threads can be started here, and a server needs {needed}: {WHERE}"
        )


def _ask_health(argv: Sequence[str]) -> int:
    """Ask the server on this machine; return 0 if it is serving."""
    from tamiz_server import health_command  # noqa: PLC0415  the server itself does not need it

    found = health_command.trouble(health_command.whom_to_ask(argv, os.environ))
    return _fail(found) if found else 0


def _set_label(argv: Sequence[str]) -> int:
    """Change a label of a model, and say what was changed."""
    from tamiz_server.label_command import label  # noqa: PLC0415  the server itself does not need it

    return _print(label(argv, os.environ))


def _make_token(argv: Sequence[str]) -> int:
    """Print a new token on standard output, and its entry for the tokens file on standard error."""
    parser = Parser(
        prog="tamiz-server token",
        description="Make a bearer token. Standard output gets the token, which goes to its bearer; standard"
        " error gets its entry for --tokens-file. For example: tamiz-server token batch --right predict"
        " > batch.token 2>> tokens.toml",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", type=_bare_key, help="name of the token, for people: letters, digits, - and _"
    )
    parser.add_argument(
        "--right",
        action="append",
        type=_right,
        metavar="RIGHT",
        required=True,
        help=f"what its bearer may do: {', '.join(Right)}; can be given several times",
    )
    arguments = parser.parse_args(argv)
    token, digest = new_token()
    status = _print(token)
    if status == 0:
        print(entry(arguments.name, digest, arguments.right), file=sys.stderr)  # noqa: T201  a command's output
    return status


def _print(text: str) -> int:
    """Write a command's output; return the exit status."""
    try:
        with written():
            print(text)  # noqa: T201  a command's output
    except BrokenPipeError:
        discard()
        return 1
    except OutputError as error:
        return _fail(str(error))
    return 0


def _right(text: str) -> Right:
    if text not in list(Right):
        raise argparse.ArgumentTypeError(f"{text!r} is not one: expected {', '.join(Right)}")
    return Right(text)


def _bare_key(text: str) -> str:
    """Return a name that TOML takes without quotes."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: expected letters, digits, - and _")
    return text


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory if it is there (not on Windows): it saves a third of an RPC's time."""
    try:
        import uvloop  # noqa: PLC0415  it may be missing
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _fail(message: str) -> int:
    print(f"tamiz-server: {message}", file=sys.stderr)  # noqa: T201  before logging is set up
    return 1
