"""Sample weights: how often each row counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz.rows.cast import NUMBERS
from tamiz_convert.errors import RowsError
from tamiz_convert.rows.per_row import one_per_row

Array = NDArray[np.float64]


def sample_weights(values: Any, n_rows: int) -> Array:
    """Return the caller's weights, checked.

    Args:
        values: (n_rows,), numbers, as `one_per_row` reads them.
        n_rows: how many calibration rows there are.

    Returns:
        (n_rows,), float64, finite and at least 0; at least one is above 0.

    Raises:
        RowsError: for too few or too many of them, or one that is not a number from 0 up; if all are 0.
    """
    read = one_per_row([values] if isinstance(values, str) else values, "sample weights")
    if len(read.values) != n_rows:
        raise RowsError(
            f"there are {n_rows:,} calibration rows and {len(read.values):,} sample weights; expected one per"
            " row: sample_weight=X['weight'], not the column's name"
        )
    if read.missing.any():
        raise RowsError(
            f"{np.count_nonzero(read.missing):,} of {n_rows:,} sample weights are missing, the first in row"
            f" {np.argmax(read.missing)}: give every row its weight, 0 for a row that must not count"
        )
    listed = read.values.tolist() if read.values.dtype.kind not in "mM" else read.values.astype(str).tolist()
    odd = next((row for row, value in enumerate(listed) if not isinstance(value, NUMBERS)), None)
    if odd is not None:
        raise RowsError(
            f"the sample weight of row {odd} is {listed[odd]!r:.60}; expected a number from 0 up, as a number"
            " and not as text"
        )
    try:
        weights = read.values.astype(np.float64)
    except OverflowError:
        raise RowsError(
            "a sample weight is too large for a 64-bit float; divide all by the largest"
        ) from None
    outside = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0.0)))
    if len(outside):
        raise RowsError(
            f"{len(outside):,} of {n_rows:,} sample weights are not finite numbers from 0 up; the first is"
            f" {weights[outside[0]]:g}, in row {outside[0]}"
        )
    if not weights.any():
        raise RowsError(f"all {n_rows:,} sample weights are 0, so no row would count")
    return weights


def worth_of(weights: Array | None) -> Array | None:
    """Return weights that add up to the number of rows of equal weight that they are worth: (Σw)² / Σw².

    This is Kish's effective sample size (Survey Sampling, 1965). The weights of a survey may add up to
    millions; but one heavy row says no more than any other, so a calibrator must not be surer because of it.

    Args:
        weights: (n_rows,), above 0; or None.

    Returns:
        (n_rows,), float64; None if all weights are equal, because each row then counts once.
    """
    if weights is None or (weights == weights[0]).all():
        return None
    share = weights / weights.max()  # or squares would overflow
    return np.asarray(share * (share.sum() / (share**2).sum()))
