"""The conclusion of a comparison, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from tamiz_convert.comparison.measure import Measure, Side, amount, is_share, title
from tamiz_convert.comparison.slices import Slice


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
