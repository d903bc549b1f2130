"""The threshold at which mistakes and abstentions together cost least, and what is proven of its error.

The calibration rows choose the threshold. So the certification rows know nothing of the choice: to them it is
a fixed threshold, and the one-sided Clopper-Pearson bound (1934) on its error holds with the confidence that
is asked for. That bound is what the certificate promises.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import ACCEPT_NONE
from tamiz_convert.certificates.attainable import rounded_up
from tamiz_convert.certificates.certify import Certified
from tamiz_convert.certificates.outcomes import Outcomes, midway_below
from tamiz_convert.metrics.binomial import p_values, upper_bound
from tamiz_convert.metrics.prices import Prices

COST_METHOD: Final = "clopper-pearson-bound"

_DIGITS: Final = 3
"""The sentence about the promise shows so many, which are then all of the promised error."""


def cheapest_threshold(
    prices: Prices,
    confidence: NDArray[np.float64],
    predicted: NDArray[np.int64],
    y: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """Return the threshold at which these rows cost least; of several, the one that answers fewest.

    To the answered rows a row is added that is half the dearest and half the cheapest answer, as Jeffreys'
    prior does for an error. Otherwise a few right rows at the top would make a hopeless model look cheap.

    Args:
        prices: of the outcomes.
        confidence: (n_rows,), NaN where a row is never accepted.
        predicted: (n_rows,), the index of the predicted class.
        y: (n_rows,), the index of the true class.
        weights: (n_rows,), how often each row counts; None for once.
    """
    kept = np.flatnonzero(np.isfinite(confidence))
    order = kept[np.argsort(-confidence[kept], kind="stable")]
    if len(order) == 0:
        return ACCEPT_NONE
    costs = prices.per_row(y[order], predicted[order], np.ones(len(order), dtype=bool))
    values = confidence[order]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # equal confidences go together
    times = np.ones(len(order)) if weights is None else weights[order]
    n = np.cumsum(times)[ends]
    half_wrong = (prices.answers.min() + prices.answers.max()) / 2.0
    means = (np.cumsum(times * costs)[ends] + half_wrong) / (n + 1)
    totals = np.append(0.0, n * (means - prices.abstention))
    best = int(np.argmin(totals))
    if best == 0:
        return ACCEPT_NONE
    return float(midway_below(values[::-1], values[ends[best - 1] : ends[best - 1] + 1])[0])


def bounded(threshold: float, certification: Outcomes, delta: float) -> tuple[Certified, float] | None:
    """Return what is found at a fixed threshold, and the error that is proven; None if nothing is.

    Args:
        threshold: not chosen by these rows.
        certification: the rows that prove.
        delta: the probability that the proof may fail with.
    """
    n_errors, n_accepted = certification.errors_and_rows(np.array([threshold]))
    k, n = int(n_errors[0]), int(n_accepted[0])
    bound = upper_bound(k, n, delta) if n else 1.0
    error = rounded_up(bound, _DIGITS)
    if error >= 1.0:
        return None
    p_value = float(p_values(k, n, error))
    return Certified(threshold, certification.n_rows, n, k, p_value, bound), error
