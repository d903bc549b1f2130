"""Whether one model ranks worse than another on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.ranking import area, aurc, by_confidence
from tamiz_convert.metrics.resample import resamples
from tamiz_convert.metrics.top_label import Array, Classes, correct_of


@dataclass(frozen=True)
class PairedDifference:
    """A difference on the same rows, and the standard error that a paired bootstrap gives it."""

    difference: float
    standard_error: float


def aurc_difference(
    probabilities: Array,
    others: Array,
    y: Classes,
    *,
    groups: NDArray[Any] | None = None,
    n_resamples: int = 200,
    seed: int = 0,
) -> PairedDifference:
    """Return the AURC of some probabilities minus that of others.

    Args:
        probabilities: (n_rows, n_classes), float64.
        others: likewise, of the same rows.
        y: (n_rows,), int64.
        groups: (n_rows,), which rows belong together and are drawn together; None if none do.
        n_resamples: how many times the rows are drawn, with replacement.
        seed: of the draws.
    """
    ranked, other = _Ranked.of(probabilities, y), _Ranked.of(others, y)
    drawn = resamples(len(y), n_resamples, seed, groups)
    differences = [ranked.aurc(times) - other.aurc(times) for times in drawn]
    return PairedDifference(aurc(probabilities, y) - aurc(others, y), float(np.std(differences)))


@dataclass(frozen=True)
class _Ranked:
    """Rows ranked once, so that a resample is only a matter of how often each of them counts.

    Attributes:
        order: (n_rows,), the rows by confidence, the highest first.
        starts: (n_blocks,), where in that order each distinct confidence starts.
        wrong: (n_rows,), whether each row's predicted class is wrong, in that order.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    wrong: NDArray[np.bool_]

    @classmethod
    def of(cls, probabilities: Array, y: Classes) -> _Ranked:
        order, starts = by_confidence(probabilities)
        return cls(order, starts, ~correct_of(probabilities, y)[order])

    def aurc(self, times: NDArray[np.int64]) -> float:
        """Return the AURC with each row counted so many times."""
        ordered = times[self.order]
        rows = np.add.reduceat(ordered, self.starts)
        return area(rows, np.add.reduceat(ordered * self.wrong, self.starts))
