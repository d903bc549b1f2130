"""Which threshold does a row have, and does the certificate's promise hold at it?

The exporter and the server both ask here, and the rule of stricter wishes stands here only: `Proven.applied`.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import Promise, Subdivision, SubsetThreshold, Threshold

ACCEPT_NONE: Final = 2.0
"""A threshold that no confidence reaches."""

MAX_SUBSETS: Final = 100
"""The most subsets of a bundle: each takes a share of the certificate's delta, and labels of metrics."""

_MOST_WISHES: Final = 64
"""How many wishes are remembered, if thresholds differ. Callers repeat the same few."""


class Proven:
    """A threshold and what its certificate proves: of all rows, or of those of one class or slice.

    Attributes:
        value: the bundle's own threshold.
    """

    def __init__(self, threshold: Threshold | SubsetThreshold, *, known: bool = True) -> None:
        """Read a threshold. The certificate says nothing about rows of no known subset."""
        self.value: float = threshold.value
        certificate = threshold.certificate
        certified = known and threshold.HasField("certificate")
        # An older bundle lists none: then only its own threshold is proven.
        self._proven = (list(certificate.proven_thresholds) or [self.value]) if certified else []
        # A stricter threshold accepts fewer rows, so fewer wrong ones; a looser one accepts more rows.
        self._all_stricter = certified and certificate.promise == Promise.PROMISE_JOINT_ERROR
        self._all_looser = certified and certificate.promise == Promise.PROMISE_COVERAGE

    def applied(self, wanted: float | None, *, looser_allowed: bool = False) -> tuple[float, bool]:
        """Return the threshold that is applied to a wish, and whether the certificate's promise holds at it.

        A wish may be stricter than the bundle, and looser only by permission. The error among accepted rows
        does not have to fall as the threshold rises: the most confident rows of a model may be wrong most
        often. So a stricter wish is raised to the next threshold that is proven. Above the strictest proven
        one it is applied as it is, without a promise.

        Args:
            wanted: the smallest confidence that is wanted, from 0 to 1; None for the bundle's own threshold.
            looser_allowed: whether the operator lets requests accept less than the bundle does.
        """
        if wanted is None or (wanted < self.value and not looser_allowed):
            wanted = self.value
        if wanted < self.value:
            return wanted, self._all_looser
        next_proven = bisect_left(self._proven, wanted)
        if next_proven < len(self._proven):
            return self._proven[next_proven], True
        return wanted, self._all_stricter


class RequestThreshold(NamedTuple):
    """What the rows of one request have to reach.

    Attributes:
        value: a confidence. If thresholds differ, the strictest.
        certified: whether the promise holds at it. If thresholds differ, whether anything is promised.
        values: (n_subsets + 2,), float64, by class or slice; None if thresholds do not differ. The first and
            the last entry are those of rows of no known subset.
        values_certified: (n_subsets + 2,), bool, whether the promise holds at each of them.
    """

    value: float
    certified: bool
    values: NDArray[np.float64] | None = None
    values_certified: NDArray[np.bool_] | None = None


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
        self._has_certificate = threshold.HasField("certificate")
        self._all = Proven(threshold)
        # The strictest stands at both ends: an index outside, on either side, belongs to no known subset.
        unknown = Proven(threshold, known=False)
        self._table = [unknown, *map(Proven, threshold.subsets), unknown] if self.differ else []
        self._by_subset = lru_cache(_MOST_WISHES)(self._looked_up)

    def of_request(self, wanted: float | None, *, looser_allowed: bool) -> RequestThreshold:
        """Return the thresholds of a request's rows; `Proven.applied` says how a wish changes them.

        Args:
            wanted: the smallest confidence that the request accepts, from 0 to 1; None if it does not say.
            looser_allowed: whether the operator lets requests accept less than the bundle does.
        """
        if self.differ:
            return self._by_subset(wanted, looser_allowed)
        return RequestThreshold(*self._all.applied(wanted, looser_allowed=looser_allowed))

    def _looked_up(self, wanted: float | None, looser_allowed: bool) -> RequestThreshold:  # noqa: FBT001  a key
        applied = [each.applied(wanted, looser_allowed=looser_allowed) for each in self._table]
        values = np.array([value for value, _ in applied], dtype=np.float64)
        certified = np.array([certified for _, certified in applied], dtype=np.bool_)
        return RequestThreshold(float(values.max()), self._has_certificate, values, certified)

    def index_of_rows(
        self, probabilities: NDArray[np.float64], subset: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return, if thresholds differ, where each row's stands in `RequestThreshold.values`.

        Args:
            probabilities: (n_rows, n_classes), float64.
            subset: (n_rows,), int64, the graph's output of that name, where the thresholds differ by slice.
                An index outside the table stands for an unknown slice, and so does a missing output.

        Returns:
            (n_rows,), int64.
        """
        index = probabilities.argmax(axis=1) if self._by_class else subset
        if index is None:
            return np.zeros(len(probabilities), dtype=np.int64)
        return np.asarray(np.clip(np.asarray(index) + 1, 0, len(self._table) - 1))

    def of_rows(
        self, probabilities: NDArray[np.float64], subset: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the confidence that each row has to reach if no request asks for another one.

        Args:
            probabilities: (n_rows, n_classes), float64.
            subset: as in `index_of_rows`.

        Returns:
            (n_rows,), float64.
        """
        asked = self.of_request(None, looser_allowed=False)
        if asked.values is None:
            return np.full(len(probabilities), asked.value)
        return asked.values[self.index_of_rows(probabilities, subset)]
