"""Puts the comparison of procedures into docs/calibration.md (`make statistics`)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from docs.marked import renew
from tests.statistics.populations import DELTA
from tests.statistics.power import CASES, PROCEDURES, SIZES, power

PAGE: Final = Path(__file__).parent / "calibration.md"
MARKER: Final = "power"
COMMAND: Final = "make statistics"


def table(draws: int) -> str:
    """Return the comparison, as Markdown: one row for each procedure."""
    today = datetime.now(tz=UTC).date()
    made = (
        f"Made on {today} with Tamiz {version('tamiz')} and MAPIE {version('mapie')}: {len(CASES)} cases,"
        f" {draws} draws of each, confidence level {1 - DELTA:g}."
    )
    lines = [
        made,
        "",
        f"| procedure | {' | '.join(f'{n:,} rows' for n in SIZES)} | broken promises, worst case |",
        f"|---|{'--:|' * (len(SIZES) + 1)}",
    ]
    for name, procedure in PROCEDURES.items():
        reached = [power(procedure, n, draws) for n in SIZES]
        shares = " | ".join(f"{each.share:.2f}" for each in reached)
        lines.append(f"| {name} | {shares} | {max(each.worst for each in reached):.1%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    renew(PAGE, MARKER, COMMAND, table(int(sys.argv[1])))
