"""A request in the engine: what it asks for, and the answer that is put together for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import RequestThreshold
from tamiz_server.engine.batching import Entry, Slice
from tamiz_server.errors import TamizError
from tamiz_server.model.inputs import Inputs, Spec


class Work(NamedTuple):
    """What a request asks of the engine.

    Attributes:
        inputs: checked arrays, one per input of the model.
        n_rows: their number of rows.
        threshold: the confidence that the rows have to reach: all of it, or, where the model's thresholds differ by class or
            slice, what the request asks for besides each row's own.
        deadline_s: when the caller stops waiting, on time.monotonic's clock; infinite when never.
        wants_probabilities: whether the answer holds them.
        overrides: whether `threshold` takes the place of each row's own, where these differ.
        gives_way: whether others go first while it waits; see `batching`.
        held_back: whether it came on a stream, which sends no more than so many at a time; see `shedding`.
        n_bytes: how large the request is.
    """

    inputs: Inputs
    n_rows: int
    threshold: float
    deadline_s: float = math.inf
    wants_probabilities: bool = False
    overrides: bool = False
    gives_way: bool = False
    held_back: bool = False
    n_bytes: int = 0


@dataclass(slots=True)
class Answer:
    """The decisions on one request's rows, in columns of n_rows; `PredictResponse` says what they mean.

    Attributes:
        accepted, reasons, class_index, confidence: one entry per row; reasons are values of the contract's `Reason`.
        probabilities: blocks of (rows, n_classes), float64, together n_rows; empty unless they were asked for.
        thresholds: what each row had to reach, where the model's thresholds differ by class or slice; otherwise empty.
        queue_s: how long the request waited for its batch; in parts: as long as none of them was computed.
        compute_s: how long its batch took; in parts: as long as any of them was computed.
    """

    accepted: list[bool]
    reasons: list[Any]
    class_index: list[int]
    confidence: list[float]
    probabilities: list[NDArray[np.float64]]
    thresholds: list[float]
    queue_s: float
    compute_s: float


class Pending(Entry):
    """A request that waits for its answer.

    Attributes:
        work: what it asks for.
        future: whom to tell; None where the answer is taken from here.
        answer: the answer, once it is whole.
        parts: those to some of its rows, each with the first row that it is to.
    """

    __slots__ = ("answer", "future", "parts", "work")

    def __init__(self, work: Work, arrived_s: float, key: Any, future: asyncio.Future[Answer] | None) -> None:
        super().__init__(
            work.n_rows,
            arrived_s=arrived_s,
            deadline_s=work.deadline_s,
            key=key,
            gives_way=work.gives_way,
            held_back=work.held_back,
            n_bytes=work.n_bytes,
        )
        self.work = work
        self.future = future
        self.answer: Answer | None = None
        self.parts: list[tuple[int, Answer]] = []

    def join(self, start: int, part: Answer) -> Answer | None:
        """Take the answer to some rows, from `start` on; return that to all rows once it is whole.

        Parts that are computed side by side end in any order.
        """
        self.parts.append((start, part))
        if self.taken < self.n_rows or sum(len(each.accepted) for _, each in self.parts) < self.n_rows:
            return None
        queue_s, compute_s = _times([each for _, each in self.parts])
        self.parts.sort(key=itemgetter(0))
        (_, whole), *rest = self.parts
        whole.queue_s, whole.compute_s = queue_s, compute_s
        for _, each in rest:
            whole.accepted += each.accepted
            whole.reasons += each.reasons
            whole.class_index += each.class_index
            whole.confidence += each.confidence
            whole.probabilities += each.probabilities
            whole.thresholds += each.thresholds
        return whole

    def fail(self, error: TamizError) -> None:
        """Tell who waits, if anybody still does."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)


Batch = Sequence[Slice[Pending]]
"""Requests that are computed together, or parts of them."""


def _times(parts: Sequence[Answer]) -> tuple[float, float]:
    """Return how long none of the parts was computed, until the last one was, and how long any was.

    They add up to the end of the last one, also where parts are computed side by side.
    """
    compute_s = end_s = 0.0
    for part in sorted(parts, key=attrgetter("queue_s")):
        computed_s = part.queue_s + part.compute_s
        compute_s += max(0.0, computed_s - max(part.queue_s, end_s))
        end_s = max(end_s, computed_s)
    return end_s - compute_s, compute_s


def gathered(batch: Batch, specs: Sequence[Spec]) -> Inputs:
    """Return the rows of a batch as one array per input."""
    if len(batch) == 1:
        entry, start, stop = batch[0]
        if stop - start == entry.n_rows:
            return entry.work.inputs
        return {name: array[start:stop] for name, array in entry.work.inputs.items()}
    return {
        spec.name: np.concatenate(
            [part.entry.work.inputs[spec.name][part.start : part.stop] for part in batch]
        )
        for spec in specs
    }


def asked_thresholds(batch: Batch) -> list[float]:
    """Return each row's threshold."""
    thresholds: list[float] = []
    for entry, start, stop in batch:
        thresholds += [entry.work.threshold] * (stop - start)
    return thresholds


def raised_thresholds(batch: Batch, own: NDArray[np.float64]) -> list[float]:
    """Return each row's threshold: its own, raised (or replaced) by what its request asks for."""
    row = 0
    for entry, start, stop in batch:
        rows = slice(row, row + stop - start)
        row = rows.stop
        RequestThreshold(entry.work.threshold, entry.work.overrides).apply(own[rows])
    raised: list[float] = own.tolist()
    return raised
