"""Simpler rules that a model is compared with: the most frequent class, and rules of the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tamiz.gate import NO_CLASS
from tamiz_convert.bundles.answers import Answers
from tamiz_convert.checks.decisions import Decisions, rules_of
from tamiz_convert.checks.specification import Specification
from tamiz_convert.checks.table import Table
from tamiz_convert.errors import SpecificationError
from tamiz_convert.evidence import THIS_BUNDLE, Baseline
from tamiz_convert.graphs.score_graph import Labels
from tamiz_convert.rows.labeled import label_positions
from tamiz_convert.rows.per_row import one_per_row
from tamiz_convert.rows.raw import count

MAJORITY: Final = "majority"

Rule = Callable[[Any], Any] | str | int | Decisions
"""Rows as the caller has them → (n_rows,) labels; or the column that holds them; or a table of decisions."""


def baseline_predictions(
    rules: Mapping[str, Rule] | None, rows: Any, calibration_y: NDArray[np.int64], classes: Labels
) -> dict[str, NDArray[np.int64]]:
    """Return what simpler rules predict.

    Args:
        rules: the caller's own, by name.
        rows: (n_rows, …), the rows to predict.
        calibration_y: (n,), int64, the classes of the rows that say which class is most frequent.
        classes: (n_classes,).

    Returns:
        Name → (n_rows,), int64, indices into the classes; see `column_baseline`.

    Raises:
        SpecificationError: if a rule fails, gives another number of labels or a label that is not a class,
            or if its column is missing.
    """
    if not isinstance(rules or {}, Mapping):
        raise SpecificationError(
            f"baselines must be a mapping of names to rules, such as {{'rule': rule}}; got"
            f" {type(rules).__name__}"
        )
    most_frequent = int(np.bincount(calibration_y).argmax())
    predicted = {MAJORITY: np.full(count(rows), most_frequent, dtype=np.int64)}
    for name, rule in (rules or {}).items():
        predicted[name] = column_baseline(_labels(name, rule, rows, classes), classes, f"baseline {name!r}")
    return predicted


def all_rules(
    specification: Specification | None, baselines: Mapping[str, Rule] | None
) -> Mapping[str, Rule] | None:
    """Return the rules that a specification names, and those of the caller.

    Raises:
        SpecificationError: if both give a rule of the same name, or one is called like the rule that is there
            anyway.
    """
    named = rules_of(specification)
    if not named or not isinstance(baselines or {}, Mapping):
        return baselines
    for name in named:
        if name == MAJORITY or name in (baselines or {}):
            given = "there anyway" if name == MAJORITY else "given as a baseline too"
            raise SpecificationError(f"rules.{name}: a rule of this name is {given}; give it another name")
    return {**named, **(baselines or {})}


def column_baseline(labels: Any, classes: Labels, where: str) -> NDArray[np.int64]:
    """Return labels as indices into the classes, (n_rows,); `NO_CLASS` where a rule gives none.

    A label that is not a class would count as wrong, and any model would beat a rule that spells the classes
    in another way.

    Raises:
        SpecificationError: for a label that is not a class, with its row.
    """
    read = one_per_row(labels, "labels of a baseline")
    found = label_positions(read.values, classes)
    odd = np.flatnonzero((found < 0) & ~read.missing)
    if len(odd):
        raise SpecificationError(
            f"{where}: in row {odd[0]} it predicts {read.values.tolist()[odd[0]]!r}, which is not a class;"
            f" expected {', '.join(map(repr, classes.tolist()))}, in this type and spelling, or a missing"
            " value where it predicts nothing"
        )
    return np.where(found < 0, NO_CLASS, found)


def baseline_entries(
    predictions: Mapping[str, NDArray[np.int64]], y: NDArray[np.int64], own: Answers
) -> tuple[Baseline, ...]:
    """Return what each rule achieves, and at the end what the bundle does, for the report.

    A rule is also measured on the rows that the bundle answers: these are the easy ones, for any rule.
    """
    return tuple(
        _entry(name, predicted == y, own.accepted)
        for name, predicted in {**predictions, THIS_BUNDLE: own.predicted}.items()
    )


def _entry(name: str, right: NDArray[np.bool_], accepted: NDArray[np.bool_]) -> Baseline:
    among = float(right[accepted].mean()) if accepted.any() else None
    return Baseline(name, float(right.mean()), len(right), among, int(accepted.sum()))


def _labels(name: str, rule: Rule, rows: Any, classes: Labels) -> Any:
    if isinstance(rule, Decisions):
        return rule.labels(rows, classes)
    if not callable(rule):
        return Table.of(rows).column(rule, f"baseline {name!r}")
    try:
        given = rule(rows.copy() if isinstance(rows, pd.DataFrame) else rows)
        labels = one_per_row(given, "labels")
    except Exception as error:  # the rule is the caller's
        raise SpecificationError(f"baseline {name!r} failed: {type(error).__name__}: {error}") from error
    if len(labels.values) != count(rows):
        raise SpecificationError(
            f"baseline {name!r} gives {len(labels.values):,} labels for {count(rows):,} rows; expected one"
            " per row"
        )
    return given
