"""Fit a calibrator by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tamiz.gate import TOLERANCE
from tamiz_convert.calibrators import METHODS, choice, unknown
from tamiz_convert.calibrators.calibrator import Array, Calibrator, ClassIndices
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.errors import EstimatorError, RowsError
from tamiz_convert.graphs.score_graph import ScoresKind


def fit(
    method: str,
    scores: Array,
    y: ClassIndices,
    *,
    kind: ScoresKind,
    n_classes: int,
    classes: Sequence[Any] | None = None,
    weights: Array | None = None,
) -> Calibrator:
    """Fit a calibrator.

    Args:
        method: one of METHODS.
        scores: (n_rows, 1) for two classes, else (n_rows, n_classes), float64.
        y: (n_rows,), the index of each row's class.
        kind: what the scores are.
        n_classes: how many classes there are.
        classes: (n_classes,), their labels, for messages.
        weights: (n_rows,), finite and at least 0: a row of weight 2 counts as two rows, and one of weight 0
            as none; None counts each row once.

    Raises:
        EstimatorError: if the method is unknown or needs probabilities and gets margins, or if `kind` says
            probabilities and the scores are not.
        RowsError: if scores are not finite, or a class is missing.
    """
    if method not in METHODS:
        raise unknown(method)
    calibrator = METHODS[method]
    if kind == "margins" and calibrator.needs_probabilities:
        raise EstimatorError(
            f"calibrator {method!r} needs an estimator with probabilities of its own, and this one has only"
            " margins; choose"
            f" {choice(name for name, other in METHODS.items() if not other.needs_probabilities)}"
        )
    _refuse_not_finite(scores)
    if kind == "probabilities":
        _refuse_improper(scores)
    if calibrator is Identity:
        return Identity(kind)
    if weights is None:
        weights = np.ones(len(y))
    elif not weights.all():
        counted = weights > 0.0
        scores, y, weights = scores[counted], y[counted], weights[counted]
    if calibrator.needs_every_class:
        refuse_absent(y, range(n_classes) if classes is None else classes)
    fitted = calibrator.fit(scores, y, kind, weights)
    return replace(fitted, support=float(weights.sum())) if fitted.is_formula else fitted


def _refuse_not_finite(scores: Array) -> None:
    if not np.isfinite(scores).all():
        rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        raise RowsError(
            f"the estimator gives no finite score for {len(rows)} calibration row(s), the first of them row"
            f" {rows[0]}: {scores[rows[0]].tolist()}. If values are missing there, impute them in the model."
            " If the model forbids a class by -inf, let it give a low finite score, such as -1e4"
        )


def _refuse_improper(scores: Array) -> None:
    """Refuse scores outside [0, 1], and rows that do not sum to 1."""
    outside = np.flatnonzero(((scores < -TOLERANCE) | (scores > 1.0 + TOLERANCE)).any(axis=1))
    if len(outside):
        row = scores[outside[0]]
        worst = row[np.argmax(np.maximum(-row, row - 1.0))]
        raise EstimatorError(
            f"the estimator's scores are not probabilities: calibration row {outside[0]} has {worst:.6g};"
            " expected numbers from 0 to 1"
        )
    total = scores.sum(axis=1)
    improper = np.flatnonzero(np.abs(total - 1.0) > TOLERANCE)
    if scores.shape[1] > 1 and len(improper):
        raise EstimatorError(
            f"the estimator's scores are not probabilities: those of calibration row {improper[0]} sum to"
            f" {total[improper[0]]:.6g}, expected 1; divide each row by its sum"
        )


def refuse_absent(y: ClassIndices, classes: Sequence[Any]) -> None:
    """Refuse rows if a class is missing among them.

    Args:
        y: (n_rows,), the index of each row's class.
        classes: (n_classes,), their labels.

    Raises:
        RowsError: with the labels that are missing.
    """
    named = absent(y, classes)
    if named:
        others = choice(name for name, other in METHODS.items() if not other.needs_every_class)
        raise RowsError(
            f"no calibration row of class {named}: this calibrator learns each class from its own rows; add"
            f" some, or choose {others}, which need none"
        )


def absent(y: ClassIndices, classes: Sequence[Any]) -> str:
    """Return the labels of the classes without rows, for people; empty if every class has rows."""
    present = set(np.unique(y).tolist())
    labels = [label for k, label in enumerate(classes) if k not in present]
    return ", ".join(repr(label.item() if isinstance(label, np.generic) else label) for label in labels)
