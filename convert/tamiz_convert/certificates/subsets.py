"""One threshold per subset of the rows, all certified together.

A certificate over all rows says nothing about a part of them: a pooled threshold may keep its promise while
the error in a hard slice is many times higher. Here each subset is certified on its own rows with an equal
share of delta. So all certificates hold together with probability 1 − delta (Bonferroni's inequality). If
each subset keeps the promise, all accepted rows together keep it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.thresholds import ACCEPT_NONE
from tamiz_convert.certificates.certify import Certified, certify, find
from tamiz_convert.certificates.outcomes import Confidences, Errors, Groups, Outcomes
from tamiz_convert.errors import UnattainableError
from tamiz_convert.metrics.binomial import p_values, upper_bound

_SHOWN: Final = 3


class SubsetRows(NamedTuple):
    """Held-out rows with the subset of each.

    Attributes:
        confidence: (n,), float64; NaN is never accepted.
        error: (n,), bool, whether the prediction is wrong.
        subset: (n,), int64, the subset of each row, from 0; a row with any other number is in no subset.
        group: (n,), int64, which rows belong together; None if all are independent.
    """

    confidence: Confidences
    error: Errors
    subset: NDArray[np.int64]
    group: Groups | None = None

    @property
    def outcomes(self) -> Outcomes:
        """All rows."""
        return Outcomes(self.confidence, self.error, self.group)

    def of(self, index: int) -> Outcomes:
        """Return the rows of one subset."""
        its = self.subset == index
        return Outcomes(
            self.confidence[its], self.error[its], None if self.group is None else self.group[its]
        )


@dataclass(frozen=True)
class SubsetCertified:
    """The result for one subset.

    Attributes:
        name: the class or the slice, as text.
        certified: its threshold; None if nothing could be proven.
        reason: why nothing could be proven; else empty.
    """

    name: str
    certified: Certified | None
    reason: str = ""

    @property
    def threshold(self) -> float:
        """Accept where the confidence is at least this; an uncertified subset accepts nothing."""
        return ACCEPT_NONE if self.certified is None else self.certified.threshold


@dataclass(frozen=True)
class SubsetsCertified:
    """The result for all subsets.

    Attributes:
        subsets: one entry per name.
        overall: over the rows of all subsets together. Its threshold is the strictest one; its p-value and
            bound come from the pooled counts.
        confidence_level: of each subset's own certificate.
    """

    subsets: tuple[SubsetCertified, ...]
    overall: Certified
    confidence_level: float


def certify_subsets(
    calibration: SubsetRows,
    certification: SubsetRows,
    names: Sequence[str],
    *,
    max_error: float,
    confidence_level: float,
) -> SubsetsCertified:
    """Find, for each subset, the loosest threshold that its certification rows prove.

    Args:
        calibration: the rows that place the candidates.
        certification: the rows that prove.
        names: the names of the subsets, in the order of their indices. Their choice may depend on the rows,
            but not on confidences or labels.
        max_error: the wanted bound on the error among the accepted rows of each subset, between 0 and 1.
        confidence_level: the wanted probability that all bounds hold, between 0 and 1.

    Raises:
        UnattainableError: if no subset can be certified. If some can, the others accept nothing.
    """
    own_level = 1.0 - (1.0 - confidence_level) / len(names)
    found = find_in_subsets(
        calibration, certification, len(names), max_error=max_error, confidence_level=own_level
    )
    subsets = tuple(
        SubsetCertified(name, certified)
        if certified is not None
        else SubsetCertified(
            name, None, _reason(calibration.of(index), certification.of(index), max_error, own_level)
        )
        for index, (name, certified) in enumerate(zip(names, found, strict=True))
    )
    proven = [subset.certified for subset in subsets if subset.certified is not None]
    if not proven:
        raise _unattainable(subsets, max_error, confidence_level)
    k, n = sum(each.n_errors for each in proven), sum(each.n_accepted for each in proven)
    n_groups = certification.outcomes.n_groups
    # The pooled counts of groups are not those of independent rows: what holds in each subset holds for all.
    p_value = len(names) * max(each.p_value for each in proven)
    bound = max(each.error_upper_bound or 1.0 for each in proven)
    if n_groups is None:
        p_value, bound = float(p_values(k, n, max_error)), upper_bound(k, n, 1.0 - confidence_level)
    strictest = max(subset.threshold for subset in subsets)
    n_rows = len(certification.confidence)
    overall = Certified(strictest, n_rows, n, k, min(p_value, 1.0), bound, n_groups)
    return SubsetsCertified(subsets, overall, own_level)


def find_in_subsets(
    calibration: SubsetRows,
    certification: SubsetRows,
    n_subsets: int,
    *,
    max_error: float,
    confidence_level: float,
) -> list[Certified | None]:
    """Return what the rows of each subset prove at this confidence level; None if they prove nothing."""
    return [
        find(calibration.of(index), certification.of(index), max_error=max_error, delta=1 - confidence_level)
        for index in range(n_subsets)
    ]


def _reason(calibration: Outcomes, certification: Outcomes, max_error: float, confidence_level: float) -> str:
    """Return why nothing could be proven."""
    try:
        certify(calibration, certification, max_error=max_error, confidence_level=confidence_level)
    except UnattainableError as error:
        return str(error)
    raise AssertionError("certify proves what find does not: this is a bug")


def _unattainable(
    subsets: Sequence[SubsetCertified], max_error: float, confidence_level: float
) -> UnattainableError:
    shown = "; ".join(f"{subset.name!r}: {subset.reason}" for subset in subsets[:_SHOWN])
    more = f"; and {len(subsets) - _SHOWN} more" if len(subsets) > _SHOWN else ""
    return UnattainableError(
        f"none of the {len(subsets)} subsets can be certified for an error of at most {max_error:g}, all"
        f" together with confidence {confidence_level:g}. {shown}{more}",
        threshold=None,
    )
