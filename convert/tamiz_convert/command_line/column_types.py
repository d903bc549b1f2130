"""What a bundle or an estimator knows of the types of a file's columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from tamiz.tables.columns import ColumnType, Unknown, types_of
from tamiz.v1.manifest_pb2 import DataType
from tamiz_convert.bundles.bundle import read_manifest
from tamiz_convert.sources.preprocessing_graph import transformed_columns


def bundle_types(bundle: Path, target: str) -> dict[str, ColumnType]:
    """Return the types of the columns that a bundle reads, and of the labels."""
    manifest = read_manifest(bundle)
    return types_of(manifest.inputs) | {target: label_type(list(manifest.classes.strings))}


def label_type(classes: Sequence[Any]) -> ColumnType:
    """Return the type of labels or categories: text if one is text, else numbers, or bool."""
    return DataType.DATA_TYPE_STRING if any(isinstance(each, str) for each in classes) else Unknown.NUMBER


def estimator_types(estimator: Any, names: Sequence[str]) -> dict[str, ColumnType]:
    """Return the types of the columns that a fitted estimator was trained on, as far as it knows them.

    Args:
        estimator: a classifier, or a Pipeline that ends in one.
        names: the columns that it was trained on, in the spelling of the rows.
    """
    first = estimator
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    if not isinstance(first, ColumnTransformer):  # one matrix: all its columns are numbers
        return dict.fromkeys(names, Unknown.NUMBER)
    if not hasattr(first, "feature_names_in_"):
        return {}
    types: dict[str, ColumnType] = {}
    for transformer, columns in transformed_columns(first):
        types |= dict(zip(columns, _types_into(transformer, len(columns)), strict=True))
    return types


def _types_into(transformer: Any, n_columns: int) -> list[ColumnType]:
    """Return the types of the columns that a transformer reads."""
    steps = [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]
    for step in steps:
        categories = getattr(step, "categories_", None)
        if categories is not None and len(categories) == n_columns:
            return [label_type(list(each)) for each in categories]
        filled = getattr(step, "statistics_", None)
        if filled is not None and len(filled) == n_columns and filled.dtype == object:
            return [label_type([each]) for each in filled]
    is_known = all(type(step).__module__.startswith("sklearn.") for step in steps)
    is_numbers = is_known and not any(isinstance(step, FunctionTransformer) for step in steps)
    return [Unknown.NUMBER if is_numbers else Unknown.GUESSED] * n_columns
