"""Labeled rows from files, in the form that a command's model reads."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.model_selection import TimeSeriesSplit

from tamiz_convert.bundles.bundle import read_manifest
from tamiz_convert.checks import specification_of
from tamiz_convert.errors import RowsError
from tamiz_convert.rows.raw import not_numbers
from tamiz_convert.rows.tables import ARRAYS, load_arrays, load_rows, read_table, select
from tamiz_convert.sources.onnx_graph import OnnxModel
from tamiz_convert.sources.sklearn_graph import names_in, unwrap
from tamiz_convert.sources.torch_graph import TorchModel

_FOLDS = 5

ColumnNames = Callable[[pd.DataFrame], list[str]]
"""A table → the columns that the model knows by name; none if it knows them only by their order."""


@dataclass(frozen=True)
class FileRows:
    """Reads rows for a model.

    Attributes:
        target: the column with the labels.
        features: the columns with the features, as the user gave them; None for those that the model names.
        names: the columns that the model names; None for a model that takes whole tables.
        as_table: whether rows stay a table even if the model names no columns, because of a slice column.
        kept: more columns to keep, for slices and checks.
        dropped: columns that are not features, because they hold groups.
    """

    target: str
    features: Sequence[str] | None
    names: ColumnNames | None
    as_table: bool
    kept: Sequence[str] = ()
    dropped: Sequence[str] = ()

    def load(self, path: Path | None) -> Any:
        """Return (rows, labels); None without a file.

        Raises:
            RowsError: if the file cannot be read, or lacks a column.
        """
        if path is None:
            return None
        if path.suffix == ARRAYS:
            return load_arrays(path, self.target)
        table, labels = load_rows(path, self.target)
        kept = [name for name in self.kept if name in table.columns]
        features = table.drop(columns=[name for name in self.dropped if name in table.columns])
        names = None if self.names is None else self.names(features)
        if self.features is not None:
            features = select(table, list(dict.fromkeys([*self.features, *kept])), path)
        elif names:
            wanted = [name for name in names if name in table.columns]
            features = table[list(dict.fromkeys([*wanted, *kept]))]
        if names is None or names or self.as_table:
            return features, labels
        odd = not_numbers(features)
        if odd:
            raise RowsError(f"{path}: the model reads all columns as features, in their order{odd}")
        return features.to_numpy(), labels


def export_rows(arguments: argparse.Namespace, model: Any) -> FileRows:
    """Return the reader for an export of a model."""
    names: ColumnNames | None = None
    if not isinstance(model, (OnnxModel, TorchModel)):
        estimator = unwrap(model).estimator
        names = lambda table: names_in(estimator, table)  # noqa: E731  one line, and mypy knows its type
    return _reader(arguments, names, as_table=bool(arguments.slice_by or arguments.slices))


def bundle_rows(arguments: argparse.Namespace, bundle: Path) -> FileRows:
    """Return the reader for a bundle."""
    known = named_columns(bundle)
    slice_input = read_manifest(bundle).threshold.slice_input
    return _reader(arguments, lambda _table: known, as_table=True, kept=[slice_input] if slice_input else [])


def named_columns(bundle: Path) -> list[str]:
    """Return the columns that a bundle reads by name; none if it reads any input only by order."""
    specs = read_manifest(bundle).inputs
    if not all(spec.column_names for spec in specs):
        return []
    return [name for spec in specs for name in spec.column_names]


def split_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings for --groups and --time-ordered: one value per row, and a splitter.

    Raises:
        RowsError: if the column is missing.
    """
    groups = None
    if arguments.groups is not None:
        table = read_table(arguments.calibration)
        groups = select(table, [arguments.groups], arguments.calibration)[arguments.groups]
    return {"groups": groups, "splitter": TimeSeriesSplit(_FOLDS) if arguments.splitter else None}


def _reader(
    arguments: argparse.Namespace, names: ColumnNames | None, *, as_table: bool, kept: Sequence[str] = ()
) -> FileRows:
    kept = [*kept, *arguments.slices, *([arguments.slice_by] if arguments.slice_by else [])]
    if arguments.checks is not None:
        kept += sorted(map(str, specification_of(arguments.checks).columns()))
    dropped = [] if arguments.groups is None else [arguments.groups]
    return FileRows(arguments.target, arguments.features, names, as_table, kept, dropped)
