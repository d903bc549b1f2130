"""A signed release: which files of a model's folder belong together, and which release of the model they are.

`<model>/release.json` lists the digest of each file that a server reads, and a number that only grows. Its
signature is in `release.json.sig`, made as those of bundles.

    {"format": 1, "model": "churn", "number": 7,
     "files": {"settings.toml": "sha256:…", "3/model.onnx": "sha256:…", "3/warmup/rows.pb": "sha256:…"}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from tamiz.bundle_format import MAX_VERSION

RELEASE_FILE: Final = "release.json"
"""The name of the file in a model's folder."""

MAX_RELEASE_BYTES: Final = 2**22
"""The most bytes of it: tens of thousands of files."""

_FORMAT: Final = 1


@dataclass(frozen=True)
class Release:
    """A release of a model.

    Attributes:
        model: the model's name.
        number: of the release, from 1; a later release has a higher one.
        files: path in the model's folder → digest of the file, as `digest` gives it.
    """

    model: str
    number: int
    files: Mapping[str, str]

    def content(self) -> bytes:
        """Return the bytes of the file, always the same for the same release."""
        told = {"format": _FORMAT, "model": self.model, "number": self.number, "files": dict(self.files)}
        return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return the release that some bytes hold.

        Raises:
            ValueError: if they hold none.
        """
        try:
            told = json.loads(content)
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error
        expected = {"format": int, "model": str, "number": int, "files": dict}
        if not isinstance(told, dict) or {name: type(value) for name, value in told.items()} != expected:
            raise ValueError(f"expected an object with {', '.join(expected)}, and nothing else")
        if told["format"] != _FORMAT:
            raise ValueError(f"format {told['format']} is not known here; use a newer Tamiz")
        if not 0 < told["number"] <= MAX_VERSION:
            raise ValueError(f"the number {told['number']:.3e} is not that of a release")
        if not all(isinstance(each, str) for each in told["files"].values()):
            raise ValueError("expected a digest for each file")
        return cls(told["model"], told["number"], told["files"])


def digest(content: bytes) -> str:
    """Return the digest of a file: "sha256:" and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
