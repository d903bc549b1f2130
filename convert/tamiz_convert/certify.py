"""A threshold with a finite-sample guarantee: split fixed-sequence testing.

The promise: with probability `confidence_level` over the draw of the certification rows, at most `max_error` of the
accepted rows are wrong. It holds for rows drawn like the certification rows, whatever the model and its calibration.

How. Candidate thresholds are placed, ordered from strict to loose, and the most promising one is chosen as the start,
all on the *calibration* rows. From there on, each candidate is tested on the *certification* rows, whose labels are
used nowhere else: p = P(Binomial(n, max_error) <= k) for k errors among n accepted rows. The sequence ends with the
first p above 1 − confidence_level; the threshold is the last one before. Given the calibration rows the order is
fixed, so a wrong promise needs the rejection of the first candidate whose true error is above `max_error`, which has
probability at most 1 − confidence_level: no correction for the number of candidates, no assumption on the scores.
(Fixed-sequence testing within Learn then Test: Angelopoulos, Bates, Candès, Jordan & Lei, arXiv 2110.01052.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

from tamiz_convert.errors import UnattainableError

METHOD: Final = "split-fixed-sequence-testing"

_N_CANDIDATES: Final = 40
_TRIED_STEP: Final = 1.1
_LARGEST_ADVICE: Final = 0.5
_ROWS_AT_START: Final = 3
"""The strictest candidate is expected to accept so many times the fewest rows that could prove anything."""
_EXACT_ROWS: Final = 2_000
_MAX_ROWS_TOLD: Final = 1_000_000

Confidences = NDArray[np.float64]
Errors = NDArray[np.bool_]


@dataclass(frozen=True)
class Certified:
    """A threshold and what was found at it.

    Attributes:
        threshold: accept where the confidence is at least this.
        n_rows: certification rows.
        n_accepted, n_errors: how many of them are accepted, and how many of those are wrong.
        p_value: of the exact binomial test at the threshold.
        error_upper_bound: one-sided Clopper-Pearson bound on the error; describes these rows, promises nothing beyond
            `max_error`.
    """

    threshold: float
    n_rows: int
    n_accepted: int
    n_errors: int
    p_value: float
    error_upper_bound: float


def certify(
    confidence_calibration: Confidences,
    error_calibration: Errors,
    confidence_certification: Confidences,
    error_certification: Errors,
    *,
    max_error: float,
    confidence_level: float,
) -> Certified:
    """Find the loosest threshold that the certification rows prove.

    Args:
        confidence_calibration: (n,), the confidences of the calibration rows; NaN is never accepted.
        error_calibration: (n,), whether their prediction is wrong.
        confidence_certification: (m,), the same of the certification rows.
        error_certification: (m,).
        max_error: the wanted bound on the error among accepted rows, between 0 and 1.
        confidence_level: the wanted probability that it holds, between 0 and 1.

    Raises:
        UnattainableError: if no threshold can be proven; the message says what would be needed, and `threshold` is the
            candidate that looked best on the calibration rows.
    """
    delta = 1.0 - confidence_level
    calibration = _Accepted(confidence_calibration, error_calibration)
    certification = _Accepted(confidence_certification, error_certification)
    walk = _walk(calibration, certification, max_error, delta)
    if walk is None:
        raise _too_few_rows(calibration, certification, max_error, delta)
    path, n_errors, n_accepted, p_values = walk
    last = _last_proven(p_values, delta)
    if last < 0:
        raise _unattainable(calibration, certification, walk, max_error, delta)
    k, n = int(n_errors[last]), int(n_accepted[last])
    return Certified(
        float(path[last]), certification.n_rows, n, k, float(p_values[last]), upper_bound(k, n, delta)
    )


def upper_bound(n_errors: int, n_rows: int, delta: float) -> float:
    """Return the one-sided Clopper-Pearson bound: the error is at most this with probability 1 − delta.

    Args:
        n_errors: how many rows are wrong.
        n_rows: of how many.
        delta: the probability that the bound fails.
    """
    if n_errors >= n_rows:
        return 1.0
    return float(beta.ppf(1.0 - delta, n_errors + 1, n_rows - n_errors))


def rows_needed(error: float, max_error: float, delta: float, *, more_than: int = 0) -> int:
    """Return how many accepted rows prove `max_error`, if the share `error` of them is wrong.

    Args:
        error: the share that is wrong, below `max_error`.
        max_error: what is to be proven.
        delta: the probability that the proof fails.
        more_than: how many rows did not prove it.

    Returns:
        The smallest n with P(Binomial(n, max_error) <= floor(n error)) <= delta; above a few thousand within a
        percent, and at most a million.
    """
    low = max(more_than + 1, math.ceil(math.log(delta) / math.log1p(-max_error)))
    if error == 0.0:
        return low
    # The p-value is no monotone function of n, because floor has steps: one by one at first, then in growing steps.
    exact = np.arange(low, low + _EXACT_ROWS)
    n = np.concatenate([exact, np.geomspace(exact[-1], _MAX_ROWS_TOLD, _EXACT_ROWS).round()])
    proven = np.asarray(binom.cdf(np.floor(n * error), n, max_error) <= delta)
    return int(n[np.argmax(proven)]) if proven.any() else _MAX_ROWS_TOLD


class _Accepted:
    """Counts of accepted rows, and of errors among them, at any threshold."""

    def __init__(self, confidence: Confidences, error: Errors) -> None:
        order = np.argsort(-confidence, kind="stable")  # NaN comes last
        self.confidence = confidence[order][: int(np.isfinite(confidence).sum())]
        self.n_rows = len(confidence)
        self._ascending = self.confidence[::-1]
        self._errors = np.concatenate([[0], np.cumsum(error[order].astype(np.int64))])

    def errors_and_rows(self, thresholds: Confidences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the errors and the accepted rows at each threshold; counts, never rates."""
        n_accepted = len(self._ascending) - np.searchsorted(self._ascending, thresholds, side="left")
        return self._errors[n_accepted], n_accepted


class _Walk(NamedTuple):
    """The candidates from the start on, strict to loose, and what the certification rows say of each."""

    path: Confidences
    n_errors: NDArray[np.int64]
    n_accepted: NDArray[np.int64]
    p_values: NDArray[np.float64]


def _walk(calibration: _Accepted, certification: _Accepted, max_error: float, delta: float) -> _Walk | None:
    """Test all candidates; None if there are too few rows to prove anything."""
    fewest = rows_needed(0.0, max_error, delta)
    candidates = _candidates(calibration, fewest)
    if len(candidates) == 0 or certification.n_rows < fewest:
        return None
    hopes = binom.cdf(*calibration.errors_and_rows(candidates), max_error)
    path = candidates[int(np.argmin(hopes)) :]
    n_errors, n_accepted = certification.errors_and_rows(path)
    p_values = np.where(n_accepted > 0, binom.cdf(n_errors, np.maximum(n_accepted, 1), max_error), 1.0)
    return _Walk(path, n_errors, n_accepted, p_values)


def _last_proven(p_values: NDArray[np.float64], delta: float) -> int:
    """Return the position before the first failure; -1 if the first test fails."""
    failed = np.flatnonzero(p_values > delta)
    return (int(failed[0]) if len(failed) else len(p_values)) - 1


def _candidates(calibration: _Accepted, fewest: int) -> Confidences:
    """Return candidate thresholds, strict to loose, at quantiles of the calibration rows.

    Each lies midway between two neighboring confidences, so that the last digit of an inference library moves no row
    across it.
    """
    n_rows = len(calibration.confidence)
    if n_rows < fewest:
        return np.empty(0)
    strictest = min(1.0, _ROWS_AT_START * fewest / n_rows)
    positions = np.ceil(np.linspace(strictest, 1.0, _N_CANDIDATES) * n_rows).astype(int) - 1
    distinct = np.unique(calibration.confidence)
    at = np.searchsorted(distinct, np.unique(calibration.confidence[positions])[::-1])
    below = distinct[np.maximum(at - 1, 0)]
    return (distinct[at] + below) / 2.0


def _too_few_rows(
    calibration: _Accepted, certification: _Accepted, max_error: float, delta: float
) -> UnattainableError:
    n_rows = min(len(calibration.confidence), certification.n_rows)
    fewest = rows_needed(0.0, max_error, delta)
    at_best = 1.0 - delta ** (1.0 / max(n_rows, 1))
    return UnattainableError(
        f"{certification.n_rows} certification rows (and {calibration.n_rows} calibration rows) cannot prove an error of at"
        f" most {max_error:g} with confidence {1.0 - delta:g}: of each at least {fewest} accepted rows without a single"
        f" error are needed. {_advice(calibration, certification, at_best, delta)}",
        threshold=None,
    )


def _unattainable(
    calibration: _Accepted, certification: _Accepted, walk: _Walk, max_error: float, delta: float
) -> UnattainableError:
    counts = zip(walk.n_errors.tolist(), walk.n_accepted.tolist(), strict=True)
    bounds = [upper_bound(k, n, delta) for k, n in counts]
    best = int(np.argmin(bounds))
    k, n = int(walk.n_errors[best]), int(walk.n_accepted[best])
    seen = k / n if n else 1.0
    if seen < max_error:
        needed = f"at that error about {rows_needed(seen, max_error, delta, more_than=n):,} accepted rows would prove it"
    else:
        needed = "more rows alone will not help: the model is wrong too often even where it is most confident"
    return UnattainableError(
        f"no threshold keeps the error at or below {max_error:g} with confidence {1.0 - delta:g}: at the best one {k} of {n}"
        f" accepted certification rows are wrong, which proves {bounds[best]:.4g}; {needed}."
        f" {_advice(calibration, certification, bounds[best], delta)}",
        threshold=float(walk.path[0]),
    )


def _advice(calibration: _Accepted, certification: _Accepted, from_error: float, delta: float) -> str:
    """Say which error these rows do prove: found by trying, because the path depends on what is asked for."""
    error = _rounded_up(from_error)
    while error <= _LARGEST_ADVICE:
        walk = _walk(calibration, certification, error, delta)
        if walk is not None and _last_proven(walk.p_values, delta) >= 0:
            return (
                f"Ask for max_error={error:g}, which these rows prove, bring more rows, or improve the model"
            )
        error = _rounded_up(error * _TRIED_STEP)
    return "Bring more rows, or improve the model"


def _rounded_up(error: float) -> float:
    """Return an error with two significant digits, not below what it was."""
    unit = 10.0 ** (math.floor(math.log10(error)) - 1)
    return round(math.ceil(error / unit - 1e-9) * unit, 12)
