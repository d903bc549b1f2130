"""How a bundle lies in a file: one ONNX model with its manifest in `metadata_props`.

The change procedure of the format stands at the top of `manifest.proto`.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from tamiz.inputs_digest import inputs_digest
from tamiz.v1.manifest_pb2 import Manifest
from tamiz.v1.onnx_file_pb2 import MetadataEntry, OnnxFile
from tamiz.wire_fields import WireError, bytes_fields

FORMAT_VERSION: Final = 2
"""The newest format that this code writes and reads; it reads all lower ones."""

MANIFEST_KEY: Final = Manifest.DESCRIPTOR.full_name
"""The key of the manifest in the file's `metadata_props`; its value is protobuf JSON."""

FILE_NAME: Final = "model.onnx"
"""The name of a bundle's file in its version folder, as in Triton's repository layout."""

MAX_VERSION: Final = 2**63 - 1
"""The highest version of a model: it travels as an int64."""

SIGNATURE_SUFFIX: Final = ".sig"
"""Added to a bundle's file name it names its signature: 64 bytes of Ed25519 (RFC 8032)."""

MAX_MANIFEST_BYTES: Final = 16 * 2**20
"""The most bytes of a manifest: room for isotonic regression with ten thousands of steps."""

PROBABILITIES: Final = "probabilities"
"""The graph output that the gate reads: (n_rows, n_classes), float64, rows sum to 1."""

SUBSET: Final = "subset"
"""The graph output where thresholds differ by slice: (n_rows,), int64, indices into the subsets."""


class OnnxParts(NamedTuple):
    """The parts of an ONNX file that matter in a bundle, as stored.

    Attributes:
        graph: what it computes.
        opset_import, functions: what its operators mean.
        metadata_props: what the file says of itself, each a `MetadataEntry`.
    """

    graph: memoryview
    opset_import: tuple[memoryview, ...]
    functions: tuple[memoryview, ...]
    metadata_props: tuple[MetadataEntry, ...]

    @classmethod
    def of(cls, content: bytes) -> OnnxParts:
        """Find the parts of a file. A file without a graph has an empty one.

        Raises:
            WireError, DecodeError: if it is not an ONNX file.
            FormatError: if it holds several graphs, which ONNX's own parser would merge into one.
        """
        found: dict[int, list[memoryview]] = {}
        for number, field in bytes_fields(content):
            found.setdefault(number, []).append(field)
        graphs, opsets, entries, functions = (found.get(number, []) for number in _PART_NUMBERS)
        if len(graphs) > 1:
            raise FormatError(f"it holds {len(graphs)} graphs; export it again")
        return cls(
            graphs[0] if graphs else memoryview(b""),
            tuple(opsets),
            tuple(functions),
            tuple(MetadataEntry.FromString(bytes(entry)) for entry in entries),
        )


_PART_NUMBERS: Final = (
    OnnxFile.GRAPH_FIELD_NUMBER,
    OnnxFile.OPSET_IMPORT_FIELD_NUMBER,
    OnnxFile.METADATA_PROPS_FIELD_NUMBER,
    OnnxFile.FUNCTIONS_FIELD_NUMBER,
)


def graph_digest(file: OnnxFile | OnnxParts) -> str:
    """Return the digest of what a bundle computes, whatever its metadata say.

    Args:
        file: the ONNX file, read with the contract's own subset of ONNX's schema.

    Returns:
        "sha256:" and 64 hexadecimal digits, as `Manifest.graph_digest` defines it.
    """
    digest = hashlib.sha256()
    for part in (file.graph, *file.opset_import, *file.functions):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


class FormatError(ValueError):
    """Some bytes are not a bundle that this version can read; the message says why, and what to do."""


def parse_bundle(content: bytes) -> Manifest:
    """Return the manifest of a bundle, after making sure that it belongs to the graph in it.

    Args:
        content: the bytes of the file.

    Returns:
        The manifest. It has the digest of its inputs, which old bundles leave out.

    Raises:
        FormatError: if they are truncated or not an ONNX file, carry no manifest, are of a newer format, or
            if the graph or the inputs are not those that the manifest was written for.
    """
    try:
        file = OnnxParts.of(content)
    except (WireError, DecodeError) as error:
        raise FormatError("truncated, or not an ONNX file; export it again") from error
    manifest = _manifest(file)
    if manifest.format_version > FORMAT_VERSION:
        raise FormatError(
            f"bundle format {manifest.format_version} is newer than {FORMAT_VERSION}, the newest known"
            " here; use a newer Tamiz"
        )
    if manifest.format_version < 1:
        raise FormatError("its manifest names no format version; export it again")
    digest = graph_digest(file)
    if digest != manifest.graph_digest:
        raise FormatError(
            f"the graph is not the one that was exported (digest {digest}, the manifest says"
            f" {manifest.graph_digest or 'nothing'}); export it again"
        )
    digest = inputs_digest(manifest.inputs)
    if manifest.inputs_digest not in ("", digest):
        raise FormatError(
            f"its inputs are not those that were exported (digest {digest}, the manifest says"
            f" {manifest.inputs_digest}); export it again"
        )
    manifest.inputs_digest = digest
    return manifest


def _manifest(file: OnnxParts) -> Manifest:
    text = next((entry.value for entry in file.metadata_props if entry.key == MANIFEST_KEY), None)
    if text is None:
        raise FormatError(
            "no manifest in it, so it is not a bundle but a plain ONNX file (or truncated); export it with"
            " tamiz-convert"
        )
    if len(text) > MAX_MANIFEST_BYTES:
        raise FormatError(
            f"its manifest has {len(text)} bytes, expected at most {MAX_MANIFEST_BYTES}; export it again"
        )
    try:
        return json_format.Parse(text, Manifest(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise FormatError(f"its manifest cannot be read ({error}); export it again") from error
