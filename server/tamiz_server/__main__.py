"""`tamiz-server`: from its first moment on, a signal ends it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

_SMALL = ("health", "label", "token")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop, or run `health`, `label` or `token`; return the exit status.

    The imports take most of the start. The kernel drops a signal to process 1 of a container that has no
    handler yet, and the container would go on until its grace period is over: handlers come before imports.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not (argv and argv[0] in _SMALL):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
        # The disk has yet to be looked at; and what means nothing here must not end a server.
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    from tamiz_server.command_line import run  # noqa: PLC0415  after the handlers

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
