"""Whether one model ranks rows worse than another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.counted import counted
from tamiz_convert.metrics.ranking import aurc
from tamiz_convert.metrics.resample import resamples
from tamiz_convert.metrics.top_label import Array, Classes


@dataclass(frozen=True)
class PairedDifference:
    """A difference on the same rows, and its standard error from a paired bootstrap."""

    difference: float
    standard_error: float


def aurc_difference(
    probabilities: Array,
    others: Array,
    y: Classes,
    *,
    groups: NDArray[Any] | None = None,
    weights: Array | None = None,
    n_resamples: int = 200,
    seed: int = 0,
) -> PairedDifference:
    """Return the AURC of `probabilities` minus the AURC of `others`.

    Args:
        probabilities: (n_rows, n_classes), float64.
        others: the same shape, for the same rows.
        y: (n_rows,), int64.
        groups: (n_rows,), which rows belong together and are drawn together; None if none do.
        weights: (n_rows,), how often each row counts, each time that it is drawn; None for once.
        n_resamples: how many times the rows are drawn, with replacement.
        seed: of the draws.
    """
    own, other = counted(aurc, probabilities, y), counted(aurc, others, y)
    drawn = resamples(len(y), n_resamples, seed, groups, weights)
    differences = [own(times) - other(times) for times in drawn]
    difference = aurc(probabilities, y, weights=weights) - aurc(others, y, weights=weights)
    return PairedDifference(difference, float(np.std(differences)))
