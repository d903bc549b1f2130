"""Rows that must be answered correctly, or must not be answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from tamiz.tables.columns import ColumnType, Unknown
from tamiz.v1.manifest_pb2 import DataType
from tamiz_convert.checks.claims import AtLeast
from tamiz_convert.checks.context import Context, count
from tamiz_convert.checks.finding import Claimed, Decided, Finding, Heading
from tamiz_convert.checks.garbage import garbage
from tamiz_convert.checks.sections import AbstentionCheck, FunctionalityCheck
from tamiz_convert.checks.table import Table
from tamiz_convert.errors import RowsError, SpecificationError
from tamiz_convert.rows.labeled import labeled
from tamiz_convert.rows.tables import opened, read


def check_functionality(check: FunctionalityCheck, where: str, context: Context) -> Iterator[Finding]:
    """Count the wrong answers to the cases of a file: the whole list, so the share is exact."""
    path = context.folder / check.data
    frame = _read(path, f"{where}.data", context, check.target)
    if check.target not in frame.columns:
        raise SpecificationError(f"{where}.target: {path} has no column {check.target!r}")
    table = _like(frame.drop(columns=[check.target]), context.table, f"{where}.data")
    try:
        cases = labeled(table.rows, frame[check.target], context.subject.classes, check.name)
        answers = context.subject.predict(table.rows)
    except RowsError as error:
        raise SpecificationError(f"{where}.data: {path}: {error}") from None
    wrong = answers.predicted != cases.y
    if check.accepted_only:
        wrong &= answers.accepted
    rate = count(wrong) / len(cases)
    example = f"; the first is row {int(wrong.argmax())}" if wrong.any() else ""
    yield Decided(
        check.heading("minimum_functionality", check.name, context.on_inconclusive),
        rate <= check.max_failure_rate,
        len(cases),
        f"{count(wrong):,} of {len(cases):,} cases are wrong; the share may be at most"
        f" {check.max_failure_rate:g}{example}",
        observed=rate,
        limit=check.max_failure_rate,
    )


def check_abstention(check: AbstentionCheck, where: str, context: Context) -> Iterator[Finding]:
    """Bound from below how often garbage abstains, or expect that all of these rows abstain."""
    heading = check.heading("abstention", check.data or f"{check.generate}", context.on_inconclusive)
    if check.data is not None:
        table = _like(
            _read(context.folder / check.data, f"{where}.data", context), context.table, f"{where}.data"
        )
    else:
        table = garbage(f"{check.generate}", context.table, check.n_rows, context.random(where), where)
    try:
        abstained = ~context.subject.predict(table.rows).accepted
    except RowsError as error:
        raise SpecificationError(f"{where}: {error}") from None
    if check.min_abstain_rate_lb is None:
        yield _all_abstain(heading, count(~abstained), len(table))
    else:
        claim = AtLeast(count(abstained), len(table), check.min_abstain_rate_lb)
        yield Claimed(heading, "share of rows that abstain", "at least", claim)


def _all_abstain(heading: Heading, n_answered: int, n_rows: int) -> Decided:
    return Decided(
        heading,
        n_answered == 0,
        n_rows,
        f"{n_answered:,} of {n_rows:,} rows are answered; all must abstain",
        observed=1.0 - n_answered / n_rows,
        limit=1.0,
    )


def _read(path: Path, where: str, context: Context, target: str | None = None) -> pd.DataFrame:
    """Return the rows of a file, with the types of the rows at hand and of the classes."""
    types: dict[str, ColumnType] = {
        str(name): _type_of(column) for name, column in context.table.frame.items()
    }
    if target is not None and context.subject.classes.dtype.kind == "U":
        types[target] = DataType.DATA_TYPE_STRING
    by_order = not context.table.names_columns
    try:
        with opened(path, context.reading, [*types]) as source:
            columns = [name for name in source.names if by_order or name in types or name == target]
            return read(source, types, columns)
    except RowsError as error:
        way_out = "; here a key of `files` in the specification" if " --" in str(error) else ""
        raise SpecificationError(f"{where}: {error}{way_out}") from None


def _type_of(column: pd.Series[Any]) -> ColumnType:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.categories.to_series()
    return Unknown.NUMBER if pd.api.types.is_numeric_dtype(column) else DataType.DATA_TYPE_STRING


def _like(frame: pd.DataFrame, table: Table, where: str) -> Table:
    """Return rows of a file in the form of the rows at hand; columns without names are matched by order."""
    if table.names_columns:
        return Table.of(frame)
    if len(frame.columns) != len(table.frame.columns):
        raise SpecificationError(
            f"{where}: the file has {len(frame.columns)} columns, but the rows have"
            f" {len(table.frame.columns)} values; expected the same number"
        )
    return Table(frame.set_axis(table.frame.columns, axis=1), table.restore)
