"""What a certificate promises, in words: the same in exporter, server and client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tamiz.v1.manifest_pb2 import Certificate, Promise


def promised(certificate: Certificate) -> str:
    """Return what a certificate promises, without its confidence level."""
    say = _WORDS.get(certificate.promise)
    return "a promise that this version does not know" if say is None else say(certificate)


def _selective_error(certificate: Certificate) -> str:
    return f"at most {certificate.max_error:.3g} of the accepted rows are wrong"


def _joint_error(certificate: Certificate) -> str:
    return (
        f"at most {certificate.max_error:.3g} of all rows are accepted and wrong (this says nothing about the"
        " share of errors among the accepted)"
    )


def _coverage(certificate: Certificate) -> str:
    return (
        f"at least {certificate.min_coverage:.3g} of the rows are accepted (this says nothing about errors)"
    )


_WORDS: Final[dict[int, Callable[[Certificate], str]]] = {
    Promise.PROMISE_UNSPECIFIED: _selective_error,
    Promise.PROMISE_SELECTIVE_ERROR: _selective_error,
    Promise.PROMISE_JOINT_ERROR: _joint_error,
    Promise.PROMISE_COVERAGE: _coverage,
}
