"""Which threshold does a row have? The exporter and the server both ask here."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Subdivision, Threshold

ACCEPT_NONE: Final = 2.0
"""A threshold that no confidence reaches."""

MAX_SUBSETS: Final = 100
"""The most subsets of a bundle: each takes a share of the certificate's delta, and labels of metrics."""


class RequestThreshold(NamedTuple):
    """The threshold of the rows of one request, in one batch with those of others.

    Attributes:
        value: a confidence.
        replaces_own: whether every row has to reach exactly `value`. Otherwise each row has to reach its own
            threshold, by class or slice, and `value` too.
    """

    value: float
    replaces_own: bool

    def apply(self, own: NDArray[np.float64]) -> None:
        """Change the rows' own thresholds, (n_rows,), in place, to what the request's rows have to reach."""
        if self.replaces_own:
            own[:] = self.value
        elif self.value > 0.0:
            np.maximum(own, self.value, out=own)


class Thresholds:
    """The thresholds of a bundle, looked up row by row.

    Attributes:
        strictest: the largest threshold; if there is only one, it is that of every row.
        differ: whether they differ by predicted class or by slice.
    """

    def __init__(self, threshold: Threshold) -> None:
        self.strictest: float = threshold.value
        self.differ = threshold.subdivision != Subdivision.SUBDIVISION_UNSPECIFIED
        self._by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
        self._unless_asked = RequestThreshold(
            0.0 if self.differ else self.strictest, replaces_own=not self.differ
        )
        # The strictest stands at both ends: an index outside, on either side, belongs to no known subset.
        values = [self.strictest, *(subset.value for subset in threshold.subsets), self.strictest]
        self._table = np.array(values, dtype=np.float64)

    def of_request(self, wanted: float | None, *, looser_allowed: bool) -> RequestThreshold:
        """Return the threshold of a request's rows.

        A request may be stricter than the bundle, and looser only by permission. Otherwise a caller could
        void the certificate.

        Args:
            wanted: the smallest confidence that the request accepts, from 0 to 1; None if it does not say.
            looser_allowed: whether the operator lets requests accept less than the bundle does.
        """
        if wanted is None:
            return self._unless_asked
        if looser_allowed:
            return RequestThreshold(wanted, replaces_own=True)
        value, replaces_own = self._unless_asked
        return RequestThreshold(max(wanted, value), replaces_own)

    def of_rows(
        self, probabilities: NDArray[np.float64], subset: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the confidence that each row has to reach.

        Args:
            probabilities: (n_rows, n_classes), float64.
            subset: (n_rows,), int64, the graph's output of that name, where the thresholds differ by slice.
            An index
                outside the table stands for an unknown slice.

        Returns:
            (n_rows,), float64.
        """
        if not self.differ:
            return np.full(len(probabilities), self.strictest)
        index = probabilities.argmax(axis=1) if self._by_class else subset
        if index is None:
            return np.full(len(probabilities), self.strictest)
        return self._table.take(np.asarray(index) + 1, mode="clip")
