"""Labeled rows from files, in the form that a command's model reads."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.model_selection import TimeSeriesSplit

from tamiz.tables.columns import ColumnType, types_of
from tamiz.tables.options import Reading
from tamiz_convert.bundles.bundle import read_manifest
from tamiz_convert.checks import specification_of
from tamiz_convert.command_line.column_types import bundle_types, estimator_types, label_type
from tamiz_convert.errors import RowsError
from tamiz_convert.rows.raw import not_numbers
from tamiz_convert.rows.tables import ARRAYS, load_arrays, opened, read
from tamiz_convert.sources.onnx_graph import OnnxModel, input_specs
from tamiz_convert.sources.sklearn_graph import names_in, unwrap
from tamiz_convert.sources.torch_graph import TorchModel

_FOLDS = 5

Columns = Callable[[Sequence[str]], list[str]]
"""The columns of a table → those that the model knows by name; none if it knows them only by their order."""

Types = Callable[[Sequence[str]], Mapping[str, ColumnType]]
"""The columns of a table → the types that the model knows, by column."""


@dataclass(frozen=True)
class FileRows:
    """Reads rows for a model.

    Attributes:
        target: the column with the labels.
        features: the columns with the features, as the user gave them; None for those that the model names.
        names: the columns that the model names; None for a model that takes whole tables.
        as_table: whether rows stay a table even if the model names no columns, because of a slice column.
        types: the types that the model knows.
        reading: how files are read.
        kept: more columns to keep, for slices and checks.
        dropped: columns that hold groups or weights, and are features only if they are named.
    """

    target: str
    features: Sequence[str] | None
    names: Columns | None
    as_table: bool
    types: Types
    reading: Reading = field(default_factory=Reading)
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
        used = [self.target, *(self.features or ()), *self.kept, *self.types(())]
        with opened(path, self.reading, used) as source:
            others = [name for name in source.names if name != self.target]
            names = None if self.names is None else self.names(others)
            read_too = {*(self.features or ()), *(names or ())}
            others = [name for name in others if name not in self.dropped or name in read_too]
            columns = self._columns(others, names)
            table = read(source, self.types(others), [*columns, self.target])
        features, labels = table[columns], labels_of(table[self.target])
        odd = "" if names is None or names or self.as_table else not_numbers(features)
        if odd:
            raise RowsError(f"{path}: the model reads all columns as features, in their order{odd}")
        return features, labels

    def _columns(self, others: Sequence[str], names: list[str] | None) -> list[str]:
        """Return the columns to read as rows, of those that are neither labels nor groups."""
        kept = [name for name in self.kept if name in others]
        if self.features is not None:
            return list(dict.fromkeys([*self.features, *kept]))
        if names:
            return list(dict.fromkeys([*(name for name in names if name in others), *kept]))
        return list(others)


def labels_of(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return labels; an empty text is a missing one, because no class is named so."""
    return column.mask(column.eq(""))


def export_rows(arguments: argparse.Namespace, model: Any, classes: Sequence[Any] | None) -> FileRows:
    """Return the reader for an export of a model with these classes; None if they are not given."""
    as_table = bool(arguments.slice_by or arguments.slices)
    target: str = arguments.target
    if isinstance(model, (OnnxModel, TorchModel)):
        known = types_of(input_specs(model)) if isinstance(model, OnnxModel) else {}
        if classes is not None:
            known[target] = label_type(classes)
        return _reader(arguments, None, lambda _columns: known, as_table=as_table)
    estimator = unwrap(model).estimator
    if classes is None:
        classes = getattr(estimator, "classes_", None)
    labels = {} if classes is None else {target: label_type(list(classes))}

    def names(columns: Sequence[str]) -> list[str]:
        return names_in(estimator, pd.DataFrame(columns=list(columns)))

    return _reader(
        arguments,
        names,
        lambda columns: estimator_types(estimator, names(columns)) | labels,
        as_table=as_table,
    )


def bundle_rows(arguments: argparse.Namespace, bundle: Path) -> FileRows:
    """Return the reader for a bundle."""
    named = named_columns(bundle)
    types = bundle_types(bundle, arguments.target)
    by = read_manifest(bundle).threshold.slice_input
    return _reader(
        arguments, lambda _columns: named, lambda _columns: types, as_table=True, kept=[by] if by else []
    )


def with_rules(types: Mapping[str, ColumnType], arguments: argparse.Namespace) -> Mapping[str, ColumnType]:
    """Return types, and the labels' own for the columns that hold the answers of a rule."""
    if arguments.checks is None or arguments.target not in types:
        return types
    rules = map(str, specification_of(arguments.checks).labels)
    return dict.fromkeys(rules, types[arguments.target]) | dict(types)


def named_columns(bundle: Path) -> list[str]:
    """Return the columns that a bundle reads by name; none if it reads any input only by order."""
    specs = read_manifest(bundle).inputs
    if not all(spec.column_names for spec in specs):
        return []
    return [name for spec in specs for name in spec.column_names]


def split_settings(arguments: argparse.Namespace, rows: FileRows) -> dict[str, Any]:
    """Return the settings for --groups, --sample-weight and --time-ordered: values per row, and a splitter.

    Raises:
        RowsError: if the column is missing.
    """
    settings: dict[str, Any] = {"splitter": TimeSeriesSplit(_FOLDS) if arguments.splitter else None}
    column = arguments.groups
    for name, file in (("groups", arguments.calibration), ("certification_groups", arguments.certification)):
        if column is not None and file is not None:
            with opened(file, rows.reading, [column]) as source:
                settings[name] = read(source, rows.types(source.names), [column])[column]
    return settings | _weights(arguments, rows)


def _weights(arguments: argparse.Namespace, rows: FileRows) -> dict[str, Any]:
    column = arguments.sample_weight
    if column is None:
        return {}
    with opened(arguments.calibration, rows.reading, [column]) as source:
        return {"sample_weight": read(source, rows.types(source.names), [column])[column]}


def _reader(
    arguments: argparse.Namespace,
    names: Columns | None,
    types: Types,
    *,
    as_table: bool,
    kept: Sequence[str] = (),
) -> FileRows:
    kept = [*kept, *arguments.slices, *([arguments.slice_by] if arguments.slice_by else [])]
    if arguments.checks is not None:
        kept += sorted(map(str, specification_of(arguments.checks).columns()))
    dropped = [name for name in (arguments.groups, arguments.sample_weight) if name is not None]
    reading = Reading.of(arguments)
    return FileRows(
        arguments.target,
        arguments.features,
        names,
        as_table,
        lambda columns: with_rules(types(columns), arguments),
        reading,
        kept,
        dropped,
    )
