"""Graph and manifest become one file, written whole or not at all; and are read back from it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import onnx
from google.protobuf import json_format
from onnx import helper

from tamiz.bundle_format import (
    FILE_NAME,
    FORMAT_VERSION,
    MANIFEST_KEY,
    FormatError,
    graph_digest,
    parse_bundle,
)
from tamiz.files import replace_together
from tamiz.inputs_digest import inputs_digest
from tamiz.v1.manifest_pb2 import Manifest
from tamiz.v1.onnx_file_pb2 import OnnxFile
from tamiz_convert.errors import BundleError


def sealed(model: onnx.ModelProto, manifest: Manifest) -> Manifest:
    """Return the manifest as it will be written: with format version, and digests of graph and inputs."""
    complete = Manifest()
    complete.CopyFrom(manifest)
    complete.format_version = FORMAT_VERSION
    # The digest is over the bytes as stored, so a reader in any language can check it without serializing.
    content = _without_metadata(model).SerializeToString(deterministic=True)
    complete.graph_digest = graph_digest(OnnxFile.FromString(content))
    complete.inputs_digest = inputs_digest(complete.inputs)
    return complete


def write_bundle(
    model: onnx.ModelProto,
    manifest: Manifest,
    folder: Path,
    beside: Mapping[str, bytes | None] = MappingProxyType({}),
    *,
    may_replace: bool = True,
) -> Path:
    """Write a bundle, and what belongs to it.

    Args:
        model: the graph.
        manifest: what it says about itself; it is `sealed` here.
        folder: the version's folder; made if missing.
        beside: the files of its report, by name; None for one that must not be there.
        may_replace: whether it may take the place of a bundle that is there already.

    Returns:
        The path of the file.

    Raises:
        BundleError: if a file cannot be written; then nothing was changed. If the process is killed, the
            folder has the old bundle or the new one, never with a report of the other.
    """
    graph = _without_metadata(model)
    helper.set_model_props(graph, {MANIFEST_KEY: json_format.MessageToJson(sealed(model, manifest))})
    path = folder / FILE_NAME
    try:
        with _new_folders(folder):
            content = graph.SerializeToString(deterministic=True)
            replace_together(path, content, beside, may_replace=may_replace)
    except OSError as error:
        named = error.filename or path
        raise BundleError(f"{named} cannot be written: {error.strerror}; nothing was changed") from error
    return path


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a bundle, its digest checked.

    Args:
        path: the file, or the version's folder.

    Raises:
        BundleError: if there is no bundle that this version can read.
    """
    return _read(path)[1]


def read_bundle(path: str | Path) -> tuple[onnx.ModelProto, Manifest]:
    """Return the graph and the manifest of a bundle, the digest checked.

    Args:
        path: the file, or the version's folder.

    Raises:
        BundleError: if there is no bundle that this version can read.
    """
    content, manifest = _read(path)
    return onnx.load_from_string(content), manifest


def _without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    del graph.metadata_props[:]
    return graph


def file_of(bundle: Path) -> Path:
    """Return the file of a bundle that is named by its version's folder, or by the file itself."""
    return bundle / FILE_NAME if bundle.is_dir() else bundle


def _read(path: str | Path) -> tuple[bytes, Manifest]:
    if not isinstance(path, str | Path):
        raise BundleError(
            f"the bundle has type {type(path).__name__}; expected its path, such as 'models/churn/1'."
            " export() makes a bundle of a model"
        )
    path = file_of(Path(path))
    try:
        content = path.read_bytes()
        return content, parse_bundle(content)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror}; expected a bundle or its version folder"
            f"{_example(path.parent)}"
        ) from error
    except FormatError as error:
        raise BundleError(f"{path}: {error}") from error


def _example(folder: Path) -> str:
    """Return the highest version in a model's folder, as an example; nothing if there is none."""
    versions = (
        int(file.parent.name) for file in folder.glob(f"*/{FILE_NAME}") if file.parent.name.isdecimal()
    )
    highest = max(versions, default=None)
    return "" if highest is None else f", such as {folder / str(highest)}"


@contextlib.contextmanager
def _new_folders(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; remove them again if the body fails."""
    made = []
    for each in [folder, *folder.parents]:
        if each.exists():
            break
        made.append(each)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for each in made:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise
