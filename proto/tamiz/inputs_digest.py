"""Which inputs were some rows encoded for? A digest says it, and travels with every request.

Two bundles with the same digest read the same tensors and mean the same by them: a client may send the one
what it encoded for the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final

from tamiz.v1.manifest_pb2 import DataType, InputSpec

_SHOWN_COLUMNS: Final = 3


def inputs_digest(specs: Iterable[InputSpec]) -> str:
    """Return the digest of a bundle's inputs, in their order.

    Returns:
        "sha256:" and 64 hexadecimal digits, as `Manifest.inputs_digest` defines it.
    """
    digest = hashlib.sha256()
    for spec in specs:
        for part in _parts(spec):
            content = part.encode()
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)
    return f"sha256:{digest.hexdigest()}"


def _parts(spec: InputSpec) -> Iterator[str]:
    """Return what says how rows become this input and what they mean in it; lists after their length."""
    yield spec.name
    yield str(spec.dtype)
    for values in (spec.shape, spec.column_names):
        yield str(len(values))
        yield from map(str, values)
    yield str(int(spec.missing_values_allowed))


def input_changes(before: Sequence[InputSpec], after: Sequence[InputSpec]) -> list[str]:
    """Return for people what differs between two bundles' inputs; nothing if their digests are equal."""
    old = {spec.name: spec for spec in before}
    new = {spec.name: spec for spec in after}
    changes = [f"input {name!r} is gone" for name in old if name not in new]
    changes += [f"input {name!r} is new" for name in new if name not in old]
    for name in old.keys() & new.keys():
        changes += [f"input {name!r}: {change}" for change in _changes(old[name], new[name])]
    if not changes and list(old) != list(new):
        changes.append("the inputs are in another order")
    return changes


def _changes(old: InputSpec, new: InputSpec) -> Iterator[str]:
    if old.dtype != new.dtype:
        yield f"{_type_name(new.dtype)} instead of {_type_name(old.dtype)}"
    if old.shape != new.shape:
        yield f"shape {list(new.shape)} instead of {list(old.shape)}"
    moved = [
        f"column {position} is {_quoted(is_)}, was {_quoted(was)}"
        for position, (was, is_) in enumerate(zip_longest(old.column_names, new.column_names), start=1)
        if was != is_
    ]
    yield from moved[:_SHOWN_COLUMNS]
    if len(moved) > _SHOWN_COLUMNS:
        yield f"{len(moved) - _SHOWN_COLUMNS} more columns differ"
    if old.missing_values_allowed != new.missing_values_allowed:
        yield f"missing values {'are allowed now' if new.missing_values_allowed else 'abstain now'}"


def _type_name(data_type: int) -> str:
    known = data_type in DataType.values()
    return DataType.Name(data_type).removeprefix("DATA_TYPE_").lower() if known else f"dtype {data_type}"


def _quoted(name: str | None) -> str:
    return "none" if name is None else repr(name)
