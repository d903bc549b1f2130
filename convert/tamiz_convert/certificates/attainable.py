"""Which error do the rows prove, and which would more rows prove? For failed exports and for reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from tamiz_convert.certificates.fixed_sequence import FEWEST_TO_PLACE, Walk, walk
from tamiz_convert.certificates.outcomes import Outcomes
from tamiz_convert.errors import UnattainableError
from tamiz_convert.evidence import AttainableError
from tamiz_convert.metrics.binomial import fewest_rows, most_errors

CURVE: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""The curve has a point for each of these multiples of the rows at hand."""

_STEP: Final = 1.1
_LARGEST: Final = 0.5
_MORE_ROWS: Final = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)


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


def smallest_error(
    calibration: Outcomes, certification: Outcomes, delta: float, *, above: float = 0.0
) -> AttainableError | None:
    """Return the smallest error above another that these rows prove, to within a tenth; None above one half.

    It tries one error after the other, because the path of candidates depends on the error to be proven. So
    what it returns is proven if it is asked for.
    """
    if calibration.n_finite < FEWEST_TO_PLACE or certification.n_rows < 1:
        return None
    for error in errors_to_try(certification.n_rows, delta, above=above):
        found = walk(calibration, certification, error, delta)
        last = -1 if found is None else found.last_proven(delta)
        if found is not None and last >= 0:
            share = int(found.n_accepted[last]) / certification.n_rows
            return AttainableError(certification.n_rows, error, share)
    return None


def errors_to_try(n_rows: int, delta: float, *, above: float = 0.0) -> Iterator[float]:
    """Yield errors up to one half, each a tenth larger than the last, from the least that so many rows prove.

    Args:
        n_rows: how many rows certify, at least one.
        delta: the probability that the proof may fail with.
        above: an error that all of them exceed.
    """
    error = rounded_up(max(1.0 - delta ** (1.0 / n_rows), above))
    while error <= _LARGEST:
        if error > above:
            yield error
        error = rounded_up(error * _STEP)


def unattainable(
    calibration: Outcomes,
    certification: Outcomes,
    max_error: float,
    delta: float,
    attainable: AttainableError | None,
) -> UnattainableError:
    """Return the exception for an error that these rows do not prove.

    Args:
        calibration: the calibration rows.
        certification: the certification rows.
        max_error: the error that was asked for.
        delta: the probability that the proof may fail with.
        attainable: a larger error that is proven if it is asked for; None if there is none.
    """
    found = walk(calibration, certification, max_error, delta)
    level = f"{1.0 - delta:.6g}"
    if found is None:
        problem = (
            f"{certification.n_rows} certification rows (and {calibration.n_rows} calibration rows) cannot"
            f" prove an error of at most {max_error:g} with confidence {level}. The proof takes at least"
            f" {fewest_rows(max_error, delta)} accepted certification rows, all of them right, and"
            f" {FEWEST_TO_PLACE} calibration rows with a confidence."
        )
    else:
        problem = (
            f"no threshold is proven to keep the error at or below {max_error:g} with confidence {level}. At"
            f" the most promising one {_seen(found, certification, max_error, delta)}."
        )
    advice = _advice(_times_as_many(calibration, certification, max_error, delta), attainable)
    return UnattainableError(
        f"{problem} {advice}", threshold=None if found is None else float(found.path[found.promising])
    )


def _seen(found: Walk, certification: Outcomes, max_error: float, delta: float) -> str:
    """Return how many rows are wrong at the most promising threshold, and how many might have been."""
    k, n = int(found.n_errors[found.promising]), int(found.n_accepted[found.promising])
    seen = f"{k} of {n} accepted certification rows are wrong"
    if certification.n_groups is not None:
        said = found.evidence.at(found.promising)[1]
        return (
            f"{seen}; as they come in groups, they say as much as {said:.0f} independent rows, which is too"
            " little for the proof"
        )
    share = found.share_of_promising(delta)
    most = int(most_errors(n, max_error, share))
    if most < 0:
        return f"{seen}; the proof takes at least {fewest_rows(max_error, share)}, all of them right"
    return f"{seen}; the proof allows {most}"


def _advice(times: float | None, attainable: AttainableError | None) -> str:
    """Return what to do: ask for an error that these rows do prove, or bring more rows, or improve."""
    how_many = f"more than {_MORE_ROWS[-1]:g}" if times is None else f"about {times:g}"
    rows = f"bring more rows ({how_many} times as many, if they are like these), or improve the model"
    if attainable is None:
        return rows[0].upper() + rows[1:]
    return (
        f"Ask for max_error={attainable.max_error:g}, which these rows prove with {attainable.coverage:.0%} "
        f"of them answered, {rows}"
    )


def _times_as_many(
    calibration: Outcomes, certification: Outcomes, max_error: float, delta: float
) -> float | None:
    """Return how many times as many rows like these would prove the error; None if it takes too many."""
    for times in _MORE_ROWS:
        found = walk(calibration.times(times), certification.times(times), max_error, delta)
        if found is not None and found.last_proven(delta) >= 0:
            return times
    return None


def rounded_up(error: float, digits: int = 2) -> float:
    """Return an error rounded up to a number of significant digits."""
    unit = 10.0 ** (math.floor(math.log10(error)) - digits + 1)
    return round(math.ceil(error / unit - 1e-9) * unit, 12)
