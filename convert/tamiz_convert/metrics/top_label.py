"""The most probable class, which the gate uses, and whether it is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]

Metric = Callable[[Array, Classes], float]
"""(probabilities, y) → a number."""


def confidence_of(probabilities: Array) -> Array:
    """Return (n_rows,), float64, the largest probability of each row."""
    return np.asarray(probabilities.max(axis=1))


def correct_of(probabilities: Array, y: Classes) -> NDArray[np.bool_]:
    """Return (n_rows,), whether the most probable class (the first if tied) is right."""
    return np.asarray(probabilities.argmax(axis=1) == y)


def one_hot(probabilities: Array, y: Classes) -> NDArray[np.bool_]:
    """Return (n_rows, n_classes), whether each class is the right one."""
    return np.asarray(np.arange(probabilities.shape[1]) == y[:, None])
