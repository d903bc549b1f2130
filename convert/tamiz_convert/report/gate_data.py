"""What the gate does to the certification rows: how many it answers, and how many answers are wrong."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import Proven
from tamiz.v1.manifest_pb2 import Manifest, Subdivision
from tamiz_convert.evidence import ScoredRows
from tamiz_convert.metrics.binomial import interval, upper_bound
from tamiz_convert.metrics.ranking import risk_coverage_curve

_CURVE_POINTS: Final = 300
_THRESHOLDS: Final = 150
_DECIMALS: Final = 6
_MATRIX_CLASSES: Final = 10
_PAIRS: Final = 20
_VALUES_PER_COLUMN: Final = 100
_DEFAULT_LEVEL: Final = 0.9
_HISTOGRAM_BINS: Final = 20
_DELTA: Final = 0.05

Booleans = NDArray[np.bool_]


def counts(rows: Booleans, accepted: Booleans, wrong: Booleans) -> dict[str, Any]:
    """Return how many rows there are, how many of them are accepted, and how many of those are wrong.

    Args:
        rows: (n_rows,), which rows to count; likewise below.
        accepted: whether the gate answers.
        wrong: whether the prediction is wrong.

    Returns:
        `n_rows`, `n_accepted`, `n_errors`, `coverage`, `coverage_interval`, `error`, `error_interval`:
            two-sided
        Clopper-Pearson intervals at 95 %. A share of no rows is None where there are no rows to divide by.
    """
    n, k, e = int(rows.sum()), int((rows & accepted).sum()), int((rows & accepted & wrong).sum())
    return {
        "n_rows": n,
        "n_accepted": k,
        "n_errors": e,
        "coverage": k / n if n else None,
        "coverage_interval": _interval(k, n) if n else None,
        "error": e / k if k else None,
        "error_interval": _interval(e, k) if k else None,
    }


def gate_data(rows: ScoredRows) -> dict[str, Any]:
    """Return `counts` over all rows."""
    return counts(np.ones(len(rows.y), dtype=bool), rows.accepted, rows.wrong)


def curve_data(rows: ScoredRows) -> dict[str, Any]:
    """Return the risk-coverage curves before (None if there is none) and after, of at most 300 points."""
    before = rows.probabilities_before
    return {
        "after": _curve(rows.probabilities, rows.y, rows.scored),
        "before": None if before is None else _curve(before, rows.y, rows.scored),
    }


def threshold_data(rows: ScoredRows, manifest: Manifest) -> dict[str, Any]:
    """Return what single thresholds would do, strict to loose.

    The policy of the bundle and all proven thresholds are among them.

    Returns:
        `confidence_level` of the one-sided bounds, and `points`, each with `threshold` (None: the bundle's
        own thresholds per subset), `as_exported`, `proven` (whether the bundle's promise holds at it),
        `n_accepted`, `n_errors`, `coverage`, `error`, `error_upper_bound`.
    """
    level = manifest.threshold.certificate.confidence_level or _DEFAULT_LEVEL
    own = rows.accepted
    single = None if manifest.threshold.subsets else manifest.threshold.value
    listed = () if single is None else tuple(manifest.threshold.certificate.proven_thresholds)
    proven = [_point(rows, rows.confidence >= t, t, level) for t in listed if t != single]
    there = {point["n_accepted"] for point in proven}
    others = [
        _point(rows, rows.confidence >= t, float(t), level) for t in _thinned(rows.confidence) if t != single
    ]
    points = [*proven, *(point for point in others if point["n_accepted"] not in there)]
    points.append(_point(rows, own, single, level) | {"as_exported": True})
    for point in points:
        point["proven"] = _is_proven(manifest, point["threshold"])
    points.sort(key=lambda p: (p["n_accepted"], -(p["threshold"] or 0.0), p["as_exported"]))
    return {"confidence_level": level, "points": points}


def _is_proven(manifest: Manifest, threshold: float | None) -> bool:
    """Return whether the promise holds at a threshold; None stands for those of the subsets."""
    if threshold is None or manifest.threshold.subsets:
        return threshold is None and manifest.threshold.HasField("certificate")
    applied, certified = Proven(manifest.threshold).applied(threshold, looser_allowed=True)
    return certified and applied == threshold


def histogram_data(rows: ScoredRows) -> dict[str, Any]:
    """Return how many rows have which confidence, in bins of equal width over [0, 1]."""
    finite = rows.confidence[np.isfinite(rows.confidence)]
    n, edges = np.histogram(finite, bins=_HISTOGRAM_BINS, range=(0.0, 1.0))
    return {"edges": [float(edge) for edge in edges], "counts": n.tolist()}


def confusion_data(rows: ScoredRows) -> dict[str, Any]:
    """Return which class was taken for which, among accepted rows.

    Returns:
        `n_accepted`; `matrix` (row: true class, column: prediction) for few classes, else None; and `pairs`,
        the most frequent confusions with `truth` and `prediction` as indices into the classes.
    """
    n_classes = rows.probabilities.shape[1]
    truth, prediction = rows.y[rows.accepted], rows.prediction[rows.accepted]
    matrix = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(matrix, (truth, prediction), 1)
    wrong = matrix * (1 - np.eye(n_classes, dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    pairs = [
        (int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j]
    ]
    totals = matrix.sum(axis=1)
    return {
        "n_accepted": len(truth),
        "matrix": matrix.tolist() if n_classes <= _MATRIX_CLASSES else None,
        "pairs": [
            {"truth": i, "prediction": j, "n_rows": int(wrong[i, j]), "n_truth": int(totals[i])}
            for i, j in pairs
        ],
    }


def slice_data(rows: ScoredRows, manifest: Manifest) -> list[dict[str, Any]]:
    """Return `counts` by predicted class and by each column, with the threshold of a value that has its own.

    Rows without a predicted class are in no class, and in the value of every column.

    Returns:
        per column: `column` (None: the predicted class), `n_values`, and `values`, those with most rows first
            (classes in
        their order): `value`, `threshold`, and the entries of `counts`.
    """
    names = [str(name) for name in (manifest.classes.integers or manifest.classes.strings)]
    predicted = np.array(names)[rows.prediction[rows.scored]]
    classes = _column(None, predicted, rows.accepted[rows.scored], rows.wrong[rows.scored], manifest)
    classes["values"].sort(key=lambda each: names.index(each["value"]))
    columns = sorted(rows.slices.items())
    return [
        classes,
        *(_column(name, values, rows.accepted, rows.wrong, manifest) for name, values in columns),
    ]


def true_class_data(rows: ScoredRows, manifest: Manifest) -> dict[str, Any]:
    """Return `counts` by the true class, in the order of the classes: what each kind of request meets.

    Returns:
        `n_values`, and `values`: those of the classes that have rows. Each also has `taken_for`, the class
        that its wrong answers name most often; None if none is wrong.
    """
    names = [str(name) for name in (manifest.classes.integers or manifest.classes.strings)]
    present = np.unique(rows.y).tolist()
    values = [
        {"value": names[k], "threshold": None, "taken_for": _taken_for(rows, k, names)}
        | counts(rows.y == k, rows.accepted, rows.wrong)
        for k in present
    ]
    return {"column": None, "n_values": len(present), "values": values[:_VALUES_PER_COLUMN]}


def _taken_for(rows: ScoredRows, k: int, names: list[str]) -> str | None:
    wrong = rows.prediction[(rows.y == k) & rows.accepted & rows.wrong]
    return names[int(np.bincount(wrong).argmax())] if len(wrong) else None


def _column(
    name: str | None, values: NDArray[np.str_], accepted: Booleans, wrong: Booleans, manifest: Manifest
) -> dict[str, Any]:
    own = _own_thresholds(manifest, name)
    distinct, n_rows = np.unique(values, return_counts=True)
    order = np.argsort(-n_rows, kind="stable")[:_VALUES_PER_COLUMN]
    found = [
        {"value": str(value), "threshold": own.get(str(value))} | counts(values == value, accepted, wrong)
        for value in distinct[order]
    ]
    return {"column": name, "n_values": len(distinct), "values": found}


def _own_thresholds(manifest: Manifest, column: str | None) -> dict[str, float]:
    threshold = manifest.threshold
    by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS and column is None
    by_slice = threshold.subdivision == Subdivision.SUBDIVISION_SLICE and column == threshold.slice_input
    return {each.name: each.value for each in threshold.subsets} if by_class or by_slice else {}


def _interval(k: int, n: int) -> list[float]:
    """Return the two-sided Clopper-Pearson interval of a share of k in n, at 95 %."""
    return list(interval(k, n, _DELTA))


def _curve(
    probabilities: NDArray[np.float64], y: NDArray[np.int64], usable: Booleans
) -> list[dict[str, float]]:
    if not usable.any():
        return []
    curve = risk_coverage_curve(probabilities[usable], y[usable])
    kept = np.unique(np.linspace(0, len(curve.coverage) - 1, _CURVE_POINTS).round().astype(int))
    share = usable.mean()  # rows without probabilities are never answered, and count in the coverage
    return [{"coverage": float(curve.coverage[i] * share), "error": float(curve.risk[i])} for i in kept]


def _thinned(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return thresholds that each accept about as many more rows, rounded down to a readable number."""
    finite = np.sort(confidence[np.isfinite(confidence)])
    if len(finite) == 0:
        return finite
    at = np.unique(np.linspace(0, len(finite) - 1, _THRESHOLDS).round().astype(int))
    return np.unique(np.floor(finite[at] * 10**_DECIMALS) / 10**_DECIMALS)


def _point(rows: ScoredRows, accepted: Booleans, threshold: float | None, level: float) -> dict[str, Any]:
    n, k = int(accepted.sum()), int((accepted & rows.wrong).sum())
    return {
        "threshold": threshold,
        "as_exported": False,
        "n_accepted": n,
        "n_errors": k,
        "coverage": n / len(rows.y),
        "error": k / n if n else None,
        "error_upper_bound": upper_bound(k, n, 1.0 - level) if n else None,
    }
