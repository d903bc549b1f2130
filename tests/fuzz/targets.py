"""Every parser that reads bytes from outside, by the name of its target."""

from __future__ import annotations

from . import caller_targets, file_targets, serving_targets, transport_targets

TARGETS = {
    **serving_targets.TARGETS,
    **file_targets.TARGETS,
    **caller_targets.TARGETS,
    **transport_targets.TARGETS,
}
