"""`tamiz-server`: from its first moment on, a signal ends it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tamiz_server.system.signals import Signals

_SMALL = ("health", "label", "token")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop, or run `health`, `label` or `token`; return the exit status.

    The imports take most of the start. The kernel drops a signal to process 1 of a container that nobody
    waits for, and the container would go on until its grace period is over: signals come before imports.
    """
    argv = sys.argv[1:] if argv is None else argv
    signals = None if argv and argv[0] in _SMALL else Signals()
    from tamiz_server.command_line import run  # noqa: PLC0415  after the signals

    return run(argv, signals)


if __name__ == "__main__":
    sys.exit(main())
