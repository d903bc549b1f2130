"""Which rows can be answered at all? Asked by the exporter and by the server, answered here only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

TOLERANCE: Final = 1e-6
"""Probabilities come out of sums of rounded numbers; one beyond this is not a probability any more."""


class Input(Protocol):
    """What has to be known of an input; the manifest's `InputSpec` says it."""

    @property
    def name(self) -> str:
        """The graph's name for it."""
        ...

    @property
    def missing_values_allowed(self) -> bool:
        """Whether the model handles NaN in it."""
        ...


def valid_rows(inputs: Mapping[str, NDArray[Any]], specs: Iterable[Input]) -> NDArray[np.bool_] | None:
    """Return which rows hold only values that the model can handle; None when all do.

    A row is invalid when it holds an infinity, or NaN in an input that does not allow missing values.

    Args:
        inputs: name → (n_rows, …), of any dtype.
        specs: what the model reads.

    Returns:
        (n_rows,), bool, or None.
    """
    invalid: NDArray[np.bool_] | None = None
    for spec in specs:
        array = inputs[spec.name]
        if array.dtype.kind != "f" or _all_finite(array):
            continue
        bad = np.isinf(array) if spec.missing_values_allowed else ~np.isfinite(array)
        bad_rows: NDArray[np.bool_] = np.any(bad.reshape(len(array), -1), axis=1)
        invalid = bad_rows if invalid is None else invalid | bad_rows
    return None if invalid is None or not invalid.any() else ~invalid


def proper_rows(probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows of (n_rows, n_classes) are probabilities: none is negative or NaN, and they sum to 1."""
    # Written so that a NaN anywhere fails: it survives the sum, and every comparison with it is false.
    with np.errstate(invalid="ignore"):
        sums_to_one = np.abs(probabilities.sum(axis=1) - 1.0) <= TOLERANCE
        return np.asarray(sums_to_one & (probabilities.min(axis=1) >= -TOLERANCE))


def _all_finite(array: NDArray[Any]) -> bool:
    """Return whether there is neither NaN nor infinity: both survive a sum of squares, which is one quick call."""
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
