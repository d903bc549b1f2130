"""The place of a thread in the system's order: who computes in the background lets the event loop go first."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

NICENESS: Final = 10
"""On Linux a thread of this niceness gets a tenth of the time of one of niceness 0 where both want the same core."""

T = TypeVar("T")


def give_way() -> None:
    """Let this thread, and those that it starts from now on, run after others. Only Linux knows it by thread."""
    if sys.platform == "linux":
        with suppress(OSError):  # forbidden by a sandbox: it then runs like the others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def call_giving_way(function: Callable[[], T]) -> T:
    """Call a function in a thread that gives way: threads that it starts inherit this, and nobody could take it back."""
    with ThreadPoolExecutor(1, "tamiz-load", initializer=give_way) as pool:
        return pool.submit(function).result()
