"""A threshold with a finite-sample guarantee on the error among accepted rows.

The promise: with probability `confidence_level` over the draw of the certification rows, at most `max_error`
of the accepted rows are wrong. It holds for rows drawn like the certification rows, whatever the model and
its calibration. `fixed_sequence` says how the threshold is found.
"""

from __future__ import annotations

from dataclasses import dataclass

from tamiz_convert.certificates.attainable import smallest_error, unattainable
from tamiz_convert.certificates.fixed_sequence import Walk, walk
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.metrics.binomial import upper_bound


@dataclass(frozen=True)
class Certified:
    """A threshold and what was found at it.

    Attributes:
        threshold: accept where the confidence is at least this.
        n_rows: how many certification rows there are, including those that the gate always refuses.
        n_accepted, n_errors: how many of them are accepted, and how many of those are wrong.
        p_value: of the exact binomial test at the threshold.
        error_upper_bound: one-sided Clopper-Pearson bound on the promised error, of groups with effective
            counts, as if these rows had not chosen the threshold. It describes them; the promise is
            `max_error`. None if no error is promised.
        n_groups: how many groups the rows come in; None if they are independent.
        proven: all thresholds at which the error among accepted rows is proven, ascending, from this one on;
            they hold together. Empty if only this one is proven, or something else is promised.
    """

    threshold: float
    n_rows: int
    n_accepted: int
    n_errors: int
    p_value: float
    error_upper_bound: float | None
    n_groups: int | None = None
    proven: tuple[float, ...] = ()


def certify(
    calibration: Outcomes, certification: Outcomes, *, max_error: float, confidence_level: float
) -> Certified:
    """Find the loosest threshold that the certification rows prove.

    Args:
        calibration: the rows that place and order the candidates.
        certification: the rows that prove.
        max_error: the wanted bound on the error among accepted rows, between 0 and 1.
        confidence_level: the wanted probability that it holds, between 0 and 1.

    Raises:
        UnattainableError: if no threshold can be proven. The message says what it would take. `threshold` is
            the candidate that looked best on the calibration rows.
    """
    delta = 1.0 - confidence_level
    proven = find(calibration, certification, max_error=max_error, delta=delta)
    if proven is None:
        advised = smallest_error(calibration, certification, delta, above=max_error)
        raise unattainable(calibration, certification, max_error, delta, advised)
    return proven


def find(
    calibration: Outcomes, certification: Outcomes, *, max_error: float, delta: float
) -> Certified | None:
    """Return what `certify` returns, or None where it raises. It is faster: it does not search for advice."""
    found = walk(calibration, certification, max_error, delta)
    return None if found is None else loosest_proven(found, certification, delta)


def loosest_proven(found: Walk, certification: Outcomes, delta: float) -> Certified | None:
    """Return the loosest threshold that a walk proves; None if there is none."""
    passed = found.proven(delta)
    if not len(passed):
        return None
    last = int(passed[-1])
    k, n = int(found.n_errors[last]), int(found.n_accepted[last])
    bound = upper_bound(*found.evidence.at(last), delta)
    p_value = float(found.p_values[last])
    proven = tuple(found.path[passed[::-1]].tolist())
    return Certified(proven[0], certification.n_rows, n, k, p_value, bound, certification.n_groups, proven)
