"""The most probable class, which the gate uses, and whether it is right."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]

Metric = Callable[..., float]
"""(probabilities, y), and weights=(n_rows,) if it takes them → a number."""

_Measure = TypeVar("_Measure", bound=Callable[..., float])


def nan_with_nan(metric: _Measure) -> _Measure:
    """Return the metric, which is NaN if any probability is: such a row has no confidence."""

    @wraps(metric)
    def measured(probabilities: Array, *others: Any, **options: Any) -> float:
        return math.nan if np.isnan(probabilities).any() else metric(probabilities, *others, **options)

    return cast("_Measure", measured)


def confidence_of(probabilities: Array) -> Array:
    """Return (n_rows,), float64, the largest probability of each row."""
    return np.asarray(probabilities.max(axis=1))


def correct_of(probabilities: Array, y: Classes) -> NDArray[np.bool_]:
    """Return (n_rows,), whether the most probable class (the first if tied) is right."""
    return np.asarray(probabilities.argmax(axis=1) == y)


def mean(values: NDArray[Any], weights: Array | None) -> float:
    """Return the mean of (n_rows,) values, each as often as its weight says."""
    return float(values.mean() if weights is None else weights @ values / weights.sum())


def one_hot(probabilities: Array, y: Classes) -> NDArray[np.bool_]:
    """Return (n_rows, n_classes), whether each class is the right one."""
    return np.asarray(np.arange(probabilities.shape[1]) == y[:, None])
