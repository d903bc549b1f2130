"""A rule that is a file: a table of decisions, one answer for each combination of some columns' values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tamiz.tables.options import Reading
from tamiz_convert.checks.files import read_like
from tamiz_convert.checks.sections import NamedRule
from tamiz_convert.checks.specification import Specification
from tamiz_convert.checks.table import Table
from tamiz_convert.errors import SpecificationError
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.slices import slice_texts


@dataclass(frozen=True)
class Decisions:
    """A table of decisions in a file.

    Attributes:
        where: the place in the specification.
        path: the file.
        by: its columns that the rows have too.
        answer: its column with the answers.
        reading: how it is read.
    """

    where: str
    path: Path
    by: tuple[str | int, ...]
    answer: str
    reading: Reading

    def labels(self, rows: Any, classes: Labels) -> Any:
        """Return the answer to each row, (n_rows,), object; None for values that are not in the table.

        Raises:
            SpecificationError: if the file cannot be read, lacks a column, or decides twice; if the rows lack
                a column.
        """
        table = Table.of(rows)
        own = _keys([table.column(name, f"{self.where}.by") for name in self.by])
        names = [str(name) for name in self.by]
        read = read_like(
            self.path, self.where, table, classes, self.reading, self.answer, [*names, self.answer]
        )
        keys, answers = _keys([read[name] for name in names]), read[self.answer].tolist()
        twice = keys.duplicated()
        if twice.any():
            at = int(np.argmax(twice))
            values = ", ".join(map(str, keys[at]))
            raise SpecificationError(
                f"{self.where}: {self.path} decides twice on {values}, the second time in row {at}; expected"
                " one row for each combination of values"
            )
        decided = dict(zip(keys, answers, strict=True))
        return pd.Series([decided.get(key) for key in own], dtype=object)


def rules_of(specification: Specification | None) -> Mapping[str, str | int | Decisions]:
    """Return the rules that a specification names."""
    if specification is None:
        return {}
    return {name: _rule(name, rule, specification) for name, rule in specification.rules.items()}


def _rule(name: str, rule: NamedRule, specification: Specification) -> str | int | Decisions:
    if rule.column is not None:
        return rule.column
    path = specification.folder / (rule.file or "")
    return Decisions(f"rules.{name}", path, rule.by, rule.answer or "", specification.files.reading)


def _keys(columns: list[Any]) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([slice_texts(column) for column in columns])
