"""How many files and connections the process may have open."""

from __future__ import annotations

import logging
import resource
from typing import Final

_log = logging.getLogger(__name__)

_OWN: Final = 512
"""Descriptors kept for everything else: bundles that are loaded, /metrics, libraries."""


def room_for_connections(wanted: int) -> int:
    """Return how many connections may be open: as many as are wanted, or as the limit on open files allows.

    The soft limit is raised as far as needed: it is low for the sake of programs that use select(), which is not used here.
    A server that has no descriptor left can neither load a model nor show its metrics.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN
    if resource.RLIM_INFINITY not in {soft, hard}:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    room = max(1, needed - _OWN)
    if room < wanted:
        _log.warning(
            "--max-connections is %d, but the process may open only %d files: at most %d connections are taken (ulimit -Hn"
            " raises the limit)",
            wanted,
            hard,
            room,
        )
    return room
