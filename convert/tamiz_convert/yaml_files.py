"""YAML files of plain values, in which no key may stand twice."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from tamiz_convert.errors import ExportError

BOOLEANS: Final = "YAML takes yes, no, on and off for booleans: quote them"


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        ExportError: if it cannot be read, is not YAML, or gives a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  a SafeLoader
    except OSError as error:
        raise ExportError(f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExportError(f"not valid YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    """Reads plain values only, and refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  the signature is PyYAML's
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # PyYAML refuses a list or a mapping as a key
            if key.value in seen:
                raise ExportError(
                    f"the key {key.value!r} is given twice, the second time in line {key.start_mark.line + 1}"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
