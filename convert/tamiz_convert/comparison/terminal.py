"""A comparison, side by side in a terminal of 80 columns."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tamiz_convert.comparison.cells import (
    chance_cells,
    discordance_cells,
    latency_cells,
    measure_cells,
    slice_cells,
)
from tamiz_convert.comparison.result import Comparison
from tamiz_convert.comparison.slices import Slice


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison: bundles, verdict, measures, slices, rows, speed and notes."""
    parts: list[RenderableType] = [
        _sides(comparison),
        Text(comparison.headline, style="bold"),
        Text(comparison.verdict),
        _measures(comparison),
    ]
    if comparison.slices:
        parts.append(_slices(comparison.slices))
    parts += [_rows(comparison), _latency(comparison), _notes(comparison)]
    console.print(Group(*(Padding(part, (0, 0, 1, 0)) for part in parts)))


def _sides(comparison: Comparison) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for side, each in (("A", comparison.a), ("B", comparison.b)):
        table.add_row(side, each.name, Text(f"{each.model}, calibrator {each.calibrator}\n{each.threshold}"))
    return table


def _measures(comparison: Comparison) -> RenderableType:
    table = _table("", "A", "B", "B − A", "95% interval", "better")
    for each in comparison.measures:
        table.add_row(*measure_cells(each, comparison.at_error))
        if each.chance_a is not None:
            table.add_row("  by chance alone", *chance_cells(each))
    return table


def _slices(slices: tuple[Slice, ...]) -> RenderableType:
    pairs = [heading for what in ("accuracy", "coverage", "error") for heading in (f"{what}\nA", "\nB")]
    table = _table("slice", "rows", *pairs, "better")
    column = ""
    for each in slices:
        if each.column != column:
            column = each.column
            table.add_row(Text(column, style="italic"))
        table.add_row(Text(f"  {each.value}"), *slice_cells(each))
    return table


def _rows(comparison: Comparison) -> RenderableType:
    table = _table("rows", "both", "only A", "only B", "neither")
    for cells in discordance_cells(comparison.discordance):
        table.add_row(*cells)
    return table


def _latency(comparison: Comparison) -> RenderableType:
    table = _table("latency, median", "A", "B", "B / A")
    for cells in latency_cells(comparison):
        table.add_row(*cells)
    return table


def _notes(comparison: Comparison) -> RenderableType:
    found = comparison.discordance
    test = (
        f"{found.other_label:,} of {found.n_rows:,} rows get different labels; McNemar's exact test of both"
        f" being right equally often: p = {found.p_value:.2g}."
    )
    better = "“better” means more than noise, corrected for the number of comparisons (Holm, 5%)."
    return Text("\n".join([test, better, *comparison.remarks]), style="dim")


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right" if name != "better" else "center")
    return table
