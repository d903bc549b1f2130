"""Reads and verifies a bundle. Everything is checked before anything is built; nothing is unpickled."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tamiz.bundle_format import FormatError, parse_bundle
from tamiz.thresholds import MAX_SUBSETS
from tamiz.v1.manifest_pb2 import DataType, Manifest, Promise, Subdivision, SubsetThreshold, Threshold
from tamiz_server.errors import BundleError
from tamiz_server.model.signature import TrustedKeys
from tamiz_server.system.files import may_pass, read_regular_file

MAX_BYTES: Final = 2**31
"""The largest ONNX file with all its tensors in it: protobuf's limit."""

_MIN_CLASSES = 2
_SHARES = (
    "max_error",
    "min_coverage",
    "confidence_level",
    "p_value",
    "error_upper_bound",
    "expected_coverage",
)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: where it was read.
        content: the bytes of the ONNX file, exactly those that were verified.
        manifest: the bundle's manifest.
    """

    path: Path
    content: bytes
    manifest: Manifest


def read_bundle(path: Path, keys: TrustedKeys | None = None, max_bytes: int = MAX_BYTES) -> Bundle:
    """Read and verify a bundle.

    Args:
        path: the file `model.onnx`.
        keys: one of these must have signed it; None: it needs no signature.
        max_bytes: how large it may be.

    Raises:
        BundleError: if the file cannot be read, is truncated or not an ONNX file; if it has no manifest, a
            newer format, another digest than its manifest says, or not the required signature; or if the
            manifest contradicts itself.
    """
    try:
        content = read_regular_file(path, max_bytes)
    except OSError as error:
        raise BundleError(
            f"{path}: it cannot be read ({error.strerror}): expected a file that tamiz-convert wrote",
            may_pass=may_pass(error),
        ) from error
    if keys is not None:  # before anything is parsed
        keys.verify(path, content)
    return parse(path, content)


def parse(path: Path, content: bytes) -> Bundle:
    """Return the bundle that some bytes hold; `path` is where they were read. Raises as `read_bundle`."""
    try:
        manifest = parse_bundle(content)
    except FormatError as error:
        raise BundleError(f"{path}: {error}") from error
    _check_manifest(path, manifest)
    return Bundle(path, content, manifest)


def _check_manifest(path: Path, manifest: Manifest) -> None:
    def require(condition: bool, problem: str) -> None:  # noqa: FBT001  reads like assert
        if not condition:
            raise BundleError(f"{path}: its manifest {problem}; export it again")

    require(bool(manifest.inputs), "names no input")
    for spec in manifest.inputs:
        require(bool(spec.shape) and spec.shape[0] == -1, f"has no dimension of rows for input {spec.name!r}")
        require(
            spec.dtype in DataType.values() and spec.dtype != DataType.DATA_TYPE_UNSPECIFIED,
            f"has an unknown dtype for input {spec.name!r}",
        )
    names = [spec.name for spec in manifest.inputs]
    require(len(set(names)) == len(names), "names an input twice")
    integers, strings = len(manifest.classes.integers), len(manifest.classes.strings)
    require(not (integers and strings), "has classes of two types")
    require(
        integers + strings >= _MIN_CLASSES,
        f"has {integers + strings} classes, but needs at least {_MIN_CLASSES}",
    )
    require(manifest.HasField("threshold"), "has no threshold")
    _check_threshold(manifest.threshold, "the threshold", require)
    _check_subsets(manifest, require)


def _check_threshold(
    threshold: Threshold | SubsetThreshold, what: str, require: Callable[[bool, str], None]
) -> None:
    value = threshold.value
    require(math.isfinite(value) and value >= 0, f"has {what} {value}")
    if not threshold.HasField("certificate"):
        return
    certificate = threshold.certificate
    require(
        certificate.promise in Promise.values(),
        f"has a certificate of {what} with an unknown promise ({certificate.promise})",
    )
    counts = (0, certificate.n_errors, certificate.n_accepted, certificate.n_rows)
    require(
        list(counts) == sorted(counts),
        f"has a certificate of {what} with {certificate.n_errors} errors among {certificate.n_accepted}"
        f" accepted of {certificate.n_rows} rows",
    )
    proven = certificate.proven_thresholds
    require(
        not proven
        or (proven[0] == value and all(map(operator.lt, proven, proven[1:])) and math.isfinite(proven[-1])),
        f"has a certificate of {what} whose proven thresholds do not ascend from {value}",
    )
    for name in _SHARES:
        share = getattr(certificate, name)
        require(0.0 <= share <= 1.0, f"has a certificate of {what} with the {name} {share}")


def _check_subsets(manifest: Manifest, require: Callable[[bool, str], None]) -> None:
    threshold = manifest.threshold
    by, subsets = threshold.subdivision, threshold.subsets
    require(by in Subdivision.values(), f"divides the rows in an unknown way ({by})")
    by_slice = by == Subdivision.SUBDIVISION_SLICE
    inputs = [spec.name for spec in manifest.inputs]
    require(
        not by_slice or threshold.slice_input in inputs,
        f"names {threshold.slice_input!r} as the input with the slice, but has no such input",
    )
    require(by_slice or not threshold.slice_input, "names an input with the slice, but has no slices")
    n_classes = len(manifest.classes.integers) or len(manifest.classes.strings)
    fewest, most = {
        Subdivision.SUBDIVISION_UNSPECIFIED: (0, 0),
        Subdivision.SUBDIVISION_PREDICTED_CLASS: (n_classes, min(n_classes, MAX_SUBSETS)),
        Subdivision.SUBDIVISION_SLICE: (1, MAX_SUBSETS),
    }[by]
    require(
        fewest <= len(subsets) <= most,
        f"has {len(subsets)} thresholds for {Subdivision.Name(by)}, expected {fewest} to {most}",
    )
    names = [subset.name for subset in subsets]
    require(len(set(names)) == len(names), "names a class or slice twice")
    for subset in subsets:
        _check_threshold(subset, f"the threshold of {subset.name!r}", require)
    strictest = max((subset.value for subset in subsets), default=threshold.value)
    require(
        threshold.value == strictest,
        f"has the threshold {threshold.value}, but {strictest} is the strictest of its subsets",
    )
