"""A bundle that is compared, and whether two of them can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.v1.manifest_pb2 import DataType, InputSpec, Manifest
from tamiz_convert.bundles.subject import Subject
from tamiz_convert.errors import BundleError

_SHOWN: Final = 10


@dataclass(frozen=True)
class Contender:
    """A bundle that is compared."""

    name: str
    subject: Subject

    @classmethod
    def read(cls, path: str | Path) -> Contender:
        """Open the version's folder, or the file in it."""
        folder = Path(path).resolve() if Path(path).is_dir() else Path(path).resolve().parent
        return cls(f"{folder.parent.name}/{folder.name}", Subject.read(path))

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself."""
        return self.subject.manifest

    @property
    def columns(self) -> set[str]:
        """The names of inputs and columns that rows may have."""
        return {name for spec in self.manifest.inputs for name in (spec.name, *spec.column_names)}

    def inputs_beside(self, other: Contender) -> list[str]:
        """Return the inputs that the scores need, without a slice that only this bundle's thresholds need."""
        own = {self.manifest.threshold.slice_input} - other.columns
        unnamed = {spec.name for spec in other.manifest.inputs if not spec.column_names}
        return sorted(
            _described(spec, shows_names=spec.name not in unnamed)
            for spec in self.manifest.inputs
            if spec.name not in own
        )

    def rows_beside(self, other: Contender, rows: Any) -> Any:
        """Return the rows without a slice that only the other bundle needs, lest it be read as a feature.

        If this bundle does not name the columns of an input and the other one does, they are in its order.
        """
        if not isinstance(rows, pd.DataFrame):
            return rows
        unnamed = {spec.name for spec in self.manifest.inputs if not spec.column_names}
        order = [name for spec in other.manifest.inputs if spec.name in unnamed for name in spec.column_names]
        names = [str(name) for name in rows.columns]
        if order and set(order) <= set(names):
            beside = [name for name in names if name in self.columns and name not in order]
            return rows.iloc[:, [names.index(name) for name in [*order, *beside]]]
        return rows.drop(columns=list({other.manifest.threshold.slice_input} - self.columns), errors="ignore")


def matched(a: Contender, b: Contender) -> NDArray[np.int64]:
    """Return the position of each class of B among those of A; refuse bundles that cannot be compared."""
    ours, theirs = (each.subject.classes.tolist() for each in (a, b))
    if set(ours) != set(theirs):
        raise BundleError(
            f"the bundles have different classes, {_named(ours)} in A ({a.name}) and {_named(theirs)} in B"
            f" ({b.name}); only bundles that answer the same question can be compared"
        )
    inputs = [a.inputs_beside(b), b.inputs_beside(a)]
    if inputs[0] != inputs[1]:
        only = [[name for name in inputs[i] if name not in inputs[1 - i]] for i in (0, 1)]
        raise BundleError(
            f"the bundles read different inputs: only A ({a.name}) reads {_named(only[0])}, only B"
            f" ({b.name}) reads {_named(only[1])}; only bundles that read the same inputs can be compared"
        )
    return np.array([ours.index(label) for label in theirs], dtype=np.int64)


def _described(spec: InputSpec, *, shows_names: bool) -> str:
    """Return what an input needs from the rows; the same rows can be read as numbers of any type."""
    kind = "strings" if spec.dtype == DataType.DATA_TYPE_STRING else "numbers"
    shows_names = shows_names and list(spec.column_names) not in ([], [spec.name])
    columns = f" ({', '.join(spec.column_names)})" if shows_names else ""
    return f"{spec.name!r}{columns}: {kind}, {list(spec.shape)[1:]}"


def _named(values: Sequence[Any]) -> str:
    return (
        ", ".join(map(str, values[:_SHOWN])) + (", …" if len(values) > _SHOWN else "")
        if values
        else "nothing"
    )
