"""What a threshold promises, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tamiz.v1.manifest_pb2 import Certificate, Promise, Subdivision, SubsetThreshold, Threshold


def promise(threshold: Threshold) -> str:
    """Return what a threshold promises over all rows, in a sentence."""
    which = "thresholds of their own" if threshold.subsets else f"threshold {threshold.value:.6g}"
    if not threshold.HasField("certificate"):
        return f"{which}, not certified: {threshold.not_certified}"
    certificate = threshold.certificate
    return (
        f"{which}: {_promised(certificate)}, with confidence {certificate.confidence_level:.3g}; about"
        f" {certificate.expected_coverage:.0%} of the rows are expected to be answered ({certificate.n_errors} errors among"
        f" {certificate.n_accepted} accepted of {certificate.n_rows} certification rows)"
    )


def promise_lines(threshold: Threshold) -> list[str]:
    """Return what a threshold promises over all rows, and then what it does for each class or slice."""
    return [promise(threshold), *(f"  {_subset(threshold, subset)}" for subset in threshold.subsets)]


def _subset(threshold: Threshold, subset: SubsetThreshold) -> str:
    by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
    name = f"{'predicted' if by_class else threshold.slice_input} {subset.name}"
    if not subset.HasField("certificate"):
        accepts = "abstains wholly" if subset.value > 1.0 else f"threshold {subset.value:.6g}"
        return f"{name}: {accepts}, not certified: {subset.not_certified}"
    certificate = subset.certificate
    return (
        f"{name}: threshold {subset.value:.6g}, about {certificate.expected_coverage:.0%} answered ({certificate.n_errors}"
        f" errors among {certificate.n_accepted} accepted of {certificate.n_rows})"
    )


def _promised(certificate: Certificate) -> str:
    say = _PROMISED.get(certificate.promise)
    return "a promise that this version does not know" if say is None else say(certificate)


def _selective_error(certificate: Certificate) -> str:
    return f"at most {certificate.max_error:.3g} of the accepted rows are wrong"


def _joint_error(certificate: Certificate) -> str:
    return (
        f"at most {certificate.max_error:.3g} of all rows are accepted and wrong (this says nothing of the share of errors"
        " among the accepted)"
    )


def _coverage(certificate: Certificate) -> str:
    return f"at least {certificate.min_coverage:.3g} of the rows are answered (this says nothing of errors)"


_PROMISED: Final[dict[int, Callable[[Certificate], str]]] = {
    Promise.PROMISE_UNSPECIFIED: _selective_error,
    Promise.PROMISE_SELECTIVE_ERROR: _selective_error,
    Promise.PROMISE_JOINT_ERROR: _joint_error,
    Promise.PROMISE_COVERAGE: _coverage,
}
