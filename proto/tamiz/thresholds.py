"""Which threshold does a row have? Asked by the exporter and by the server, answered here only."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Subdivision, Threshold

ACCEPT_NONE: Final = 2.0
"""A threshold that no confidence reaches."""

MAX_SUBSETS: Final = 100
"""The most subsets that a bundle may have: each takes its share of the certificate's doubt, and labels of metrics."""


class Thresholds:
    """The thresholds of a bundle, looked up row by row.

    Attributes:
        strictest: the largest of them; of every row, if there is only one.
        differ: whether they differ by predicted class or by slice.
    """

    def __init__(self, threshold: Threshold) -> None:
        self.strictest: float = threshold.value
        self.differ = threshold.subdivision != Subdivision.SUBDIVISION_UNSPECIFIED
        self._by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
        # The strictest stands at both ends: an index outside, on either side, is that of no known subset.
        values = [self.strictest, *(subset.value for subset in threshold.subsets), self.strictest]
        self._table = np.array(values, dtype=np.float64)

    def of_rows(
        self, probabilities: NDArray[np.float64], subset: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the confidence that each row has to reach.

        Args:
            probabilities: (n_rows, n_classes), float64.
            subset: (n_rows,), int64, the graph's output of that name, where the thresholds differ by slice; an index that
                points nowhere stands for an unknown slice.

        Returns:
            (n_rows,), float64.
        """
        if not self.differ:
            return np.full(len(probabilities), self.strictest)
        index = probabilities.argmax(axis=1) if self._by_class else subset
        if index is None:
            return np.full(len(probabilities), self.strictest)
        return self._table.take(np.asarray(index) + 1, mode="clip")
