"""Histograms that are cheap to fill: values are kept as they come, and sorted into buckets in bulk.

One `Histogram.observe` of prometheus_client takes a lock and 1.5 µs, and each request needs four.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tamiz import confidence_bins
from tamiz.thresholds import MAX_SUBSETS
from tamiz.v1.manifest_pb2 import Manifest

_FLUSH_AT: Final = 4096


class Distribution:
    """A histogram. Values are kept as they come, and sorted into buckets a few thousand at a time."""

    def __init__(self, bounds: Iterable[float]) -> None:
        self._bounds = np.array(tuple(bounds), dtype=np.float64)
        self._counts = np.zeros(len(self._bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._pending: list[float] = []

    def observe(self, value: float) -> None:
        """Count one value."""
        self._pending.append(value)
        if len(self._pending) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Sort the kept values into their buckets; a value on a bound belongs below it, as in Prometheus."""
        if self._pending:
            values = np.array(self._pending)
            self._pending.clear()
            self.sort(values)

    def sort(self, values: NDArray[np.float64]) -> None:
        """Count values that were kept elsewhere."""
        self._counts += np.bincount(
            np.searchsorted(self._bounds, values, side="left"), minlength=len(self._counts)
        )
        self._sum += float(values.sum())

    def counts(self) -> NDArray[np.int64]:
        """Return the counts by bucket as of the last flush, not cumulated; the last is above all bounds."""
        return self._counts.copy()

    def totals(self) -> tuple[int, float]:
        """Return how many values were counted, and their sum. Only in the event loop."""
        self.flush()
        return int(self._counts.sum()), self._sum

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Return the cumulated counts by upper bound, and the sum of all values, as of the last flush."""
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        return list(zip(bounds, self._counts.cumsum().astype(float).tolist(), strict=True)), self._sum


class DecidedRows:
    """Confidences by outcome, and predicted classes: decisions are kept, and sorted in bulk."""

    def __init__(self) -> None:
        self.confidence = {accepted: Distribution(confidence_bins.BOUNDS) for accepted in (True, False)}
        # Class names and their counts in one attribute: a scrape reads both at once, in another thread.
        self._by_class: tuple[tuple[str, ...], NDArray[np.int64]] = ((), np.zeros((0, 2), dtype=np.int64))
        self._confidence: list[float] = []
        self._accepted: list[bool] = []
        self._class_index: list[int] = []

    def name_classes(self, manifest: Manifest) -> None:
        """Count by the classes of a manifest from now on; if they are not the same as before, from 0."""
        self.flush()
        names = tuple(map(str, manifest.classes.strings or manifest.classes.integers))
        if len(names) > MAX_SUBSETS:
            names = ()
        if names != self._by_class[0]:
            self._by_class = names, np.zeros((len(names), 2), dtype=np.int64)

    def add(self, confidence: Sequence[float], accepted: Sequence[bool], class_index: Sequence[int]) -> None:
        """Count the decisions of one batch, one entry per row. A confidence of 0 means that there is none."""
        self._confidence += confidence
        self._accepted += accepted
        self._class_index += class_index
        if len(self._accepted) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Sort the kept decisions."""
        if not self._accepted:
            return
        confidence = np.array(self._confidence, dtype=np.float64)
        accepted = np.frombuffer(bytes(self._accepted), dtype=np.bool_)  # a tenth of the time of np.array
        class_index = np.array(self._class_index, dtype=np.int64)
        for pile in (self._confidence, self._accepted, self._class_index):
            pile.clear()
        has_one = confidence > 0.0
        for outcome, distribution in self.confidence.items():
            distribution.sort(confidence[has_one & (accepted == outcome)])
        # An unknown index means that the row has no class, or was decided before the classes changed.
        _, counted = self._by_class
        known = class_index < len(counted)
        keys = class_index[known] * 2 + accepted[known]
        counted += np.bincount(keys, minlength=counted.size).reshape(-1, 2)

    def by_class(self) -> Iterator[tuple[str, bool, int]]:
        """Return class, outcome and count, as of the last flush."""
        names, counts = self._by_class
        for name, counted in zip(names, counts.tolist(), strict=True):
            yield name, True, counted[True]
            yield name, False, counted[False]

    def by_bin(self) -> Iterator[tuple[str, int]]:
        """Return each bin of confidence by name with its count, over both outcomes, as of the last flush."""
        counts = self.confidence[True].counts() + self.confidence[False].counts()
        counts[-2] += counts[-1]  # above 1 by rounding
        return zip(confidence_bins.NAMES, counts[:-1].tolist(), strict=True)
