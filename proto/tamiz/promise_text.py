"""What a certificate promises, in words: the same in exporter, server and client."""

from __future__ import annotations

from typing import Final

from tamiz.v1.manifest_pb2 import Certificate, Promise


def promised(certificate: Certificate) -> str:
    """Return what a certificate promises, without its confidence level."""
    words = _WORDS.get(certificate.promise, "a promise that this version does not know")
    counted = f" (approximate: it counts {certificate.n_groups:,} groups)" if certificate.n_groups else ""
    return words.format(certificate) + counted


_SELECTIVE_ERROR: Final = "at most {0.max_error:.3g} of the accepted rows are wrong"
_WORDS: Final[dict[int, str]] = {
    Promise.PROMISE_UNSPECIFIED: _SELECTIVE_ERROR,
    Promise.PROMISE_SELECTIVE_ERROR: _SELECTIVE_ERROR,
    Promise.PROMISE_JOINT_ERROR: "at most {0.max_error:.3g} of all rows are accepted and wrong (this says"
    " nothing about the share of errors among the accepted)",
    Promise.PROMISE_COVERAGE: "at least {0.min_coverage:.3g} of the rows are accepted (this says nothing"
    " about errors)",
}
