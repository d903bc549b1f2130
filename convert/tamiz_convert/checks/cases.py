"""Rows that must be answered correctly, or must not be answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tamiz_convert.checks.claims import AtLeast
from tamiz_convert.checks.context import Context, count
from tamiz_convert.checks.files import read_like
from tamiz_convert.checks.finding import Claimed, Decided, Finding, Heading
from tamiz_convert.checks.garbage import garbage
from tamiz_convert.checks.sections import AbstentionCheck, FunctionalityCheck
from tamiz_convert.checks.table import Table
from tamiz_convert.errors import RowsError, SpecificationError
from tamiz_convert.rows.labeled import labeled


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
    return read_like(path, where, context.table, context.subject.classes, context.reading, target)


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
