"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")


def available_cpus(cgroup_v2: Path = _CGROUP_V2, cgroup_v1: Path = _CGROUP_V1) -> int:
    """Return how many processors this process may keep busy, at least 1.

    The smaller of the processors it may be scheduled on and its control group's quota, rounded up. onnxruntime counts
    the host's cores instead; in a container with a quota of 2 on a host of 64 its 64 threads are throttled.
    """
    scheduled = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(scheduled, _quota(cgroup_v2, cgroup_v1))))


def _quota(cgroup_v2: Path, cgroup_v1: Path) -> float:
    """Return the control group's quota in processors; infinite where there is none."""
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
