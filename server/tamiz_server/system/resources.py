"""How many processors, how much memory and how many connections this process may use."""

from __future__ import annotations

import logging
import math
import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
_MEMORY_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
_OWN_DESCRIPTORS: Final = 512
"""Descriptors kept for everything else: bundles that are loaded, /metrics, libraries."""


def available_cpus(cgroup_v2: Path = _CGROUP_V2, cgroup_v1: Path = _CGROUP_V1) -> int:
    """Return how many processors this process may keep busy, at least 1.

    This is the smaller of its schedulable processors and its control group's quota, rounded up. onnxruntime
    counts the host's cores instead: in a container with a quota of 2 on a host with 64 cores, its 64 threads
    are throttled.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(scheduled, _quota(cgroup_v2, cgroup_v1))))


def _quota(cgroup_v2: Path, cgroup_v1: Path) -> float:
    """Return the control group's quota in processors; infinite if there is none."""
    try:
        quota, period = cgroup_v2.read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup_v1 / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup_v1 / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return math.inf
    if quota in {"max", "-1"}:
        return math.inf
    return int(quota) / int(period)


def available_memory_bytes(limits: tuple[Path, ...] = _MEMORY_LIMITS) -> int:
    """Return how much memory this process may use: the limit of its control group, or of the machine."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        with suppress(OSError, ValueError):  # not there, or "max"
            available = min(available, int(path.read_text()))
    return available


def resident_bytes() -> int:
    """Return how much memory this process has in use; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def room_for_connections(wanted: int) -> int:
    """Return how many connections may be open: as many as wanted, if the limit on open files allows it.

    The soft limit is raised if needed. It is only low for programs that use select(), and this one does not.
    A server without a free descriptor can neither load a model nor show its metrics.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN_DESCRIPTORS
    if resource.RLIM_INFINITY not in {soft, hard}:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    room = max(1, needed - _OWN_DESCRIPTORS)
    if room < wanted:
        _log.warning(
            "--max-connections is %d, but the process may open only %d files: at most %d connections are"
            " taken (ulimit -Hn raises the limit)",
            wanted,
            hard,
            room,
        )
    return room
