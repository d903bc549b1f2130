"""Two bundles on the same rows: what differs, and whether more than chance is in it.

Both answer the same rows, so each resampled set of rows (Efron & Tibshirani 1993, chapter 8) is the same for both, and
what the rows have in common cancels out. An interval holds the differences between the 2.5 % and 97.5 % quantiles.

Whether one of them is right more often is tested exactly, on the rows where only one is right: under the hypothesis
that neither is better, each of those falls to either side like a coin (McNemar 1947, in the exact form).
Where several questions are asked of the same rows, Holm's step-down procedure (1979) keeps the probability that any of
the answers is chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tamiz_convert.answers import NO_CLASS, Answers
from tamiz_convert.metrics import LOG_FLOOR

Array: TypeAlias = NDArray[np.float64]
Weights: TypeAlias = NDArray[np.int64]

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
"""What is measured, in the order in which it is shown."""

N_BINS: Final = 15
_TAIL: Final = 0.025


@dataclass(frozen=True)
class Resampled:
    """What differs between A and B.

    Attributes:
        a, b: by measure; NaN where there is nothing to measure, such as an error among no rows.
        intervals: by measure, of b − a; NaN likewise.
        p_values: by measure, two-sided, of there being no difference.
    """

    a: dict[str, float]
    b: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    p_values: dict[str, float]


class Measured:
    """What one bundle answers for labeled rows, prepared so that any weighting of the rows is quick to measure."""

    def __init__(
        self, answers: Answers, y: NDArray[np.int64], compared: NDArray[np.bool_], at_error: float
    ) -> None:
        """Prepare.

        Args:
            answers: of the bundle, its classes in the order of `y`.
            y: (n_rows,), the index of each row's class.
            compared: (n_rows,), the rows on which probabilities are compared: those that both bundles score.
            at_error: the error among accepted rows at which coverage is measured.
        """
        self.wrong = answers.predicted != y
        self.accepted = answers.accepted
        self.compared = compared
        self.at_error = at_error
        self.gap = np.where(self.wrong, 0.0, 1.0) - answers.confidence
        self.bins = np.clip(np.ceil(answers.confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
        right = np.where(compared, answers.probabilities[np.arange(len(y)), y], 1.0)
        self.log_loss = -np.log(np.maximum(right, LOG_FLOOR))
        hit = np.arange(answers.probabilities.shape[1]) == y[:, None]
        self.brier = np.where(compared, ((answers.probabilities - hit) ** 2).sum(axis=1), 0.0)
        self._ranked = _Ranked(answers.confidence, self.wrong, np.flatnonzero(compared))
        self._answerable = _Ranked(
            answers.confidence, self.wrong, np.flatnonzero(answers.predicted != NO_CLASS)
        )

    def measure(self, weights: Weights) -> list[float]:
        """Return every measure of `HIGHER_IS_BETTER`, each row counted as often as its weight, (n_rows,), says."""
        compared = weights * self.compared
        n, n_compared = int(weights.sum()), int(compared.sum())
        accepted = weights * self.accepted
        gaps = np.bincount(self.bins, weights=compared * self.gap, minlength=N_BINS)
        return [
            1.0 - _ratio(compared @ self.wrong, n_compared),
            _ratio(compared @ self.log_loss, n_compared),
            _ratio(compared @ self.brier, n_compared),
            _ratio(np.abs(gaps).sum(), n_compared),
            self._ranked.aurc(weights),
            _ratio(accepted.sum(), n),
            _ratio(accepted @ self.wrong, accepted.sum()),
            _ratio(self._answerable.most_accepted(weights, self.at_error), n),
        ]

    def curve(self) -> tuple[Array, Array]:
        """Return coverage (of all rows) and error at every threshold that can be told apart, strict to loose."""
        n_accepted, n_errors = self._answerable.counts(np.ones(len(self.wrong), dtype=np.int64))
        return n_accepted / len(self.wrong), n_errors / np.maximum(n_accepted, 1)


class _Ranked:
    """Some rows by descending confidence, in blocks of equal confidence."""

    def __init__(self, confidence: Array, wrong: NDArray[np.bool_], rows: NDArray[np.int64]) -> None:
        self.rows = rows[np.argsort(-confidence[rows], kind="stable")]
        ordered = confidence[self.rows]
        self.starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 0])[: len(ordered)])
        self.wrong = wrong[self.rows].astype(np.int64)

    def blocks(self, weights: Weights) -> tuple[Weights, Weights]:
        """Return the rows and the errors of every block."""
        if len(self.rows) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        ordered = weights[self.rows]
        return np.add.reduceat(ordered, self.starts), np.add.reduceat(ordered * self.wrong, self.starts)

    def counts(self, weights: Weights) -> tuple[Weights, Weights]:
        """Return the accepted rows and the errors among them, with the threshold below each block."""
        n_rows, n_errors = self.blocks(weights)
        return np.cumsum(n_rows), np.cumsum(n_errors)

    def most_accepted(self, weights: Weights, max_error: float) -> int:
        """Return the most rows that a threshold accepts with at most this error among them."""
        n_accepted, n_errors = self.counts(weights)
        return int(n_accepted[n_errors <= max_error * n_accepted].max(initial=0))

    def aurc(self, weights: Weights) -> float:
        """Return the area under the risk-coverage curve, as `metrics.aurc` defines it."""
        n_rows, n_errors = self.blocks(weights)
        shared = np.repeat(n_errors / np.maximum(n_rows, 1), n_rows)
        if len(shared) == 0:
            return float("nan")
        return float((np.cumsum(shared) / np.arange(1, len(shared) + 1)).mean())


def resample(a: Measured, b: Measured, *, resamples: int, seed: int) -> Resampled:
    """Measure both on the rows at hand, and the differences on rows drawn from them.

    Args:
        a: what one bundle answers.
        b: what the other answers for the same rows.
        resamples: how many times the rows are drawn.
        seed: of the draws.
    """
    n_rows = len(a.wrong)
    ones = np.ones(n_rows, dtype=np.int64)
    at_hand = np.array([a.measure(ones), b.measure(ones)])
    random = np.random.default_rng(seed)
    differences = np.empty((resamples, len(HIGHER_IS_BETTER)))
    for i in range(resamples):
        weights = np.bincount(random.integers(0, n_rows, n_rows), minlength=n_rows)
        differences[i] = np.subtract(b.measure(weights), a.measure(weights))
    names = list(HIGHER_IS_BETTER)
    columns = dict(zip(names, differences.T, strict=True))
    return Resampled(
        a=dict(zip(names, at_hand[0].tolist(), strict=True)),
        b=dict(zip(names, at_hand[1].tolist(), strict=True)),
        intervals={name: _interval(column) for name, column in columns.items()},
        p_values={name: _p_value(column) for name, column in columns.items()},
    )


def exact_p_value(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_a: rows that only A predicts rightly.
        only_b: rows that only B predicts rightly.
    """
    n = only_a + only_b
    return float(binomtest(only_a, n, 0.5).pvalue) if n else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being many (Holm 1979): those at most α are wrong together with probability ≤ α."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in corrected]


def calibrated_ece(confidence: Array, *, resamples: int, seed: int) -> tuple[float, float]:
    """Return the calibration error that chance alone gives: its mean and 95 % quantile if every confidence were true.

    Args:
        confidence: (n_rows,), float64.
        resamples: how many times right and wrong are drawn.
        seed: of the draws.
    """
    if len(confidence) == 0:
        return float("nan"), float("nan")
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    random = np.random.default_rng(seed)
    drawn = [
        np.abs(np.bincount(bins, (random.random(len(bins)) < confidence) - confidence)).sum() / len(bins)
        for _ in range(resamples)
    ]
    return float(np.mean(drawn)), float(np.quantile(drawn, 0.95))


def relabeled(answers: Answers, position: Mapping[int, int]) -> Answers:
    """Return answers with their classes in another order.

    Args:
        answers: in their own order.
        position: index of each class in the own order → in the other.
    """
    moved = np.empty_like(answers.probabilities)
    moved[:, [position[k] for k in range(len(position))]] = answers.probabilities
    index = np.array(
        [position[k] for k in range(len(position))] + [NO_CLASS]
    )  # the last one is that of NO_CLASS
    return Answers(moved, index[answers.predicted], answers.confidence, answers.accepted)


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")


def _interval(differences: Array) -> tuple[float, float]:
    finite = differences[np.isfinite(differences)]
    if len(finite) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [_TAIL, 1.0 - _TAIL])
    return float(low), float(high)


def _p_value(differences: Array) -> float:
    """Return how seldom resampled differences lie on the other side of zero, twice; never below 2 / (resamples + 1)."""
    finite = differences[np.isfinite(differences)]
    least = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    return min(1.0, 2.0 * (least + 1) / (len(finite) + 1))
