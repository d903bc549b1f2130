"""How a bundle lies in a file: one ONNX model with its manifest in `metadata_props`.

The change procedure of the format stands at the top of `manifest.proto`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tamiz.v1.manifest_pb2 import Manifest

if TYPE_CHECKING:
    from tamiz.v1.onnx_file_pb2 import OnnxFile

FORMAT_VERSION: Final = 1
"""The newest format that this code writes and reads; it reads all lower ones."""

MANIFEST_KEY: Final = Manifest.DESCRIPTOR.full_name
"""The key of the manifest in the file's `metadata_props`; its value is protobuf JSON."""

FILE_NAME: Final = "model.onnx"
"""The name of a bundle's file in its version folder, as in Triton's repository layout."""

PROBABILITIES: Final = "probabilities"
"""The graph output that the gate reads: (n_rows, n_classes), float64, rows sum to 1."""

NO_CLASS: Final = 0xFFFF_FFFF
"""The `class_index` of an abstained row: no index of any array."""


def graph_digest(file: OnnxFile) -> str:
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
