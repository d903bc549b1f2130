"""Turn the promise that the caller asks for into the threshold that the bundle stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import decide
from tamiz.thresholds import ACCEPT_NONE, MAX_SUBSETS
from tamiz.v1.manifest_pb2 import Certificate, Promise, Subdivision, SubsetThreshold, Threshold
from tamiz_convert.certificates.certify import Certified, certify
from tamiz_convert.certificates.cheapest import COST_METHOD, bounded, cheapest_threshold
from tamiz_convert.certificates.fixed_sequence import METHOD
from tamiz_convert.certificates.promises import (
    COVERAGE_METHOD,
    JOINT_ERROR_METHOD,
    certify_coverage,
    certify_joint_error,
)
from tamiz_convert.certificates.subsets import SubsetRows, SubsetsCertified, certify_subsets
from tamiz_convert.errors import ExportError, UnattainableError
from tamiz_convert.metrics.prices import Prices

_WISHES: Final = ("max_error", "max_joint_error", "min_coverage", "cost", "threshold")


@dataclass(frozen=True)
class Policy:
    """What the caller wants of the threshold: exactly one of the first five attributes.

    Attributes:
        max_error: the wanted bound on the error among accepted rows.
        max_joint_error: the wanted bound on the share of all rows that are accepted and wrong.
        min_coverage: the wanted share of accepted rows.
        cost: what an error and an abstention cost (`Prices`); the cheapest threshold is taken.
        threshold: a fixed threshold, without a promise.
        confidence_level: the wanted probability that the promise holds.
        allow_uncertified: whether to write a bundle even if the promise cannot be proven.
        per_class: whether each predicted class gets its own threshold.
        slice_by: the column; each of its values gets its own threshold.
    """

    max_error: float | None = None
    max_joint_error: float | None = None
    min_coverage: float | None = None
    cost: Mapping[str, Any] | None = None
    threshold: float | None = None
    confidence_level: float = 0.9
    allow_uncertified: bool = False
    per_class: bool = False
    slice_by: str | None = None

    def __post_init__(self) -> None:
        given = [name for name in _WISHES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ExportError(
                "give either max_error, max_joint_error or min_coverage (a threshold is certified for it), or"
                " cost (the cheapest threshold is taken), or threshold (it is taken as it is); given:"
                f" {', '.join(given) or 'none of them'}"
            )
        for name in ("max_error", "max_joint_error", "min_coverage", "confidence_level"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                hint = f" ({value:g} % is {value / 100:g})" if 1.0 < value < 100.0 else ""  # noqa: PLR2004  percent
                raise ExportError(f"{name} is {value}; expected a number between 0 and 1{hint}")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ExportError(f"threshold is {self.threshold}; expected a confidence from 0 to 1")
        self._check_subdivision()

    def _check_subdivision(self) -> None:
        if self.per_class and self.slice_by is not None:
            raise ExportError("give either per_class or slice_by: a row has one threshold")
        if (self.per_class or self.slice_by is not None) and self.max_error is None:
            raise ExportError(
                "per_class and slice_by need max_error: other promises are made over all rows only"
            )

    @property
    def subdivision(self) -> Subdivision:
        """What the thresholds differ by."""
        if self.per_class:
            return Subdivision.SUBDIVISION_PREDICTED_CLASS
        return Subdivision.SUBDIVISION_UNSPECIFIED if self.slice_by is None else Subdivision.SUBDIVISION_SLICE


class Judged(NamedTuple):
    """Held-out rows and the output of the bundle's graph for them.

    Attributes:
        probabilities: (n_rows, n_classes), float64, calibrated; NaN where the inputs are invalid.
        y: (n_rows,), int64, the index of each row's class.
        slice_index: (n_rows,), int64, the index of each row's slice; None where there are no slices.
        groups: (n_rows,), which rows belong together; None if all are independent.
        weights: (n_rows,), how often each row counts where a threshold is chosen; no certificate reads them.
    """

    probabilities: NDArray[np.float64]
    y: NDArray[np.int64]
    slice_index: NDArray[np.int64] | None = None
    groups: NDArray[Any] | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def rows(self) -> SubsetRows:
        """Confidence, error and subset of each row: its slice, or else its predicted class.

        A row that the gate always refuses has the confidence NaN. It counts as a row, never as accepted.
        """
        decided = decide(self.probabilities, 0.0)
        confidence = np.where(decided.has_class, decided.confidence, np.nan)
        subset = decided.class_index if self.slice_index is None else self.slice_index
        return SubsetRows(confidence, decided.class_index != self.y, subset, self.groups)

    def cheapest(self, prices: Prices) -> float:
        """Return the threshold at which these rows cost least."""
        predicted = decide(self.probabilities, 0.0).class_index
        return cheapest_threshold(prices, self.rows.confidence, predicted, self.y, self.weights)


def choose_threshold(
    policy: Policy,
    calibration: Judged,
    certification: Judged,
    names: Sequence[str] = (),
    prices: Prices | None = None,
) -> Threshold:
    """Return the threshold that the policy wants, with its certificate.

    Args:
        policy: what the caller wants.
        calibration: the rows that place the candidates.
        certification: the rows that certify; used for nothing else.
        names: of the classes or slices, if each has its own threshold.
        prices: what the policy's `cost` is for these classes.

    Raises:
        UnattainableError: if the promise cannot be proven, unless the policy allows an uncertified bundle.
            Then the threshold is the candidate that looked best on the calibration rows, or accepts nothing.
        ExportError: if there are too many subsets.
    """
    if policy.threshold is not None:
        return Threshold(value=policy.threshold, not_certified="fixed by the caller")
    if prices is not None:
        cheapest = _cheapest(policy, prices, calibration, certification)
        cheapest.prices.CopyFrom(prices.message)
        return cheapest
    if len(names) > MAX_SUBSETS:
        raise ExportError(
            f"there are {len(names)} classes or slices; at most {MAX_SUBSETS} can be certified together"
        )
    try:
        if policy.subdivision != Subdivision.SUBDIVISION_UNSPECIFIED:
            return _subdivided(policy, calibration.rows, certification.rows, names)
        return _undivided(policy, calibration.rows, certification.rows)
    except UnattainableError as unattainable:
        if not policy.allow_uncertified:
            raise
        return _uncertified(policy, unattainable, names)


def _cheapest(policy: Policy, prices: Prices, calibration: Judged, certification: Judged) -> Threshold:
    """Return the cheapest threshold, with the error that the certification rows prove at it."""
    value = calibration.cheapest(prices)
    if value > 1.0:
        return Threshold(
            value=value, not_certified="it costs least to answer nothing, so nothing is promised"
        )
    found = bounded(value, certification.rows.outcomes, 1.0 - policy.confidence_level)
    if found is None:
        return Threshold(
            value=value, not_certified="no certification row is accepted and right, so no error is proven"
        )
    certified, error = found
    certificate = _certificate(policy, certified, policy.confidence_level)
    certificate.max_error = error
    return Threshold(value=value, certificate=certificate)


def _undivided(policy: Policy, calibration: SubsetRows, certification: SubsetRows) -> Threshold:
    level = policy.confidence_level
    rows = certification.outcomes
    if policy.max_joint_error is not None:
        found = certify_joint_error(rows, max_error=policy.max_joint_error, confidence_level=level)
    elif policy.min_coverage is not None:
        found = certify_coverage(rows, min_coverage=policy.min_coverage, confidence_level=level)
    else:
        max_error = policy.max_error or 0.0
        found = certify(calibration.outcomes, rows, max_error=max_error, confidence_level=level)
    return Threshold(value=found.threshold, certificate=_certificate(policy, found, level))


def _subdivided(
    policy: Policy, calibration: SubsetRows, certification: SubsetRows, names: Sequence[str]
) -> Threshold:
    found = certify_subsets(
        calibration,
        certification,
        names,
        max_error=policy.max_error or 0.0,
        confidence_level=policy.confidence_level,
    )
    return Threshold(
        value=found.overall.threshold,
        certificate=_certificate(policy, found.overall, policy.confidence_level),
        subdivision=policy.subdivision,
        slice_input=policy.slice_by,
        subsets=_subset_thresholds(policy, found),
    )


def _subset_thresholds(policy: Policy, found: SubsetsCertified) -> list[SubsetThreshold]:
    return [
        SubsetThreshold(name=subset.name, value=subset.threshold, not_certified=subset.reason)
        if subset.certified is None
        else SubsetThreshold(
            name=subset.name,
            value=subset.threshold,
            certificate=_certificate(policy, subset.certified, subset.confidence_level),
        )
        for subset in found.subsets
    ]


def _uncertified(policy: Policy, unattainable: UnattainableError, names: Sequence[str]) -> Threshold:
    value = ACCEPT_NONE if unattainable.threshold is None else unattainable.threshold
    reason = str(unattainable)
    return Threshold(
        value=value,
        not_certified=reason,
        subdivision=policy.subdivision,
        slice_input=policy.slice_by,
        subsets=[
            SubsetThreshold(name=name, value=value, not_certified="no subset could be certified")
            for name in names
        ],
    )


def _certificate(policy: Policy, found: Certified, confidence_level: float) -> Certificate:
    promise, method = _promise(policy)
    return Certificate(
        method=method,
        promise=promise,
        max_error=policy.max_error or policy.max_joint_error or 0.0,
        min_coverage=policy.min_coverage or 0.0,
        confidence_level=confidence_level,
        n_rows=found.n_rows,
        n_accepted=found.n_accepted,
        n_errors=found.n_errors,
        p_value=found.p_value,
        error_upper_bound=found.error_upper_bound or 0.0,
        expected_coverage=found.n_accepted / found.n_rows,
        n_groups=found.n_groups or 0,
        proven_thresholds=found.proven,
    )


def _promise(policy: Policy) -> tuple[Promise, str]:
    if policy.max_joint_error is not None:
        return Promise.PROMISE_JOINT_ERROR, JOINT_ERROR_METHOD
    if policy.min_coverage is not None:
        return Promise.PROMISE_COVERAGE, COVERAGE_METHOD
    if policy.cost is not None:
        return Promise.PROMISE_SELECTIVE_ERROR, COST_METHOD
    return Promise.PROMISE_SELECTIVE_ERROR, METHOD
