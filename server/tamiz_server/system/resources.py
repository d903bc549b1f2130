"""How many processors, how much memory and how many connections this process may use."""

from __future__ import annotations

import logging
import math
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tamiz_server.system.control_groups import cpu_limit, memory_limit_bytes

_log = logging.getLogger(__name__)

_OWN_DESCRIPTORS: Final = 512
"""Descriptors kept for everything else: bundles that are loaded, /metrics, libraries."""


def available_cpus(limit: Callable[[], float] = cpu_limit) -> int:
    """Return how many processors this process may keep busy, at least 1.

    This is the smaller of its schedulable processors and its control groups' quota, rounded up. onnxruntime
    counts the host's cores instead: in a container with a quota of 2 on a host with 64 cores, its 64 threads
    are throttled.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(scheduled, limit())))


def available_memory_bytes() -> int:
    """Return how much memory this process may use: the limit of its control groups, or of the machine."""
    return int(min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), memory_limit_bytes()))


def resident_bytes() -> int:
    """Return how much memory this process has in use; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def room_for_connections(wanted: int, n_sockets: int = 1) -> int:
    """Return how many connections may be open on each of some listening sockets.

    They are as many as wanted, if the limit on open files allows that for all of them.

    The soft limit is raised if needed. It is only low for programs that use select(), and this one does not.
    A server without a free descriptor can neither load a model nor show its metrics.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = n_sockets * wanted + _OWN_DESCRIPTORS
    if resource.RLIM_INFINITY not in {soft, hard}:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    room = max(1, (needed - _OWN_DESCRIPTORS) // n_sockets)
    if room < wanted:
        _log.warning(
            "--max-connections is %d, but the process may open only %d files: at most %d connections are"
            " taken on a port (ulimit -Hn raises the limit)",
            wanted,
            hard,
            room,
        )
    return room
