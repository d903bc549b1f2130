"""What other splits of the same rows would have certified: a diagnosis, so that nobody tries seeds.

A split that certifies where most do not is luck, and a certificate that is chosen for it holds less often
than it says. The confidences stay those of the one calibrator, so this costs no other export.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tamiz_convert.certificates.certify import find
from tamiz_convert.certificates.promises import certify_coverage, certify_joint_error
from tamiz_convert.certificates.subsets import SubsetRows, find_in_subsets
from tamiz_convert.certificates.threshold_choice import Judged, Policy
from tamiz_convert.errors import UnattainableError

N_SPLITS: Final = 20


@dataclass(frozen=True)
class OtherSplits:
    """What other splits of the same rows, into parts of the same sizes, would have certified.

    Attributes:
        n_splits: how many were tried.
        coverages: ascending, the share of certification rows answered by each that certified.
    """

    n_splits: int
    coverages: tuple[float, ...]

    def __str__(self) -> str:
        answered = ""
        if self.coverages:
            least, most = self.coverages[0], self.coverages[-1]
            answered = f" and answer {least:.0%} to {most:.0%} of the rows"
        return (
            f"of {self.n_splits} other splits of the same rows {len(self.coverages)} certify{answered} (a"
            " diagnosis, not a certificate: one that is found by trying seeds holds less often than it says)"
        )


def other_splits(
    policy: Policy, calibration: Judged, certification: Judged, n_subsets: int, seed: int
) -> OtherSplits | None:
    """Return what other splits would have certified; None if the policy asks for no promise.

    Args:
        policy: what the caller wants.
        calibration: the rows of one side of the split.
        certification: the rows of the other side.
        n_subsets: how many classes or slices there are, if each has its own threshold.
        seed: of the splits.
    """
    if policy.threshold is not None or policy.cost is not None:
        return None
    certifying = certification.rows
    rows = calibration.rows.joined(certifying)
    unit = np.arange(len(rows.confidence)) if rows.group is None else rows.group
    n_certifying = len(np.unique(unit[-len(certifying.confidence) :]))
    random = np.random.default_rng(seed)
    coverages = []
    for _ in range(N_SPLITS):
        certifies = np.isin(unit, random.permutation(np.unique(unit))[:n_certifying])
        share = _answered(policy, rows.where(~certifies), rows.where(certifies), n_subsets)
        if share is not None:
            coverages.append(share)
    return OtherSplits(N_SPLITS, tuple(sorted(coverages)))


def _answered(
    policy: Policy, calibration: SubsetRows, certification: SubsetRows, n_subsets: int
) -> float | None:
    """Return the share of certification rows that are answered; None if nothing is certified."""
    level = policy.confidence_level
    rows, delta = certification.outcomes, 1.0 - level
    try:
        if policy.max_joint_error is not None:
            found = [certify_joint_error(rows, max_error=policy.max_joint_error, confidence_level=level)]
        elif policy.min_coverage is not None:
            found = [certify_coverage(rows, min_coverage=policy.min_coverage, confidence_level=level)]
        elif n_subsets:
            max_error = policy.max_error or 0.0
            each = find_in_subsets(calibration, certification, n_subsets, max_error=max_error, delta=delta)
            found = [certified for certified in each if certified is not None]
        else:
            one = find(calibration.outcomes, rows, max_error=policy.max_error or 0.0, delta=delta)
            found = [] if one is None else [one]
    except UnattainableError:
        found = []
    return sum(each.n_accepted for each in found) / rows.n_rows if found else None
