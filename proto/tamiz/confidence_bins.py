"""The bins that confidences are counted in: at export, as the reference, and while serving.

A value on an edge belongs to the bin below it. A value within a billionth of an edge is on it: a forest of 20
trees gives twentieths, and two ways to compute one may differ in the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

EDGES: Final = tuple(k / 20 for k in range(21))
"""From 0 to 1: one more than there are bins."""

_ON_EDGE: Final = 1e-9

BOUNDS: Final = tuple(edge + _ON_EDGE for edge in EDGES[1:])
"""The largest value of each bin."""

NAMES: Final = tuple(f"{edge:g}" for edge in EDGES[1:])
"""Each bin's name: its upper edge, as it stands in the label `le` of a histogram over BOUNDS."""


def counts(confidence: ArrayLike) -> NDArray[np.int64]:
    """Return how many confidences are in each bin, (20,); one above 1, by rounding, is in the last."""
    bins = np.searchsorted(BOUNDS, np.asarray(confidence, dtype=np.float64), side="left")
    return np.bincount(np.minimum(bins, len(BOUNDS) - 1), minlength=len(BOUNDS))


def have_edges(edges: Sequence[float]) -> bool:
    """Return whether a histogram has these bins, so that it can be compared with what `counts` returns."""
    return len(edges) == len(EDGES) and bool(np.allclose(edges, EDGES, rtol=0.0, atol=_ON_EDGE))
