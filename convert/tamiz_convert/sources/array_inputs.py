"""Turn the caller's rows into inputs of a torch or ONNX graph: arrays with any number of dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.runner import Feed
from tamiz_convert.rows.inputs import feed_of

_MATRIX_DIMENSIONS: Final = 2


@dataclass(frozen=True)
class ArrayInputs:
    """Inputs by name; the first dimension of each counts the rows.

    Attributes:
        specs: the manifest's descriptions, with shapes taken from rows.
    """

    specs: tuple[InputSpec, ...]

    @classmethod
    def of(cls, rows: Any, wanted: Iterable[InputSpec]) -> ArrayInputs:
        """Return the inputs for rows like these.

        Args:
            rows: an array or a table if there is one input; else a dict of arrays by input, or a table with
                one column per input.
            wanted: what the model reads. -1 in a shape stands for any size and is replaced by the size in the
                rows. An empty shape means that the shape is unknown.

        Raises:
            RowsError: if the rows do not fit.
        """
        asked = tuple(wanted)
        feed = feed_of(rows, asked)
        flat = [name for name, array in feed.items() if array.ndim < _MATRIX_DIMENSIONS]
        if flat:
            raise EstimatorError(
                f"input {flat[0]!r} has one number per row and no second dimension; let the model read the"
                " shape [rows, 1]"
            )
        return cls(
            tuple(_described(spec, feed[spec.name].shape, _names(rows, spec, asked)) for spec in asked)
        )

    def feed(self, rows: Any) -> Feed:
        """Return the rows for the graph: input name → (n_rows, …), in the input's dtype."""
        return feed_of(rows, self.specs)


def _names(rows: Any, spec: InputSpec, specs: tuple[InputSpec, ...]) -> list[str]:
    """Return the columns of an input, if the rows are a table: all, or the one that bears its name."""
    if not isinstance(rows, pd.DataFrame):
        return []
    return [str(each) for each in rows.columns] if len(specs) == 1 else [spec.name]


def _described(spec: InputSpec, shape: tuple[int, ...], names: list[str]) -> InputSpec:
    described = InputSpec(shape=[-1, *shape[1:]], column_names=names)
    described.name, described.dtype = spec.name, spec.dtype
    described.missing_values_allowed = spec.missing_values_allowed
    return described
