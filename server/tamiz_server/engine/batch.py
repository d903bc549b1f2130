"""Requests, or parts of requests, that are computed together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import NO_CLASS, DecisionLists
from tamiz_server.engine.request import Answer, Request
from tamiz_server.errors import ModelFailed, TamizError
from tamiz_server.model.inputs import Inputs, Spec

FAILED: Final = "the server failed on these rows; its log says how"


class Slice(NamedTuple):
    """Rows start:stop of a request, in a batch."""

    request: Request
    start: int
    stop: int


class Batch:
    """Rows that are computed together: their inputs, their thresholds, and who gets which decision.

    Attributes:
        slices: whose rows they are, in the order of the batch's rows.
        started_s: when they were taken to be computed, on time.monotonic's clock.
        seconds: how long they were computed.
        decisions: what was decided; None if computing failed.
        error: why there are no decisions.
    """

    __slots__ = (
        "_certified",
        "_probabilities",
        "_thresholds",
        "decisions",
        "error",
        "seconds",
        "slices",
        "started_s",
    )

    def __init__(self, slices: Sequence[Slice], started_s: float) -> None:
        self.slices = slices
        self.started_s = started_s
        self.seconds = 0.0
        self.decisions: DecisionLists | None = None
        self.error: TamizError | None = None
        self._probabilities: NDArray[np.float64] | None = None
        # Row by row, if thresholds differ; else None.
        self._thresholds: list[float] | None = None
        self._certified: list[bool] | None = None

    def inputs(self, specs: Sequence[Spec]) -> Inputs:
        """Return the rows of all requests as one array per input."""
        if len(self.slices) == 1:
            request, start, stop = self.slices[0]
            if stop - start == request.n_rows:
                return request.inputs
            return {name: array[start:stop] for name, array in request.inputs.items()}
        return {
            spec.name: np.concatenate(
                [request.inputs[spec.name][start:stop] for request, start, stop in self.slices]
            )
            for spec in specs
        }

    def thresholds(self, index: NDArray[np.int64] | None) -> list[float]:
        """Return the confidence that each row has to reach.

        Args:
            index: (n_rows,), the class or slice of each row, as `Thresholds.index_of_rows` gives it; None if
                the model's thresholds do not differ.
        """
        asked: list[float] = []
        if index is None:
            for request, start, stop in self.slices:
                asked += [request.threshold.value] * (stop - start)
            return asked
        certified: list[bool] = []
        for request, start, stop in self.slices:
            rows = index[len(asked) : len(asked) + stop - start]
            asked += request.threshold.values[rows].tolist()  # type: ignore[index]
            certified += request.threshold.values_certified[rows].tolist()  # type: ignore[index]
        self._thresholds, self._certified = asked, certified
        return asked

    def n_uncertified(self) -> int:
        """Return how many rows were accepted at a threshold at which no certificate's promise holds."""
        accepted = self.decisions.accepted if self.decisions else []
        if self._certified is not None:
            return sum(ok and not certified for ok, certified in zip(accepted, self._certified, strict=True))
        if all(request.threshold.certified for request, _, _ in self.slices):
            return 0
        n_rows = row = 0
        for request, start, stop in self.slices:
            if not request.threshold.certified:
                n_rows += sum(accepted[row : row + stop - start])
            row += stop - start
        return n_rows

    def decided(self, decisions: DecisionLists, probabilities: NDArray[np.float64]) -> None:
        """Take what the gate decided on the rows, and their probabilities, (n_rows, n_classes)."""
        self.decisions = decisions
        self._probabilities = probabilities

    def one_by_one(self) -> list[Batch]:
        """Return one batch for each of the requests."""
        return [Batch([each], self.started_s) for each in self.slices]

    def deliver(self, *, reveal: bool) -> None:
        """Give each request the decisions on its rows, or the error.

        Each is told on its own: one that was cancelled does not touch the others.

        Args:
            reveal: whether abstained rows keep their class and their probabilities.
        """
        if self.decisions is None or self._probabilities is None:
            for request, _, _ in self.slices:
                request.fail(self.error or ModelFailed(FAILED))
            return
        class_index, confidence, accepted, reasons = self.decisions
        if not reveal:
            class_index = [index if ok else NO_CLASS for index, ok in zip(class_index, accepted, strict=True)]
        row = 0
        for request, start, stop in self.slices:
            rows = slice(row, row + stop - start)
            row = rows.stop
            part = Answer(
                accepted[rows],
                reasons[rows],
                class_index[rows],
                confidence[rows],
                [_published(self._probabilities[rows], class_index[rows])]
                if request.wants_probabilities
                else [],
                request.threshold.value,
                self._thresholds[rows] if self._thresholds is not None else [],
                request.threshold.certified,
                self._certified[rows] if self._certified is not None else [],
                self.started_s - request.arrived_s,
                self.seconds,
            )
            request.answered(start, part)


def _published(probabilities: NDArray[np.float64], class_index: list[int]) -> NDArray[np.float64]:
    """Return the probabilities of rows that have a class, NaN for the others."""
    if NO_CLASS not in class_index:
        return probabilities
    return np.where(np.array(class_index)[:, None] != NO_CLASS, probabilities, np.nan)
