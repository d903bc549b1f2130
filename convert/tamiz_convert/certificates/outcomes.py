"""Confidences and errors of held-out rows, and what they say about a threshold."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.binomial import Counts
from tamiz_convert.metrics.clustered import effective_counts

Confidences = NDArray[np.float64]
Errors = NDArray[np.bool_]
Groups = NDArray[Any]


class Evidence(NamedTuple):
    """Counts for a binomial test, at each threshold: those of rows, or the effective ones of groups."""

    hits: NDArray[np.float64] | NDArray[np.int64]
    trials: NDArray[np.float64] | NDArray[np.int64]

    def at(self, index: int) -> tuple[float, float]:
        """Return hits and trials at one threshold."""
        return float(self.hits[index]), float(self.trials[index])


class Outcomes:
    """Confidences and errors of some rows, for counting at any threshold.

    Attributes:
        confidence: (n,), descending, without NaN: a row without a confidence is never accepted.
        n_rows: how many rows there are, including those without a confidence.
        n_groups: how many groups they come in; None if the rows are independent.
    """

    def __init__(self, confidence: Confidences, error: Errors, group: Groups | None = None) -> None:
        order = np.argsort(-confidence, kind="stable")  # NaN comes last
        self.confidence = confidence[order][: int(np.isfinite(confidence).sum())]
        self.n_rows = len(confidence)
        self._weight = 1.0
        self._ascending = self.confidence[::-1]
        self._error = error[order]
        self._errors = np.concatenate([[0], np.cumsum(self._error.astype(np.int64))])
        self._group, self.n_groups = None, None
        if group is not None:
            names, codes = np.unique(group, return_inverse=True)
            self._group, self.n_groups = codes[order], len(names)

    def times(self, weight: float) -> Outcomes:
        """Return the same rows, each counted `weight` times, as if there were more (or fewer) rows like them.

        Counts are rounded against the promise: errors up and rows down. If `weight` is above 1, the share of
        errors is taken as (k + ½) / (n + 1), the mean of Jeffreys' posterior. Otherwise a few right rows at
        the top would multiply into a proof.
        """
        other = Outcomes.__new__(Outcomes)
        other.__dict__ |= self.__dict__
        other.n_rows = int(self.n_rows * weight)
        other._weight = weight  # noqa: SLF001  its own class
        return other

    @property
    def n_finite(self) -> int:
        """How many rows can be accepted at all."""
        return int(len(self.confidence) * self._weight)

    def errors_and_rows(self, thresholds: Confidences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, at each threshold, how many accepted rows are wrong and how many rows are accepted."""
        n_accepted = len(self._ascending) - np.searchsorted(self._ascending, thresholds, side="left")
        n_errors = self._errors[n_accepted]
        if self._weight == 1.0:
            return n_errors, n_accepted
        return self._multiplied(n_errors, n_accepted)

    def errors_among_accepted(self, thresholds: Confidences, delta: float) -> Evidence:
        """Return what the rows say, at each threshold, about the error among accepted rows."""
        if self._group is None:
            return Evidence(*self.errors_and_rows(thresholds))
        return self._effective(*self._by_group(thresholds), delta)

    def errors_among_all(self, thresholds: Confidences, delta: float) -> Evidence:
        """Return what the rows say, at each threshold, about the share that is accepted and wrong."""
        if self._group is None:
            n_errors, _ = self.errors_and_rows(thresholds)
            return Evidence(n_errors, np.full(len(thresholds), self.n_rows))
        n_errors, _ = self._by_group(thresholds)
        return self._effective(n_errors, self._all_by_group(len(thresholds)), delta)

    def refused_among_all(self, thresholds: Confidences, delta: float) -> Evidence:
        """Return what the rows say, at each threshold, about the share of rows that are not accepted."""
        if self._group is None:
            _, n_accepted = self.errors_and_rows(thresholds)
            return Evidence(self.n_rows - n_accepted, np.full(len(thresholds), self.n_rows))
        _, n_accepted = self._by_group(thresholds)
        n_rows = self._all_by_group(len(thresholds))
        return self._effective(n_rows - n_accepted, n_rows, delta)

    def rows_per_independent_row(self, delta: float) -> float:
        """Return how many rows say as much about the error of all rows as one independent row does."""
        if self._group is None or not len(self.confidence):
            return 1.0
        _, effective = self.errors_among_accepted(self.confidence[-1:], delta)
        return max(1.0, self.n_finite / max(float(np.ravel(effective)[0]), 1.0))

    def _by_group(self, thresholds: Confidences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return errors and rows among the accepted ones, (n_groups, n_thresholds) each."""
        order = np.argsort(-thresholds, kind="stable")
        first = np.searchsorted(-thresholds[order], -self.confidence, side="left")  # that accepts the row
        shape = (self.n_groups or 0, len(thresholds) + 1)
        counts = [np.zeros(shape, np.int64) for _ in range(2)]
        group, error = (each[: len(first)] for each in (self._group, self._error))  # type: ignore[index]
        np.add.at(counts[0], (group[error], first[error]), 1)
        np.add.at(counts[1], (group, first), 1)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        errors, rows = (np.cumsum(each, axis=1)[:, back] for each in counts)
        return errors, rows

    def _all_by_group(self, n_thresholds: int) -> NDArray[np.int64]:
        sizes = np.bincount(self._group, minlength=self.n_groups or 0)  # type: ignore[arg-type]
        return np.repeat(sizes[:, None], n_thresholds, axis=1)

    def _effective(self, hits: NDArray[np.int64], trials: NDArray[np.int64], delta: float) -> Evidence:
        k, n = effective_counts(hits, trials, delta)
        return Evidence(k, n) if self._weight == 1.0 else Evidence(*self._multiplied(k, n))

    def _multiplied(self, n_errors: Counts, n_rows: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        k, n = np.asarray(n_errors), np.asarray(n_rows)
        share = (k + 0.5) / (n + 1) if self._weight > 1.0 else k / np.maximum(n, 1)
        n_scaled = n * self._weight
        return np.ceil(n_scaled * share).astype(np.int64), np.floor(n_scaled).astype(np.int64)


def midway_below(ascending: Confidences, values: Confidences) -> Confidences:
    """Return thresholds that accept the given confidences and those above.

    Each lies midway to the next lower confidence. So if inference libraries differ in the last digit, no row
    crosses a threshold.

    Args:
        ascending: (n,), all confidences, ascending.
        values: (m,), some of them. The lowest confidence of all is its own threshold.
    """
    lower = np.searchsorted(ascending, values, side="left") - 1
    return (values + np.where(lower >= 0, ascending[np.maximum(lower, 0)], values)) / 2.0
