"""Rows as a caller has them become what a bundle's graph reads, as its manifest describes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pandas as pd

from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_convert.graphs.runner import Feed
from tamiz_convert.sources.array_inputs import ArrayInputs
from tamiz_convert.sources.sklearn_inputs import FEATURES, inputs_of

_MATRIX_DIMENSIONS: Final = 2


def feed_of(specs: Sequence[InputSpec]) -> Callable[[Any], Feed]:
    """Return rows → input name → array, for the inputs of a manifest.

    Args:
        specs: the inputs: one matrix `features`, columns by name, or arrays of any number of dimensions.
    """
    arrays = tuple(spec for spec in specs if _is_array(spec))
    if not arrays:
        return inputs_of(specs).feed
    columns = [spec for spec in specs if spec not in arrays]

    def feed(rows: Any) -> Feed:
        if columns and isinstance(rows, pd.DataFrame):
            features = rows.drop(columns=[spec.name for spec in columns if spec.name in rows.columns])
            return ArrayInputs(arrays).feed(features) | inputs_of(columns).feed(rows)
        return ArrayInputs(tuple(specs)).feed(rows)

    return feed


def _is_array(spec: InputSpec) -> bool:
    """Return whether an input is neither the matrix of features nor a single column."""
    return len(spec.shape) != _MATRIX_DIMENSIONS or (spec.name != FEATURES and spec.shape[1] != 1)
