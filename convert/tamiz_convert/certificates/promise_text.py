"""What a threshold promises, in sentences."""

from __future__ import annotations

from tamiz.promise_text import promised
from tamiz.v1.manifest_pb2 import Certificate, Promise, Subdivision, SubsetThreshold, Threshold


def promise(threshold: Threshold) -> str:
    """Return what a threshold promises over all rows, in a sentence."""
    which = _which(threshold)
    if not threshold.HasField("certificate"):
        return f"{which}, not certified: {threshold.not_certified}"
    certificate = threshold.certificate
    return (
        f"{which}: {promised(certificate)}, with confidence {certificate.confidence_level:.3g}; about"
        f" {certificate.expected_coverage:.0%} of the rows are expected to be answered"
        f" ({certificate.n_errors} errors among {certificate.n_accepted} accepted of {certificate.n_rows}"
        " certification rows)"
    )


def _which(threshold: Threshold) -> str:
    if not threshold.subsets:
        return "accepts nothing" if threshold.value > 1.0 else f"threshold {threshold.value:.6g}"
    if threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS:
        return f"a threshold for each of {len(threshold.subsets)} predicted classes"
    return f"a threshold for each of {len(threshold.subsets)} values of {threshold.slice_input}"


def promise_lines(threshold: Threshold) -> list[str]:
    """Return what a threshold promises over all rows, also if a request wants a stricter one.

    Then comes one line for each class or slice.
    """
    return [
        promise(threshold),
        *(f"  {line}" for line in _at_stricter(threshold)),
        *(f"  {_subset(threshold, subset)}" for subset in threshold.subsets),
    ]


def promise_and_stricter(threshold: Threshold) -> str:
    """Return what a threshold promises over all rows, also if a request wants a stricter one, in a line."""
    return "; ".join([promise(threshold), *_at_stricter(threshold)])


def _at_stricter(threshold: Threshold) -> list[str]:
    if threshold.subsets or not threshold.HasField("certificate"):
        return []
    return [stricter(threshold.certificate)]


def stricter(certificate: Certificate) -> str:
    """Return what a certificate promises at stricter thresholds than its own."""
    if certificate.promise == Promise.PROMISE_JOINT_ERROR:
        return "stricter thresholds: every one keeps the promise"
    if certificate.promise == Promise.PROMISE_COVERAGE:
        return "stricter thresholds: none is proven, because they answer less"
    others = certificate.proven_thresholds[1:]
    if not others:
        return "stricter thresholds: none is proven"
    return (
        f"stricter thresholds: {len(others)} proven too, up to {others[-1]:.6g}; a stricter wish is raised to"
        " the next of them"
    )


def _subset(threshold: Threshold, subset: SubsetThreshold) -> str:
    by_class = threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
    name = f"{'predicted' if by_class else threshold.slice_input} {subset.name}"
    if not subset.HasField("certificate"):
        accepts = "abstains wholly" if subset.value > 1.0 else f"threshold {subset.value:.6g}"
        return f"{name}: {accepts}, not certified: {subset.not_certified}"
    certificate = subset.certificate
    return (
        f"{name}: threshold {subset.value:.6g}, about {certificate.expected_coverage:.0%} answered"
        f" ({certificate.n_errors} errors among {certificate.n_accepted} accepted of {certificate.n_rows});"
        f" {stricter(certificate)}"
    )
