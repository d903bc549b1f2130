"""Whether threads can be started: a user's limit (ulimit -u) and a container's (pids) count each of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

_NO_THREAD: Final = "can't start new thread"
"""What Python says; it has no class of errors for it."""

_OWN: Final = 16
_OF_GRPC: Final = range(2, 17)
"""gRPC starts a thread per processor of the machine, between 2 and 16, whatever a control group allows."""

WHERE: Final = "ulimit -u raises the limit; so do --pids-limit of a container and podPidsLimit of a kubelet"


def none_is_left(error: BaseException) -> bool:
    """Return whether an error says that no thread could be started."""
    return isinstance(error, RuntimeError) and _NO_THREAD in str(error)


def threads_needed() -> int:
    """Return how many threads a server needs at least, with one fast model and without callers."""
    return _OWN + min(max(os.cpu_count() or 1, _OF_GRPC.start), _OF_GRPC.stop - 1)


def startable(wanted: int, start: Callable[[threading.Thread], None] = threading.Thread.start) -> int:
    """Return how many of so many threads can run at once. They are started, and end.

    Args:
        wanted: how many are tried.
        start: starts a thread.
    """
    may_end = threading.Event()
    threads = [threading.Thread(target=may_end.wait, daemon=True) for _ in range(wanted)]
    n_started = 0
    try:
        for thread in threads:
            start(thread)
            n_started += 1
    except RuntimeError as error:
        if not none_is_left(error):
            raise
    finally:
        may_end.set()
    for thread in threads[:n_started]:
        thread.join()
    return n_started
