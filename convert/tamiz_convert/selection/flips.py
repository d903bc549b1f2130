"""Whether a calibrator turns the estimator's scores round, or changes its labels for the worse."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tamiz_convert.metrics.top_label import Array, Classes, mean

_STANDARD_ERRORS: Final = 4.0
"""How far beyond noise: by chance one calibrator in thirty thousand looks like that."""


def turned(own: Array, calibrated: Array, y: Classes, weights: Array | None = None) -> str | None:
    """Return how a calibrator turns the scores of some rows, for people; None if it does not.

    A calibrator may move labels, as it does for a model that was trained on balanced classes. But it must not
    make a class less likely where the estimator makes it more likely, exchange classes (as it would after
    classes= in the wrong order), or make more labels wrong.

    Args:
        own: (n_rows, n_classes), the estimator's probabilities, or any numbers that rise with them.
        calibrated: (n_rows, n_classes), the calibrator's.
        y: (n_rows,), the right classes.
        weights: (n_rows,), how often each row counts; None for once.
    """
    reversed_ = [k for k in range(own.shape[1]) if _falls(own[:, k], calibrated[:, k])]
    if reversed_:
        return (
            f"it reverses the order of the scores: it makes class number {reversed_[0]} less likely where the"
            " estimator makes it more likely"
        )
    labels, moved = own.argmax(axis=1), calibrated.argmax(axis=1)
    exchanged = _exchanged(labels, moved, own.shape[1])
    if len(exchanged):
        return f"it exchanges the labels of the classes number {', '.join(map(str, exchanged))}"
    before, after = labels == y, moved == y
    times = np.ones(len(y)) if weights is None else weights / weights.mean()
    lost = before.astype(np.float64) - after
    if mean(lost, times) > _STANDARD_ERRORS * (times * (lost - mean(lost, times))).std() / np.sqrt(len(y)):
        return (
            f"it changes labels for the worse: {mean(before, times):.1%} are right without it, and"
            f" {mean(after, times):.1%} with it"
        )
    return None


def _exchanged(labels: Classes, moved: Classes, n_classes: int) -> list[int]:
    """Return classes whose rows mostly get the label of the next of them, in a circle; often none."""
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (labels, moved), 1)
    kept, target = counts.diagonal(), counts.argmax(axis=1)
    most = counts.max(axis=1)
    is_moved = most - kept > _STANDARD_ERRORS * np.sqrt(most + kept)
    target = np.where(is_moved, target, np.arange(n_classes))
    end = np.arange(n_classes)
    for _ in range(n_classes):
        end = target[end]
    return [int(label) for label in np.unique(end[target[end] != end])]


def _falls(own: Array, calibrated: Array) -> bool:
    """Return whether one falls where the other rises, beyond noise."""
    spread = own.std() * calibrated.std()
    if spread == 0.0:
        return False
    correlation = ((own - own.mean()) * (calibrated - calibrated.mean())).mean() / spread
    return bool(correlation * np.sqrt(len(own)) < -_STANDARD_ERRORS)


def worse_than_chance(own: Array, y: Classes) -> bool:
    """Return whether the scores rank the classes in reverse, beyond noise.

    A score is in reverse if it is lower in the rows of its class than in the others. By the Mann-Whitney
    statistic, in standard errors without any relation, the mean over the classes.

    Args:
        own: (n_rows, n_classes), the estimator's probabilities, or any numbers that rise with them.
        y: (n_rows,), the right classes.
    """
    found = [_standard_errors(own[:, k], y == k) for k in np.unique(y)]
    return len(found) > 1 and float(np.mean(found)) < -_STANDARD_ERRORS


def _standard_errors(scores: Array, is_class: NDArray[np.bool_]) -> float:
    n_in, n_out = int(is_class.sum()), int((~is_class).sum())
    higher = rankdata(scores)[is_class].sum() - n_in * (n_in + 1) / 2
    return float((higher - n_in * n_out / 2) / np.sqrt(n_in * n_out * (n_in + n_out + 1) / 12))
