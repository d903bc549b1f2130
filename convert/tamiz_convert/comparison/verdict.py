"""The conclusion of a comparison, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tamiz_convert.comparison.measure import Measure, Side, amount, is_share, title
from tamiz_convert.comparison.slices import Slice

_NAMES: Final = {
    "accuracy": "right on",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece_15": "calibration error",
    "aurc": "the order of the rows",
    "coverage": "answered",
    "selective_error": "wrong among the answers",
    "coverage_at_error": "could answer",
}
"""Measures in the headline."""

_OF_THE_GATE: Final = frozenset({"coverage", "selective_error"})
"""Measures at each bundle's own threshold: a stricter gate does not make a better model."""


def verdict(
    measures: Sequence[Measure], slices: Sequence[Slice], n_rows: int, at_error: float, leader: Side | None
) -> str:
    """Return what can be said without calling noise a difference.

    Args:
        measures: what was measured.
        slices: the slices that were looked at.
        n_rows: how many rows there are.
        at_error: the error at which coverage is compared.
        leader: which one is right more often over all rows, even if only by chance.
    """
    return " ".join([_overall(measures, n_rows, at_error), *_guard(slices, leader)])


def headline(measures: Sequence[Measure], slices: Sequence[Slice], leader: Side | None) -> str:
    """Return the conclusion in one line, for people who read no further; arguments as in `verdict`."""
    better = {side: [each for each in measures if each.better == side] for side in ("A", "B")}
    sides = [side for side, found in better.items() if found]
    if not sides:
        same = all(not each.difference for each in measures)
        said = "A and B do the same" if same else "No difference beyond noise"
    elif all(each.name in _OF_THE_GATE for each in (*better["A"], *better["B"])):
        first = next(iter((*better["A"], *better["B"])))
        a, b = (amount(first.name, value) for value in (first.a, first.b))
        said = f"Neither model is shown to be better, but the gates differ: {_NAMES[first.name]} A {a}, B {b}"
    elif len(sides) > 1:
        counted = [f"{side} in {len(better[side])}" for side in sides]
        said = f"Mixed: of {len(measures)} measures, {' and '.join(counted)} is better"
    else:
        said = f"{sides[0]} is better{_example(better[sides[0]])}"
    lost = reversals(slices, leader)
    where = f", but not everywhere: see {lost[0].name}" if lost else ""
    return f"{said}{where}."


def _example(better: Sequence[Measure]) -> str:
    """Return the difference that says most: in accuracy, else in another share of rows."""
    shares = [each for each in better if is_share(each.name)]
    if not shares:
        return f" in {_NAMES[better[0].name]}"
    first = shares[0]
    a, b = (amount(first.name, value) for value in (first.a, first.b))
    one, other = (b, a) if first.better == "B" else (a, b)
    return f": {_NAMES[first.name]} {one} against {other}"


def reversals(slices: Sequence[Slice], leader: Side | None) -> list[Slice]:
    """Return the slices in which the leader over all rows loses by more than noise (Simpson 1951)."""
    return [each for each in slices if each.better is not None and each.better != leader]


def _overall(measures: Sequence[Measure], n_rows: int, at_error: float) -> str:
    rows = f"these {n_rows:,} rows"
    claims = [
        f"{side} is better in"
        f" {_listed([_change(each, at_error) for each in measures if each.better == side])}"
        for side in ("B", "A")
        if any(each.better == side for each in measures)
    ]
    if claims:
        return f"On {rows}, {'; '.join(claims)}."
    if all(not each.difference for each in measures):
        return f"A and B do the same on {rows}."
    return f"No difference beyond noise on {rows}: neither A nor B is shown to be better."


def _change(measure: Measure, at_error: float) -> str:
    name = title(measure.name, at_error)
    if not is_share(measure.name):
        return name
    a, b = (amount(measure.name, value) for value in (measure.a, measure.b))
    one, other = (b, a) if measure.better == "B" else (a, b)
    return f"{name} ({one} against {other})"


def _guard(slices: Sequence[Slice], leader: Side | None) -> list[str]:
    """Return what the slices add: an average can hide that some of the rows got worse."""
    said = []
    lost = reversals(slices, leader)
    if lost:
        where = f"But {leader}, right more often over all rows, loses in" if leader else "But they differ in"
        said.append(f"{where} {_listed([_reversal(each) for each in lost])}.")
    behind = [each.name for each in slices if each.better is None and {each.ahead, leader} == {"A", "B"}]
    if behind:
        said.append(f"{leader} is behind, within noise, in {_listed(behind, most=3)}.")
    return said


def _reversal(each: Slice) -> str:
    a, b = (amount("accuracy", value) for value in (each.accuracy_a, each.accuracy_b))
    return f"{each.name} (accuracy of A {a}, of B {b}, {each.n_rows:,} rows)"


def _listed(items: Sequence[str], most: int = 8) -> str:
    """Return items as one would say them: "a, b and c"."""
    shown = list(items) if len(items) <= most else [*items[:most], f"{len(items) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
