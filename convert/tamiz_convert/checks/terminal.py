"""Results as a table in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamiz_convert.check_result import CheckResult
from tamiz_convert.report.formats import plural, quantity

_SIGNS = {"passed": ("✓ passed", "green"), "inconclusive": ("? inconclusive", "yellow")}


def show_results(results: Sequence[CheckResult], console: Console) -> None:
    """Print a table of results, and how many there are of each kind."""
    table = Table("check", "outcome", "rows", "observed", "bound", "limit", box=None, padding=(0, 2, 0, 0))
    for result in results:
        table.add_row(
            Text(result.title),
            _outcome(result),
            f"{result.n_rows:,}",
            *map(quantity, (result.observed, result.bound, result.limit)),
        )
    console.print(table)
    blocking = [result for result in results if result.blocks]
    warnings = [result for result in results if result.status != "passed" and not result.blocks]
    n_passed = len(results) - len(blocking) - len(warnings)
    console.print(
        f"{plural(len(results), 'check')}: {n_passed} passed, {plural(len(warnings), 'warning')},"
        f" {plural(len(blocking), 'blocks', 'block')} the release",
        markup=False,
    )


def _outcome(result: CheckResult) -> Text:
    if result.status == "failed" and not result.blocks:
        return Text("! warning", style="yellow")
    if result.blocks:
        return Text(f"✗ {result.status}", style="red")
    return Text(*_SIGNS[result.status])
