"""The comparison: two bundles, the same labeled rows, and what can be said about the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

import numpy as np

from tamiz.gate import NO_CLASS
from tamiz.v1.manifest_pb2 import Promise
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.certificates.promise_text import promise_and_stricter
from tamiz_convert.checks.context import count
from tamiz_convert.comparison.contender import Contender, matched
from tamiz_convert.comparison.differences import Measured, differences, exact_p_value, relabeled
from tamiz_convert.comparison.measure import Measure
from tamiz_convert.comparison.result import Bin, Compared, Comparison, Discordance
from tamiz_convert.comparison.slices import slice_columns, slices_of
from tamiz_convert.errors import ExportError, RowsError
from tamiz_convert.graphs.latency import LATENCY_BATCH_SIZES, median_us, repeated
from tamiz_convert.metrics.bins import equal_mass
from tamiz_convert.metrics.holm import holm_corrected
from tamiz_convert.metrics.if_calibrated import if_calibrated
from tamiz_convert.metrics.reliability import ReliabilityDiagram, reliability_diagram
from tamiz_convert.metrics.top_label import Array, Classes
from tamiz_convert.progress import Say, shown
from tamiz_convert.rows.labeled import labeled

_CURVE_POINTS: Final = 300
_BINS: Final = 10
_OF_ACCEPTED: Final = (Promise.PROMISE_UNSPECIFIED, Promise.PROMISE_SELECTIVE_ERROR)


def compare(
    a: str | Path,
    b: str | Path,
    rows: Any,
    labels: Any,
    *,
    slices: Sequence[str] | Mapping[str, Any] = (),
    at_error: float | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: Say | bool | None = None,
) -> Comparison:
    """Compare two bundles on the same labeled rows.

    Args:
        a: the current bundle: its version's folder, or the file in it.
        b: the bundle that may replace it. It must have the same classes, in any order, and the same inputs.
            The column that names the slice may be an input of only one of them; then the rows must hold it.
        rows: rows that neither has seen, (n_rows, n_features) ndarray or DataFrame.
        labels: (n_rows,), in the classes' own type.
        slices: columns of the rows, or name → (n_rows,) values; every value is compared separately.
        at_error: the error among accepted rows at which coverage is compared; by default the error that A
            promises, else that of B, else the error that A makes on these rows.
        n_resamples: how many times the rows are drawn for the intervals. With fewer than 320, only the
            accuracy can be called better, because it is tested exactly.
        seed: of the draws.
        progress: called with the name of each step and the share of the work done before it; by default there
            is a bar in a terminal and in a notebook, and False shows none.

    Raises:
        BundleError: if a file is not a bundle, or if the two do not answer the same question.
        RowsError: for rows, labels or slices that cannot be used.
        ExportError: for an `at_error` or `n_resamples` out of range.
    """
    _check(at_error, n_resamples)
    one, other = Contender.read(a), Contender.read(b)
    with shown(progress) as say:
        position = matched(one, other)
        given = labeled(rows, labels, one.subject.classes, "compared")
        columns = slice_columns(slices, given.rows)

        say("running both", 0.0)
        asked = (one.rows_beside(other, given.rows), other.rows_beside(one, given.rows))
        answers = (one.subject.predict(asked[0]), relabeled(other.subject.predict(asked[1]), position))
        if at_error is None:  # own thresholds would mix how strict a gate is with how good it is
            at_error = _at_error(one, other, answers[0], given.y)
        measured = _measured(answers, given.y, at_error)

        say("resampling the rows", 0.2)
        discordance = _discordance(measured, answers)
        measures = _measures(measured, answers, discordance.p_value, n_resamples, seed)

        say("measuring latency", 0.8)
        latency = _latency((one, other), asked)
        say("done", 1.0)
        return Comparison(
            a=_side(one, answers[0], measured[0], given.y, latency[0]),
            b=_side(other, answers[1], measured[1], given.y, latency[1]),
            n_rows=len(given),
            n_compared=count(measured[0].compared),
            at_error=at_error,
            measures=measures,
            discordance=discordance,
            slices=slices_of(columns, *measured),
            n_resamples=n_resamples,
            seed=seed,
        )


def _check(at_error: float | None, n_resamples: int) -> None:
    if at_error is not None and not (isinstance(at_error, Real) and 0.0 <= at_error < 1.0):
        raise ExportError(f"at_error is {at_error!r}; expected a share from 0 to below 1, such as 0.05")
    if not isinstance(n_resamples, Integral) or n_resamples < 1:
        raise ExportError(f"n_resamples is {n_resamples!r}; expected a whole number, at least 1")


def _measured(answers: tuple[Answers, Answers], y: Classes, at_error: float) -> tuple[Measured, Measured]:
    """Return what both answer, to be measured on the rows that both score.

    Raises:
        RowsError: if there is no such row.
    """
    compared = (answers[0].predicted != NO_CLASS) & (answers[1].predicted != NO_CLASS)
    if not compared.any():
        raise RowsError(
            "no row has probabilities from both bundles: each row is invalid input for at least one of them"
        )
    return Measured(answers[0], y, compared, at_error), Measured(answers[1], y, compared, at_error)


def _at_error(a: Contender, b: Contender, answers: Answers, y: Classes) -> float:
    for bundle in (a, b):
        certificate = bundle.manifest.threshold.certificate
        if certificate.max_error > 0 and certificate.promise in _OF_ACCEPTED:
            return float(certificate.max_error)
    accepted = answers.accepted
    return float((answers.predicted != y)[accepted].mean()) if accepted.any() else 0.0


def _measures(
    measured: tuple[Measured, Measured],
    answers: tuple[Answers, Answers],
    exact: float,
    n_resamples: int,
    seed: int,
) -> tuple[Measure, ...]:
    found = differences(*measured, n_resamples=n_resamples, seed=seed)
    p_values = [exact if name == "accuracy" else each.p_value for name, each in found.items()]
    rows = measured[0].compared
    chance = [if_calibrated(each.probabilities[rows], seed=seed).mean for each in answers]
    return tuple(
        Measure(
            name=name,
            a=_or_none(each.a),
            b=_or_none(each.b),
            interval=(each.low, each.high) if math.isfinite(each.low) else None,
            p_value=p_value,
            corrected_p_value=corrected,
            chance_a=chance[0] if name == "ece_15" else None,
            chance_b=chance[1] if name == "ece_15" else None,
        )
        for (name, each), p_value, corrected in zip(
            found.items(), p_values, holm_corrected(p_values), strict=True
        )
    )


def _discordance(measured: tuple[Measured, Measured], answers: tuple[Answers, Answers]) -> Discordance:
    rows = measured[0].compared
    right = [each.right[rows] for each in measured]
    accepted = [each.accepted for each in measured]
    only_a, only_b = count(right[0] & ~right[1]), count(right[1] & ~right[0])
    return Discordance(
        n_rows=count(rows),
        both_right=count(right[0] & right[1]),
        only_a_right=only_a,
        only_b_right=only_b,
        both_wrong=count(~right[0] & ~right[1]),
        p_value=exact_p_value(only_a, only_b),
        other_label=count(answers[0].predicted[rows] != answers[1].predicted[rows]),
        both_accepted=count(accepted[0] & accepted[1]),
        only_a_accepted=count(accepted[0] & ~accepted[1]),
        only_b_accepted=count(accepted[1] & ~accepted[0]),
        none_accepted=count(~accepted[0] & ~accepted[1]),
    )


def _latency(bundles: tuple[Contender, Contender], rows: tuple[Any, Any]) -> list[dict[int, float]]:
    """Return batch size → median time, for each bundle; rows are repeated where there are too few."""
    subjects = [each.subject for each in bundles]
    feeds = [each.feed(its) for each, its in zip(subjects, rows, strict=True)]
    found: list[dict[int, float]] = [{}, {}]
    for size in LATENCY_BATCH_SIZES:
        batches = [repeated(feed, size) for feed in feeds]
        measured = median_us([each.runner for each in subjects], batches)
        for times, microseconds in zip(found, measured, strict=True):
            times[size] = microseconds
    return found


def _side(
    bundle: Contender, answers: Answers, measured: Measured, y: Classes, latency_us: dict[int, float]
) -> Compared:
    rows = measured.compared
    return Compared(
        name=bundle.name,
        graph_digest=bundle.manifest.graph_digest,
        estimator=bundle.manifest.estimator,
        calibrator=bundle.manifest.calibrator.method,
        threshold=promise_and_stricter(bundle.manifest.threshold),
        value=bundle.manifest.threshold.value,
        n_unscored=count(answers.predicted == NO_CLASS),
        curve=_thinned(*measured.curve()),
        reliability=_bins(reliability_diagram(answers.probabilities[rows], y[rows], _BINS, equal_mass)),
        latency_us=latency_us,
    )


def _thinned(coverage: Array, error: Array) -> tuple[tuple[float, float], ...]:
    kept = np.unique(np.linspace(0, len(coverage) - 1, min(_CURVE_POINTS, len(coverage))).round().astype(int))
    return tuple((float(coverage[i]), float(error[i])) for i in kept)


def _bins(found: ReliabilityDiagram) -> tuple[Bin, ...]:
    return tuple(
        Bin(
            n_rows=int(found.n_rows[i]),
            mean_confidence=float(found.mean_confidence[i]),
            accuracy=float(found.accuracy[i]),
            accuracy_interval=(float(found.low[i]), float(found.high[i])),
        )
        for i in np.flatnonzero(found.n_rows)
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
