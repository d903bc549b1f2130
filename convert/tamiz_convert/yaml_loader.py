"""Read YAML strictly: plain values, and each key once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

_MERGE: Final = "tag:yaml.org,2002:merge"


class KeyTwice(ValueError):
    """A key is given twice in one mapping. The message says which, and where."""


class Loader(yaml.SafeLoader):
    """Reads plain values only, and refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  the signature is PyYAML's
        """Return a mapping.

        Raises:
            KeyTwice: if two of its keys are equal, however they are written: 1 and 0x1, say.
        """
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list or a mapping is no key in Python, and refused below
            # yes and true are one key; a merge (<<) has no value of its own.
            name = key.tag, key.value if key.tag == _MERGE else self.construct_object(key)
            if name in seen:
                raise KeyTwice(
                    f"the key {key.value!r} is given twice, the second time in line {key.start_mark.line + 1}"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)
