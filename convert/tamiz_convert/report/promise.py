"""What a bundle promises, and what it does not, in plain language."""

from __future__ import annotations

from typing import Any, Final

from tamiz.v1.manifest_pb2 import Certificate, Manifest, Promise, Subdivision, SubsetThreshold, Threshold
from tamiz_convert.report.formats import count, listed, plain_percent

_KINDS: Final = {
    Promise.PROMISE_UNSPECIFIED: "selective_error",
    Promise.PROMISE_SELECTIVE_ERROR: "selective_error",
    Promise.PROMISE_JOINT_ERROR: "joint_error",
    Promise.PROMISE_COVERAGE: "coverage",
}
_SUBDIVISIONS: Final = {
    Subdivision.SUBDIVISION_UNSPECIFIED: "none",
    Subdivision.SUBDIVISION_PREDICTED_CLASS: "predicted_class",
    Subdivision.SUBDIVISION_SLICE: "slice",
}
_OTHER_TRAFFIC: Final = (
    "Anything about traffic that differs from the certification rows: other customers, another season, a"
    " changed sensor."
)


def promise_data(manifest: Manifest) -> dict[str, Any]:
    """Return the promise of a bundle's threshold.

    Returns:
        `kind`: "selective_error", "joint_error", "coverage" or "none"; `sentence` and `not_promised`: texts
            for people;
        `max_error`: the promised bound on the error among accepted rows, if there is one; `confidence_level`;
            `threshold`,
        `certificate` and `not_certified`: as in the manifest; `subdivision`, `slice_input` and `subsets`: the
            thresholds of
        classes or slices.
    """
    threshold = manifest.threshold
    subsets = [_subset(each) for each in threshold.subsets]
    leading = _leading(threshold)
    return {
        "kind": "none" if leading is None else _KINDS[leading.promise],
        "sentence": _sentence(threshold, leading),
        "not_promised": _not_promised(threshold, leading),
        "max_error": _selective_error(leading),
        "confidence_level": None if leading is None else leading.confidence_level,
        "threshold": threshold.value,
        "certificate": _certificate(threshold.certificate) if threshold.HasField("certificate") else None,
        "not_certified": threshold.not_certified or None,
        "subdivision": _SUBDIVISIONS[threshold.subdivision],
        "slice_input": threshold.slice_input or None,
        "subsets": subsets,
    }


def accepts_nothing(threshold: Threshold) -> bool:
    """Return whether no confidence reaches the threshold, nor the threshold of any subset."""
    return min([each.value for each in threshold.subsets] or [threshold.value]) > 1.0


def _leading(threshold: Threshold) -> Certificate | None:
    """Return the certificate that the sentence is about: the threshold's own, or one of a subset."""
    if threshold.HasField("certificate"):
        return threshold.certificate
    certified = [each.certificate for each in threshold.subsets if each.HasField("certificate")]
    return certified[0] if certified else None


def _selective_error(certificate: Certificate | None) -> float | None:
    if certificate is None or _KINDS[certificate.promise] != "selective_error":
        return None
    return certificate.max_error


def _subset(subset: SubsetThreshold) -> dict[str, Any]:
    return {
        "name": subset.name,
        "threshold": subset.value,
        "certificate": _certificate(subset.certificate) if subset.HasField("certificate") else None,
        "not_certified": subset.not_certified or None,
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    kind = _KINDS[certificate.promise]
    return {
        "promise": kind,
        "method": certificate.method,
        "max_error": None if kind == "coverage" else certificate.max_error,
        "min_coverage": certificate.min_coverage if kind == "coverage" else None,
        "confidence_level": certificate.confidence_level,
        "n_rows": certificate.n_rows,
        "n_accepted": certificate.n_accepted,
        "n_errors": certificate.n_errors,
        "n_groups": certificate.n_groups or None,
        "p_value": certificate.p_value,
        "error_upper_bound": None if kind == "coverage" else certificate.error_upper_bound,
        "expected_coverage": certificate.expected_coverage,
        "proven_thresholds": list(certificate.proven_thresholds),
    }


def _sentence(threshold: Threshold, leading: Certificate | None) -> str:
    if leading is None:
        if accepts_nothing(threshold):
            return "Nothing will be answered, and nothing is promised."
        return "Nothing is promised: this threshold is not certified."
    clause = _clause(leading)
    if threshold.subsets:
        return f"{_whose(threshold)}, {clause} – with {plain_percent(leading.confidence_level)} confidence."
    return f"{clause[0].upper()}{clause[1:]} – with {plain_percent(leading.confidence_level)} confidence."


def _clause(certificate: Certificate) -> str:
    """Return what is promised, as a clause that begins in lower case."""
    kind = _KINDS[certificate.promise]
    if kind == "coverage":
        return f"at least {plain_percent(certificate.min_coverage)} of all requests will be answered"
    if kind == "joint_error":
        return f"at most {plain_percent(certificate.max_error)} of all requests will be answered wrongly"
    return f"at most {plain_percent(certificate.max_error)} of the answers will be wrong"


def _whose(threshold: Threshold) -> str:
    """Return which subsets the promise is about: "For each of 10 predicted classes"."""
    n, certified = len(threshold.subsets), sum(each.HasField("certificate") for each in threshold.subsets)
    what = (
        "predicted classes"
        if threshold.subdivision == Subdivision.SUBDIVISION_PREDICTED_CLASS
        else f"values of {threshold.slice_input}"
    )
    return f"For each of {n} {what}" if certified == n else f"For each of {certified} out of {n} {what}"


def _not_promised(threshold: Threshold, leading: Certificate | None) -> list[str]:
    """Return what a reader might believe to be promised although it is not."""
    if leading is None:
        return [
            (
                "How many of the answers are wrong. What is shown here was seen on these rows; it may be"
                " worse on others."
            ),
            _OTHER_TRAFFIC,
        ]
    return [
        *_limits_of_kind(_KINDS[leading.promise]),
        _limit_of_subsets(threshold, leading),
        (
            f"Certainty. About {_odds(1.0 - leading.confidence_level)} to export like this may end with a"
            " promise that does not hold."
        ),
        _OTHER_TRAFFIC,
    ]


def _limits_of_kind(kind: str) -> list[str]:
    if kind == "coverage":
        return [
            "How many of the answers are wrong: this promise is only about how many requests are answered."
        ]
    share = "That the share of answered requests stays the same: it is an estimate from these rows."
    if kind == "joint_error":
        return [
            "How many of the answers are wrong: the promised share is of all requests, answered or not.",
            share,
        ]
    return [share]


def _limit_of_subsets(threshold: Threshold, leading: Certificate) -> str:
    if not threshold.subsets:
        subject = "coverage" if _KINDS[leading.promise] == "coverage" else "error"
        return f"The {subject} within a single class or group: the promise is about all answers together."
    left = [each.name for each in threshold.subsets if not each.HasField("certificate")]
    if left:
        return f"Anything for {listed(left)}, which could not be certified: see the table below."
    return "Anything within a part of a subset: each promise is about its subset as a whole."


def _odds(delta: float) -> str:
    """Return a probability as one would say it: 0.1 → "1 in 10 attempts"."""
    return f"1 in {count(max(round(1.0 / max(delta, 1e-9)), 1))} attempts"
