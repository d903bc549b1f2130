"""Whether one model ranks worse than another on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiz_convert.metrics.bins import totals
from tamiz_convert.metrics.ranking import area
from tamiz_convert.metrics.resample import resamples
from tamiz_convert.metrics.top_label import Array, Classes, confidence_of, correct_of


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
    once = np.ones(len(y), dtype=np.int64)
    drawn = resamples(len(y), n_resamples, seed, groups)
    differences = [ranked.aurc(times) - other.aurc(times) for times in drawn]
    return PairedDifference(ranked.aurc(once) - other.aurc(once), float(np.std(differences)))


@dataclass(frozen=True)
class _Ranked:
    """Rows ranked once, so that a resample is only a matter of how often each of them counts.

    Attributes:
        block: (n_rows,), which distinct confidence each row has, the highest first.
        wrong: (n_rows,), whether its predicted class is wrong.
    """

    block: NDArray[np.int64]
    wrong: NDArray[np.bool_]

    @classmethod
    def of(cls, probabilities: Array, y: Classes) -> _Ranked:
        _, block = np.unique(-confidence_of(probabilities), return_inverse=True)
        return cls(block, ~correct_of(probabilities, y))

    def aurc(self, times: NDArray[np.int64]) -> float:
        """Return the AURC with each row counted so many times."""
        rows = totals(self.block, times).astype(np.int64)
        return area(rows, totals(self.block, times * self.wrong))
