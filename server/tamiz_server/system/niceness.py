"""The priority of threads, so that the event loop goes before background work."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

NICENESS: Final = 10
"""On Linux, a thread of this niceness gets a tenth of the time of one of niceness 0 on the same core."""

T = TypeVar("T")


def give_way() -> None:
    """Lower the priority of this thread and of those that it starts from now on. Only Linux can do this."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox forbids it: the thread runs like the others
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def call_giving_way(function: Callable[[], T]) -> T:
    """Call a function in a new thread of low priority, which its threads inherit and cannot take back."""
    with ThreadPoolExecutor(1, "tamiz-load", initializer=give_way) as pool:
        return pool.submit(function).result()
