"""A request for predictions on its way through the engine, and its answer."""

from __future__ import annotations

import asyncio
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import RequestThreshold
from tamiz_server.errors import InvalidRequest, TamizError
from tamiz_server.model.inputs import Inputs


@dataclass(slots=True)
class Answer:
    """The decisions on one request's rows, in columns of n_rows; `PredictResponse` says what they mean.

    Attributes:
        accepted, class_index, confidence: one entry per row.
        reasons: one value of the contract's `Reason` per row.
        probabilities: blocks of (rows, n_classes), float64, together n_rows; empty unless the request wants
            them.
        threshold: what all rows had to reach, unless `thresholds` says it row by row.
        thresholds: what each row had to reach, if the model's thresholds differ by class or slice; otherwise
            empty.
        has_promise: whether the certificate's promise holds at `threshold`; if thresholds differ, whether
            there is any promise.
        rows_certified: whether the promise holds at each row's threshold, if thresholds differ; otherwise
            empty.
        queue_s: how long the request waited for its batch. For a request in parts: how long none was
            computed.
        compute_s: how long its batch took. For a request in parts: how long any was computed.
    """

    accepted: list[bool]
    reasons: list[Any]
    class_index: list[int]
    confidence: list[float]
    probabilities: list[NDArray[np.float64]]
    threshold: float
    thresholds: list[float]
    has_promise: bool
    rows_certified: list[bool]
    queue_s: float
    compute_s: float

    @property
    def certified(self) -> bool:
        """Whether the certificate's promise holds for all accepted rows."""
        if not self.has_promise or not self.rows_certified:
            return self.has_promise
        return all(map(operator.le, self.accepted, self.rows_certified))


class Request:
    """One request for predictions: what its protocol read, where it stands in the engine, and its answer.

    It makes its way once. Ask the same again with a new one.

    Attributes:
        inputs: checked arrays, one per input of the model.
        n_rows: how many rows they have.
        wanted: the smallest confidence that the caller accepts; None if it does not say.
        deadline_s: when the caller stops waiting, on time.monotonic's clock; infinite for never.
        wants_probabilities: whether the answer holds them.
        low_priority: whether others go first while it waits; see `batching`.
        held_back: whether its caller sends only so many requests at a time, and waits for answers (streams,
            low priority). Such a request is not refused for the time that it would wait; see `shedding`.
        n_bytes: how much memory it takes.
        threshold: what its rows have to reach. The engine decides it when the request comes.
        arrived_s: when it came, on the same clock.
        key: requests share a batch only if their keys are equal. It holds the shapes, if the model has
            dynamic dimensions.
        taken: how many of its rows have been put into batches.
        dropped: whether it left the queue unserved (expired or cancelled).
        future: whoever waits for the answer; None if the engine computes it at once.
        answer: the answer, once it is whole.
    """

    __slots__ = (
        "_parts",
        "answer",
        "arrived_s",
        "deadline_s",
        "dropped",
        "future",
        "held_back",
        "inputs",
        "key",
        "low_priority",
        "n_bytes",
        "n_rows",
        "taken",
        "threshold",
        "wanted",
        "wants_probabilities",
    )

    def __init__(
        self,
        inputs: Inputs,
        n_rows: int,
        *,
        wanted: float | None = None,
        deadline_s: float = math.inf,
        wants_probabilities: bool = False,
        low_priority: bool = False,
        held_back: bool = False,
        n_bytes: int = 0,
    ) -> None:
        """Hold what a protocol read.

        Raises:
            InvalidRequest: if `wanted` is not a confidence.
        """
        if wanted is not None and not 0.0 <= wanted <= 1.0:  # true for NaN
            raise InvalidRequest(f"threshold is {wanted}: expected a confidence from 0 to 1")
        self.inputs = inputs
        self.n_rows = n_rows
        self.wanted = wanted
        self.deadline_s = deadline_s
        self.wants_probabilities = wants_probabilities
        self.low_priority = low_priority
        self.held_back = held_back or low_priority
        self.n_bytes = n_bytes
        self.threshold: RequestThreshold
        self.arrived_s = 0.0
        self.key: Any = None
        self.taken = 0
        self.dropped = False
        self.future: asyncio.Future[Answer] | None = None
        self.answer: Answer | None = None
        self._parts: list[tuple[int, Answer]] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether anybody still waits for the answer."""
        return self.future is None or not self.future.done()

    def answered(self, start: int, part: Answer) -> None:
        """Take the answer to its rows from `start` on. Once all rows are answered, tell whoever waits."""
        whole = part if len(part.accepted) == self.n_rows else self._join(start, part)
        if whole is None:
            return
        self.answer = whole
        if self.future is not None and not self.future.done():  # a caller may have given up
            self.future.set_result(whole)

    def fail(self, error: TamizError) -> None:
        """Tell whoever waits that there will be no answer."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    def _join(self, start: int, part: Answer) -> Answer | None:
        """Keep the answer to some rows; return the answer to all rows once it is whole.

        Parts that are computed side by side end in any order.
        """
        parts = self._parts = self._parts or []
        parts.append((start, part))
        if sum(len(each.accepted) for _, each in parts) < self.n_rows:
            return None
        queue_s, compute_s = _times([each for _, each in parts])
        parts.sort(key=operator.itemgetter(0))
        (_, whole), *rest = parts
        whole.queue_s, whole.compute_s = queue_s, compute_s
        for _, each in rest:
            whole.accepted += each.accepted
            whole.reasons += each.reasons
            whole.class_index += each.class_index
            whole.confidence += each.confidence
            whole.probabilities += each.probabilities
            whole.thresholds += each.thresholds
            whole.rows_certified += each.rows_certified
        return whole


def _times(parts: Sequence[Answer]) -> tuple[float, float]:
    """Return how long none of the parts was computed before the last one ended, and how long any was.

    The two add up to the end of the last part, also if parts are computed side by side.
    """
    compute_s = end_s = 0.0
    for part in sorted(parts, key=operator.attrgetter("queue_s")):
        computed_s = part.queue_s + part.compute_s
        compute_s += max(0.0, computed_s - max(part.queue_s, end_s))
        end_s = max(end_s, computed_s)
    return end_s - compute_s, compute_s
