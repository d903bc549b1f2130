"""The comparison: two bundles, the same labeled rows, and what can be said about the difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.gate import NO_CLASS
from tamiz.v1.manifest_pb2 import DataType, InputSpec, Manifest, Promise
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.certificates.promise_text import promise
from tamiz_convert.comparison.differences import Measured, differences, exact_p_value, relabeled
from tamiz_convert.comparison.measure import Measure
from tamiz_convert.comparison.result import Bin, Compared, Comparison, Discordance
from tamiz_convert.comparison.slices import slice_columns, slices_of
from tamiz_convert.errors import BundleError, ExportError, RowsError
from tamiz_convert.graphs.latency import LATENCY_BATCH_SIZES, median_us, repeated
from tamiz_convert.metrics import (
    Array,
    Classes,
    ReliabilityDiagram,
    equal_mass,
    if_calibrated,
    reliability_diagram,
)
from tamiz_convert.metrics.holm import holm_corrected
from tamiz_convert.rows.labeled import labeled

Progress = Callable[[str, float], None]

_CURVE_POINTS: Final = 300
_BINS: Final = 10
_OF_ACCEPTED: Final = (Promise.PROMISE_UNSPECIFIED, Promise.PROMISE_SELECTIVE_ERROR)


@dataclass(frozen=True)
class _Bundle:
    """A bundle that is compared."""

    name: str
    subject: Subject

    @classmethod
    def read(cls, path: str | Path) -> _Bundle:
        """Open the version's folder, or the file in it."""
        folder = Path(path).resolve() if Path(path).is_dir() else Path(path).resolve().parent
        return cls(f"{folder.parent.name}/{folder.name}", Subject.read(path))

    @property
    def manifest(self) -> Manifest:
        return self.subject.manifest

    @property
    def columns(self) -> set[str]:
        """The names of inputs and columns that rows may have."""
        return {name for spec in self.manifest.inputs for name in (spec.name, *spec.column_names)}

    def inputs_beside(self, other: _Bundle) -> list[str]:
        """Return the inputs that the scores need, without a slice that only this bundle's thresholds need."""
        own = {self.manifest.threshold.slice_input} - other.columns
        return sorted(_described(spec) for spec in self.manifest.inputs if spec.name not in own)

    def rows_beside(self, other: _Bundle, rows: Any) -> Any:
        """Return the rows without a slice that only the other bundle needs, lest it be read as a feature."""
        if not isinstance(rows, pd.DataFrame):
            return rows
        return rows.drop(columns=list({other.manifest.threshold.slice_input} - self.columns), errors="ignore")


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
    progress: Progress | None = None,
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
        progress: called with the name of each step and the share of the work done before it.

    Raises:
        BundleError: if a file is not a bundle, or if the two do not answer the same question.
        RowsError: for rows, labels or slices that cannot be used.
        ExportError: for an `at_error` or `n_resamples` out of range.
    """
    say = progress or (lambda _step, _share: None)
    if at_error is not None and not (isinstance(at_error, Real) and 0.0 <= at_error < 1.0):
        raise ExportError(f"at_error is {at_error!r}; expected a share from 0 to below 1, such as 0.05")
    if not isinstance(n_resamples, Integral) or n_resamples < 1:
        raise ExportError(f"n_resamples is {n_resamples!r}; expected a whole number, at least 1")
    one, other = _Bundle.read(a), _Bundle.read(b)
    position = _matched(one, other)
    given = labeled(rows, labels, one.subject.classes, "compared")
    columns = slice_columns(slices, given.rows)

    say("running both", 0.0)
    asked = (one.rows_beside(other, given.rows), other.rows_beside(one, given.rows))
    answers = (one.subject.predict(asked[0]), relabeled(other.subject.predict(asked[1]), position))
    compared = (answers[0].predicted != NO_CLASS) & (answers[1].predicted != NO_CLASS)
    if not compared.any():
        raise RowsError(
            "no row has probabilities from both bundles: each row is invalid input for at least one of them"
        )
    at_error = _at_error(one, other, answers[0], given.y) if at_error is None else at_error
    measured = (
        Measured(answers[0], given.y, compared, at_error),
        Measured(answers[1], given.y, compared, at_error),
    )

    say("resampling the rows", 0.2)
    discordance = _discordance(measured, answers)
    measures = _measures(measured, answers, discordance.p_value, n_resamples, seed)

    say("measuring latency", 0.8)
    latency = _latency((one, other), asked)
    say("done", 1.0)
    sides = [
        _side(bundle, found, each, given.y, times)
        for bundle, found, each, times in zip((one, other), answers, measured, latency, strict=True)
    ]
    return Comparison(
        a=sides[0],
        b=sides[1],
        n_rows=len(given),
        n_compared=int(compared.sum()),
        at_error=at_error,
        measures=measures,
        discordance=discordance,
        slices=slices_of(columns, *measured),
        n_resamples=n_resamples,
        seed=seed,
    )


def _matched(a: _Bundle, b: _Bundle) -> NDArray[np.int64]:
    """Return the position of each class of B among those of A; refuse bundles that cannot be compared."""
    ours, theirs = (each.subject.classes.tolist() for each in (a, b))
    if set(ours) != set(theirs):
        raise BundleError(
            f"the bundles have different classes, {_named(ours)} in A ({a.name}) and {_named(theirs)} in B"
            f" ({b.name});"
            " only bundles that answer the same question can be compared"
        )
    inputs = [a.inputs_beside(b), b.inputs_beside(a)]
    if inputs[0] != inputs[1]:
        only = [[name for name in inputs[i] if name not in inputs[1 - i]] for i in (0, 1)]
        raise BundleError(
            f"the bundles read different inputs: only A ({a.name}) reads {_named(only[0])}, only B"
            f" ({b.name}) reads"
            f" {_named(only[1])}; only bundles that read the same inputs can be compared"
        )
    return np.array([ours.index(label) for label in theirs], dtype=np.int64)


def _described(spec: InputSpec) -> str:
    """Return what an input needs from the rows; the same rows can be read as numbers of any type."""
    kind = "strings" if spec.dtype == DataType.DATA_TYPE_STRING else "numbers"
    columns = f" ({', '.join(spec.column_names)})" if list(spec.column_names) not in ([], [spec.name]) else ""
    return f"{spec.name!r}{columns}: {kind}, {list(spec.shape)[1:]}"


def _named(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:10])) + (", …" if len(values) > 10 else "") if values else "nothing"  # noqa: PLR2004


def _at_error(a: _Bundle, b: _Bundle, answers: Answers, y: Classes) -> float:
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
    only_a, only_b = _count(right[0] & ~right[1]), _count(right[1] & ~right[0])
    return Discordance(
        n_rows=_count(rows),
        both_right=_count(right[0] & right[1]),
        only_a_right=only_a,
        only_b_right=only_b,
        both_wrong=_count(~right[0] & ~right[1]),
        p_value=exact_p_value(only_a, only_b),
        other_label=_count(answers[0].predicted[rows] != answers[1].predicted[rows]),
        both_accepted=_count(accepted[0] & accepted[1]),
        only_a_accepted=_count(accepted[0] & ~accepted[1]),
        only_b_accepted=_count(accepted[1] & ~accepted[0]),
        none_accepted=_count(~accepted[0] & ~accepted[1]),
    )


def _latency(bundles: tuple[_Bundle, _Bundle], rows: tuple[Any, Any]) -> list[dict[int, float]]:
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
    bundle: _Bundle, answers: Answers, measured: Measured, y: Classes, latency_us: dict[int, float]
) -> Compared:
    rows = measured.compared
    return Compared(
        name=bundle.name,
        graph_digest=bundle.manifest.graph_digest,
        estimator=bundle.manifest.estimator,
        calibrator=bundle.manifest.calibrator.method,
        threshold=promise(bundle.manifest.threshold),
        n_unscored=_count(answers.predicted == NO_CLASS),
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


def _count(rows: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(rows))
