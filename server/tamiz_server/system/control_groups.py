"""The limits of this process's control groups (cgroups), of versions 1 and 2.

A limit holds for the group that has it and for all groups below, so the least limit from the own group up to
the root counts: a slice of systemd, a pod, a job of Slurm. `/proc/self/mountinfo` says where the trees are
mounted, `/proc/self/cgroup` which group is the own one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

_PROC: Final = Path("/proc/self")
_V2: Final = ""
"""How `/proc/self/cgroup` names the one tree of version 2, where others have the names of controllers."""


def cpu_limit(proc: Path = _PROC) -> float:
    """Return how many processors' time the groups allow; infinite if they do not say.

    Args:
        proc: the folder of the process in `/proc`.
    """
    return _least(proc, "cpu", _cpus)


def memory_limit_bytes(proc: Path = _PROC) -> float:
    """Return how much memory the groups allow; infinite if they do not say. `proc`: as for `cpu_limit`."""
    return _least(proc, "memory", _memory_bytes)


def _least(proc: Path, controller: str, limit: Callable[[Path], float]) -> float:
    found = math.inf
    for folder in _groups(proc, controller):
        with suppress(OSError, ValueError, ZeroDivisionError):  # not there, or without a limit, such as "max"
            found = min(found, limit(folder))
    return found


def _cpus(folder: Path) -> float:
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
    else:
        quota, period = ((folder / f"cpu.cfs_{each}_us").read_text() for each in ("quota", "period"))
    return int(quota) / int(period) if int(quota) > 0 else math.inf


def _memory_bytes(folder: Path) -> float:
    is_v2 = (folder / "memory.max").exists()
    return int((folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")).read_text())


def _groups(proc: Path, controller: str) -> Iterator[Path]:
    """Return the folders of the own groups and of all above them, as far as they are mounted here."""
    own = _own_groups(proc)
    for controllers, root, mounted_at in _mounts(proc):
        name = next((each for each in (controller, _V2) if each in controllers and each in own), None)
        if name is None:
            continue
        yield mounted_at
        # In a namespace the own group may lie outside of what is mounted: "/../other".
        if own[name].is_relative_to(root) and ".." not in own[name].parts:
            folder = mounted_at
            for part in own[name].relative_to(root).parts:
                folder /= part
                yield folder


def _own_groups(proc: Path) -> dict[str, PurePosixPath]:
    """Return the path of the own group in the tree of each controller; lines are "4:cpu,cpuacct:/a/b"."""
    lines = (line.split(":", 2) for line in _lines(proc / "cgroup") if line.count(":") > 1)
    return {name: PurePosixPath(path) for _, names, path in lines for name in names.split(",")}


def _mounts(proc: Path) -> Iterator[tuple[list[str], PurePosixPath, Path]]:
    """Return, for each tree that is mounted, its controllers, the group that is its root, and where it is.

    See proc(5): "31 23 0:28 /root /mounted/at rw,relatime shared:1 - cgroup cgroup rw,cpu,cpuacct".
    """
    for line in _lines(proc / "mountinfo"):
        mount, _, system = line.partition(" - ")
        if system.startswith("cgroup"):
            root, mounted_at = map(_unescaped, mount.split(" ")[3:5])
            names = [_V2] if system.startswith("cgroup2 ") else system.split(" ")[-1].split(",")
            yield names, PurePosixPath(root), Path(mounted_at)


def _unescaped(path: str) -> str:
    r"""Return a path without the kernel's escapes, such as \040 for a blank."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
