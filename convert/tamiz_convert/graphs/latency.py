"""How long onnxruntime takes for a batch. Graphs take turns, so noise on the machine affects all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np

from tamiz_convert.graphs.runner import Feed, Runner

LATENCY_BATCH_SIZES: Final = (1, 64)

_WARM_UP: Final = 20
_ROUNDS: Final = 100
_AT_LEAST: Final = 3
_BUDGET_S: Final = 1.0


def median_us(runners: Sequence[Runner], feeds: Sequence[Feed]) -> list[float]:
    """Return the median time of one run of each graph, in microseconds.

    Args:
        runners: graphs in onnxruntime, with one thread each.
        feeds: one batch per graph: input name → (batch_size, …).

    Returns:
        One median per graph, of a hundred runs, or as many as fit into a second (at least three).
    """
    times: list[list[float]] = [[] for _ in runners]
    end_s = time.perf_counter() + _BUDGET_S
    for turn in range(_WARM_UP + _ROUNDS):
        if turn >= _AT_LEAST and time.perf_counter() > end_s:
            break
        for each, runner, feed in zip(times, runners, feeds, strict=True):
            each.append(_timed(runner, feed))
    return [1e6 * median(each[_WARM_UP:] or each) for each in times]


def repeated(feed: Feed, batch_size: int) -> Feed:
    """Return one batch of `batch_size` rows; rows repeat if there are too few."""
    return {name: array[np.arange(batch_size) % len(array)] for name, array in feed.items()}


def _timed(runner: Runner, feed: Feed) -> float:
    started = time.perf_counter()
    runner.run_once(feed)
    return time.perf_counter() - started
