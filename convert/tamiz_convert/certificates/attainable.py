"""Which error do the rows prove, and which would more rows prove? For failed exports and for reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tamiz_convert.certificates.fixed_sequence import FEWEST_TO_PLACE, Walk, walk
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.errors import UnattainableError
from tamiz_convert.evidence import AttainableError
from tamiz_convert.metrics.binomial import fewest_rows, rows_needed, upper_bound

CURVE: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""The curve has a point for each of these multiples of the rows at hand."""

_STEP: Final = 1.1
_LARGEST: Final = 0.5
_MORE_ROWS: Final = (2, 4, 8, 16, 32)


def attainable_errors(
    calibration: Outcomes,
    certification: Outcomes,
    *,
    confidence_level: float,
    multiples: Sequence[float] = CURVE,
) -> list[AttainableError]:
    """Return how the smallest error that can be proven falls with more rows.

    This is an extrapolation: it assumes that more rows would be just like these. It counts each row
    `multiple` times (`Outcomes.times`) and tries the whole walk. What fewer rows prove, more rows prove too.
    A multiple of 1 does not extrapolate.

    Args:
        calibration: the calibration rows.
        certification: the certification rows.
        confidence_level: the wanted probability that the promise holds, between 0 and 1.
        multiples: of the rows at hand, ascending.

    Returns:
        One entry per multiple that proves an error of at most one half.
    """
    curve: list[AttainableError] = []
    for each in multiples:
        rows = certification.times(each)
        found = smallest_error(calibration.times(each), rows, 1.0 - confidence_level)
        if curve and (found is None or found.max_error > curve[-1].max_error):
            found = replace(curve[-1], n_rows=rows.n_rows)
        if found is not None:
            curve.append(found)
    return curve


def smallest_error(calibration: Outcomes, certification: Outcomes, delta: float) -> AttainableError | None:
    """Return the smallest error that these rows prove, to within a tenth; None if it is above one half.

    It tries one error after the other, because the path of candidates depends on the error to be proven.
    """
    if calibration.n_finite < FEWEST_TO_PLACE or certification.n_rows < 1:
        return None
    error = _rounded_up(1.0 - delta ** (1.0 / certification.n_rows))
    while error <= _LARGEST:
        found = walk(calibration, certification, error, delta)
        last = -1 if found is None else found.last_proven(delta)
        if found is not None and last >= 0:
            return AttainableError(
                certification.n_rows, error, int(found.n_accepted[last]) / certification.n_rows
            )
        error = _rounded_up(error * _STEP)
    return None


def too_few_rows(
    calibration: Outcomes, certification: Outcomes, max_error: float, delta: float
) -> UnattainableError:
    """Return the exception for rows that could prove nothing even if all of them were right."""
    return UnattainableError(
        f"{certification.n_rows} certification rows (and {calibration.n_rows} calibration rows) cannot"
        f" prove an error of at most {max_error:g} with confidence {1.0 - delta:g}. The proof takes at least"
        f" {fewest_rows(max_error, delta)} accepted certification rows, all of them right, and"
        f" {FEWEST_TO_PLACE} calibration rows with a confidence."
        f" {_advice(calibration, certification, max_error, delta)}",
        threshold=None,
    )


def nothing_proven(
    calibration: Outcomes, certification: Outcomes, found: Walk, max_error: float, delta: float
) -> UnattainableError:
    """Return the exception for a walk whose first test failed."""
    bounds = [upper_bound(*found.evidence.at(index), delta) for index in range(len(found.path))]
    best = int(np.argmin(bounds))
    k, n = int(found.n_errors[best]), int(found.n_accepted[best])
    seen = k / n if n else 1.0
    more = _times_as_many(calibration, certification, max_error, delta)
    needed = ""
    if seen < max_error:
        effective = found.evidence.at(best)[1]
        n_needed = rows_needed(seen, max_error, delta, more_than=int(effective))
        n_needed = round(n_needed * n / max(effective, 1.0))
        needed = f"; with the same share of errors, about {n_needed:,} accepted rows would prove it"
    elif more is None:
        needed = (
            "; more rows alone will not help: the model is wrong too often even where it is most confident"
        )
    return UnattainableError(
        f"no threshold keeps the error at or below {max_error:g} with confidence {1.0 - delta:g}. At the best"
        f" one that was tried, {k} of {n} accepted certification rows are wrong, which proves an error of"
        f" {bounds[best]:.4g}{needed}. {_advice(calibration, certification, max_error, delta)}",
        threshold=float(found.path[0]),
    )


def _advice(calibration: Outcomes, certification: Outcomes, max_error: float, delta: float) -> str:
    """Return which error these rows do prove, and how many more rows would prove the wanted one."""
    attainable = smallest_error(calibration, certification, delta)
    more = _times_as_many(calibration, certification, max_error, delta)
    rows = "more rows" if more is None else f"more rows (about {more} times as many like these would do)"
    # A walk for another error may prove this one. But choosing the walk that succeeds would be testing until
    # chance agrees, so it is not offered.
    if attainable is None or attainable.max_error <= max_error:
        return f"Bring {rows}, or improve the model"
    return (
        f"Ask for max_error={attainable.max_error:g}, which these rows prove with {attainable.coverage:.0%} "
        f"of them answered, bring {rows}, or improve the model"
    )


def _times_as_many(
    calibration: Outcomes, certification: Outcomes, max_error: float, delta: float
) -> int | None:
    """Return how many times as many rows like these would prove the error; None if it takes too many."""
    for times in _MORE_ROWS:
        found = walk(calibration.times(times), certification.times(times), max_error, delta)
        if found is not None and found.last_proven(delta) >= 0:
            return times
    return None


def _rounded_up(error: float) -> float:
    """Return an error rounded up to two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(error)) - 1)
    return round(math.ceil(error / unit - 1e-9) * unit, 12)
