"""Split fixed-sequence testing: the walk from strict to loose thresholds, until one cannot be proven.

The *calibration* rows place the candidate thresholds, order them from strict to loose, and choose the most
promising one as the start. From there on, each candidate is tested on the *certification* rows, whose labels
are used nowhere else: p = P(Binomial(n, max_error) <= k) for k errors among n accepted rows. The sequence
ends at the first p above delta; the threshold is the candidate before it.

How strict the strictest candidate is, and which one is promising, depends on how many rows will test it. So
both are judged by the *number* of certification rows; this looks at no label of theirs.

The calibration rows fix the order. So a promise is wrong only if the first candidate whose true error is
above `max_error` passes its test, which happens with probability at most delta. This takes no correction for
the number of candidates and no assumption about the scores. (Fixed-sequence testing within Learn then Test:
Angelopoulos, Bates, Candès, Jordan & Lei, arXiv 2110.01052.) It bounds the probability that *any* candidate
which passed is above `max_error`. So the walk proves all of them together, not only the last one.

A small share of delta belongs to a second, stricter start, for the case that the calibration rows choose one
that cannot be proven. If the walk gets from there to the start that they chose, all of delta goes on: a
fallback procedure (Wiens, Pharmaceutical Statistics 2, 2003), which bounds the same probability by delta.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom

from tamiz_convert.certificates.outcomes import Confidences, Evidence, Outcomes, midway_below
from tamiz_convert.metrics.binomial import fewest_rows, most_errors, p_values

METHOD: Final = "split-fixed-sequence-testing"

_N_CANDIDATES: Final = 200
_MARGIN: Final = 0.5
"""The strictest candidate should accept the fewest certification rows that prove anything, and so many of
their standard deviations (the square root of their number) more."""

_EARLY: Final = 0.05
"""The share of delta that belongs to the stricter start."""

_AS_GOOD: Final = 0.002
"""A candidate that is so much less probable to pass than the most hopeful one is as good a start."""

_QUANTILES: Final = ndtri((np.arange(16) + 0.5) / 16)[:, None]
"""Sixteen equally probable values of a standard normal variable."""

FEWEST_TO_PLACE: Final = 5
"""With fewer calibration rows there is no order of candidates to speak of."""


class Walk(NamedTuple):
    """The candidates from the start on, strict to loose, and their tests on the certification rows.

    `evidence` holds the counts that were tested: those of the rows, or of groups the effective ones.
    `promising` is the position of the start that the calibration rows chose; it is 0 if there is no stricter.
    """

    path: Confidences
    n_errors: NDArray[np.int64]
    n_accepted: NDArray[np.int64]
    evidence: Evidence
    p_values: NDArray[np.float64]
    promising: int = 0

    def proven(self, delta: float) -> NDArray[np.int64]:
        """Return the positions of all candidates that are proven, strict to loose."""
        early = self._passed(0, self.promising, _EARLY * delta)
        share = delta if early == self.promising else self.share_of_promising(delta)
        late = self._passed(self.promising, len(self.path), share)
        return np.append(np.arange(early), np.arange(late) + self.promising)

    def share_of_promising(self, delta: float) -> float:
        """Return what the promising start is tested with if the stricter one does not get there."""
        return (1.0 - _EARLY) * delta if self.promising else delta

    def _passed(self, start: int, end: int, delta: float) -> int:
        """Return how many candidates from `start` on pass their tests, before the first that fails."""
        failed = np.flatnonzero(self.p_values[start:end] > delta)
        return int(failed[0]) if len(failed) else end - start

    def last_proven(self, delta: float) -> int:
        """Return the position of the loosest candidate that is proven; -1 if there is none."""
        proven = self.proven(delta)
        return int(proven[-1]) if len(proven) else -1

    def is_proven_whole(self, delta: float) -> bool:
        """Return whether no test fails."""
        return len(self.proven(delta)) == len(self.path)


def walk(calibration: Outcomes, certification: Outcomes, max_error: float, delta: float) -> Walk | None:
    """Test all candidates. Return None if there are too few rows to prove anything.

    Args:
        calibration: the rows that place and order the candidates.
        certification: the rows that test them.
        max_error: the bound to prove on the error among accepted rows, between 0 and 1.
        delta: the probability that the proof may fail with, between 0 and 1.
    """
    fewest = fewest_rows(max_error, delta)
    if calibration.n_finite < FEWEST_TO_PLACE or certification.n_rows < fewest:
        return None
    wanted = (fewest + _MARGIN * fewest**0.5) * calibration.rows_per_independent_row(delta)
    candidates = _candidates(calibration, wanted / certification.n_rows)
    hopes = _hopes(calibration, certification.n_rows, candidates, max_error, delta)
    start = _start(hopes)
    early = min(start, _early(calibration, certification.n_rows, candidates, max_error, delta))
    path = candidates[early:]
    evidence = _evidence(certification, path, start - early, delta)
    p = p_values(*evidence, max_error)
    return Walk(path, *certification.errors_and_rows(path), evidence, p, start - early)


def _evidence(certification: Outcomes, path: Confidences, promising: int, delta: float) -> Evidence:
    """Return what the rows say at each candidate; of groups it depends on the share of delta."""
    early = certification.errors_among_accepted(path[:promising], _EARLY * delta)
    late = certification.errors_among_accepted(path[promising:], delta)
    hits: NDArray[Any] = np.append(early.hits, late.hits)
    trials: NDArray[Any] = np.append(early.trials, late.trials)
    return Evidence(hits, trials)


def _early(
    calibration: Outcomes, n_certification: int, candidates: Confidences, max_error: float, delta: float
) -> int:
    """Return the strictest candidate that so small a share of delta may prove, or one beyond the last.

    It should accept the fewest certification rows, and two standard deviations of their number more.
    """
    fewest = fewest_rows(max_error, _EARLY * delta)
    times = n_certification / calibration.n_rows
    _, n_accepted = calibration.errors_among_accepted(candidates, delta)
    wanted = fewest + 2.0 * (fewest * (1.0 + times)) ** 0.5
    return int(np.searchsorted(n_accepted * times, wanted))


def _start(hopes: Confidences) -> int:
    """Return the strictest candidate from which all are about as hopeful as the most hopeful one, up to it.

    A walk that begins there proves the stricter thresholds too, and loses next to nothing.
    """
    best = int(np.argmax(hopes))
    worse = np.flatnonzero(hopes[:best] < hopes[best] - _AS_GOOD)
    return int(worse[-1]) + 1 if len(worse) else 0


def _candidates(calibration: Outcomes, strictest: float) -> Confidences:
    """Return candidate thresholds, strict to loose, at quantiles of the calibration rows.

    Args:
        calibration: the calibration rows.
        strictest: the share of the rows that the strictest one accepts.
    """
    share_finite = min(1.0, calibration.n_finite / calibration.n_rows)
    n_rows = len(calibration.confidence)
    shares = np.linspace(min(1.0, strictest / share_finite), 1.0, _N_CANDIDATES)
    positions = np.maximum(np.ceil(shares * n_rows).astype(int), 1) - 1
    chosen = np.unique(calibration.confidence[positions])[::-1]
    return midway_below(calibration.confidence[::-1], chosen)


def _hopes(
    calibration: Outcomes, n_certification: int, candidates: Confidences, max_error: float, delta: float
) -> Confidences:
    """Return how probable it is that each candidate passes the test of so many certification rows.

    After k errors in n rows the error may be anything near (k + ½) / (n + 1): a few right rows at the top do
    not make a sure thing. The arcsine of its root is taken as normal with variance 1 / 4(n + 1).
    """
    n_errors, n_accepted = calibration.errors_among_accepted(candidates, delta)
    n_expected = np.floor(n_accepted * (n_certification / calibration.n_rows)).astype(np.int64)
    share = (n_errors + 0.5) / (n_accepted + 1)
    middle = np.arcsin(np.sqrt(np.minimum(share, 1.0)))  # rounding may leave more errors than rows
    angle = np.clip(middle + _QUANTILES / (2.0 * np.sqrt(n_accepted + 1)), 0.0, np.pi / 2)
    passed = binom.cdf(most_errors(n_expected, max_error, delta), n_expected, np.sin(angle) ** 2)
    mean: Confidences = np.asarray(passed).mean(axis=0)
    return mean
