"""Two bundles on the same rows: what differs, and whether the difference is more than chance.

Both answer the same rows, so each resample of the rows (Efron & Tibshirani 1993, chapter 8) is the same for
both, and what the rows have in common cancels out. An interval lies between the 2.5 % and the 97.5 % quantile
of the differences.

Whether one of them is right more often is tested exactly, on the rows where only one is right: if neither is
    better, each
of these rows is a fair coin (McNemar 1947, in the exact form). Where several questions are asked of the same
rows, `holm_corrected` bounds the probability that any of the answers is chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tamiz.gate import NO_CLASS
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.metrics.bins import bin_numbers, equal_width, totals
from tamiz_convert.metrics.losses import brier_losses, log_losses
from tamiz_convert.metrics.ranking import Ranked
from tamiz_convert.metrics.resample import resamples
from tamiz_convert.metrics.top_label import Array, Classes

Times: TypeAlias = NDArray[np.int64]
"""(n_rows,), how often each row counts."""

HIGHER_IS_BETTER: Final = {
    "accuracy": True,
    "log_loss": False,
    "brier": False,
    "ece_15": False,
    "aurc": False,
    "coverage": True,
    "selective_error": False,
    "coverage_at_error": True,
}
"""The measures, in the order in which they are shown."""

N_BINS: Final = 15

DECIMALS: Final = 12
"""Differences are rounded to this many decimals: adding up in another order must not make a difference."""

_TAIL: Final = 0.025


class Measured:
    """What one bundle answers for labeled rows, prepared so that a resample is measured quickly."""

    def __init__(self, answers: Answers, y: Classes, compared: NDArray[np.bool_], at_error: float) -> None:
        """Prepare.

        Args:
            answers: of the bundle, its classes in the order of `y`.
            y: (n_rows,), the index of each row's class.
            compared: (n_rows,), whether both bundles have probabilities for the row.
            at_error: the error among accepted rows at which coverage is measured.
        """
        rows = np.flatnonzero(compared)
        probabilities, labels = answers.probabilities[rows], y[rows]
        self.right = answers.predicted == y
        self.wrong = ~self.right
        self.accepted = answers.accepted
        self.compared = compared
        self.at_error = at_error
        self._log_loss, self._brier = np.zeros(len(y)), np.zeros(len(y))
        self._log_loss[rows] = log_losses(probabilities, labels)
        self._brier[rows] = brier_losses(probabilities, labels)
        self._bin = bin_numbers(answers.confidence, equal_width(answers.confidence, N_BINS))
        self._gap = self.right - answers.confidence
        self._ranked = Ranked.of(answers.confidence, self.wrong, rows)
        self._answerable = Ranked.of(
            answers.confidence, self.wrong, np.flatnonzero(answers.predicted != NO_CLASS)
        )

    def measure(self, times: Times) -> list[float]:
        """Return every measure of `HIGHER_IS_BETTER`, each row counted `times` times; NaN without rows."""
        compared, accepted = times * self.compared, times * self.accepted
        n_rows, n_compared, n_accepted = times.sum(), compared.sum(), accepted.sum()
        gaps = totals(self._bin, compared * self._gap, N_BINS)
        return [
            1.0 - _ratio(compared @ self.wrong, n_compared),
            _ratio(compared @ self._log_loss, n_compared),
            _ratio(compared @ self._brier, n_compared),
            _ratio(np.abs(gaps).sum(), n_compared),
            self._ranked.aurc(times),
            _ratio(n_accepted, n_rows),
            _ratio(accepted @ self.wrong, n_accepted),
            _ratio(self._most_accepted(times), n_rows),
        ]

    def _most_accepted(self, times: Times) -> int:
        """Return the most rows that a threshold accepts with an error of at most `at_error`."""
        n_accepted, n_errors = (np.cumsum(each) for each in self._answerable.counts(times))
        return int(n_accepted[n_errors <= self.at_error * n_accepted].max(initial=0))

    def curve(self) -> tuple[Array, Array]:
        """Return coverage (of all rows) and error among accepted rows at every threshold, strict to loose."""
        n_rows, n_errors = self._answerable.counts(np.ones(len(self.wrong), dtype=np.int64))
        accepted = np.cumsum(n_rows)
        return accepted / len(self.wrong), np.cumsum(n_errors) / np.maximum(accepted, 1)


@dataclass(frozen=True)
class Difference:
    """One measure of A and B.

    Attributes:
        a, b: its values on the rows at hand; NaN if there is nothing to measure, such as the error among no
            rows.
        low, high: the 95 % interval of b − a; NaN likewise.
        p_value: of the two-sided test that there is no difference.
    """

    a: float
    b: float
    low: float
    high: float
    p_value: float


def differences(a: Measured, b: Measured, *, n_resamples: int, seed: int) -> dict[str, Difference]:
    """Measure both on the rows at hand, and what differs on resamples of them.

    Args:
        a: what one bundle answers.
        b: what the other answers for the same rows.
        n_resamples: how many times the rows are drawn, with replacement and one by one. If rows belong
            together, the intervals are too narrow.
        seed: of the draws.

    Returns:
        By measure, in the order of `HIGHER_IS_BETTER`.
    """
    n_rows = len(a.wrong)
    once = np.ones(n_rows, dtype=np.int64)
    drawn = np.array(
        [np.subtract(b.measure(times), a.measure(times)) for times in resamples(n_rows, n_resamples, seed)]
    )
    return {
        name: Difference(one, other, *_interval(column), _p_value(column))
        for name, one, other, column in zip(
            HIGHER_IS_BETTER, a.measure(once), b.measure(once), drawn.T, strict=True
        )
    }


def exact_p_value(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_a: rows that only A predicts rightly.
        only_b: rows that only B predicts rightly.
    """
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


def relabeled(answers: Answers, position: NDArray[np.int64]) -> Answers:
    """Return answers with their classes in another order.

    Args:
        answers: in their own order.
        position: (n_classes,), where each of their classes stands in the other order.
    """
    probabilities = np.empty_like(answers.probabilities)
    probabilities[:, position] = answers.probabilities
    # NO_CLASS points beyond the end, at NO_CLASS.
    predicted = np.append(position, NO_CLASS).take(answers.predicted, mode="clip")
    return Answers(probabilities, predicted, answers.confidence, answers.accepted)


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _interval(drawn: Array) -> tuple[float, float]:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [_TAIL, 1.0 - _TAIL]).tolist()
    return low, high


def _p_value(drawn: Array) -> float:
    """Return twice the share of the differences on the rarer side of zero; at least 2 / (n_resamples + 1)."""
    finite = drawn[np.isfinite(drawn)]
    # The added 1 counts the rows at hand as a resample, so that a p-value is never 0.
    rarer = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    return min(1.0, 2.0 * (rarer + 1) / (len(finite) + 1))
