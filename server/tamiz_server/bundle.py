"""From a path to a verified bundle. Everything is checked before anything is built from it; nothing is unpickled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tamiz.bundle_format import FormatError, parse_bundle
from tamiz.v1.manifest_pb2 import DataType, Manifest
from tamiz_server.errors import BundleError

_MIN_CLASSES = 2


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: where it was read.
        content: the bytes of the ONNX file, exactly those that were verified.
        manifest: what it says of itself.
    """

    path: Path
    content: bytes
    manifest: Manifest


def read_bundle(path: Path) -> Bundle:
    """Read and verify a bundle.

    Args:
        path: the file `model.onnx`.

    Raises:
        BundleError: if the file cannot be read, is truncated or no ONNX file, carries no manifest, is of a newer
            format, does not have the digest that its manifest names, or if the manifest contradicts itself.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); expected a file that tamiz-convert wrote"
        ) from error
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

    require(bool(manifest.inputs), "names no inputs")
    for spec in manifest.inputs:
        require(bool(spec.shape) and spec.shape[0] == -1, f"gives input {spec.name!r} no dimension of rows")
        require(
            spec.dtype in DataType.values() and spec.dtype != DataType.DATA_TYPE_UNSPECIFIED,
            f"gives input {spec.name!r} an unknown dtype",
        )
    names = [spec.name for spec in manifest.inputs]
    require(len(set(names)) == len(names), "names an input twice")
    integers, strings = len(manifest.classes.integers), len(manifest.classes.strings)
    require(not (integers and strings), "has classes of two types")
    require(
        integers + strings >= _MIN_CLASSES,
        f"has {integers + strings} classes, at least {_MIN_CLASSES} are needed",
    )
    value = manifest.threshold.value
    require(manifest.HasField("threshold"), "has no threshold")
    require(math.isfinite(value) and value >= 0, f"has the threshold {value}")
