"""`python -m benchmarks.overload`: what a server does with five times the load that saturates it.

Requests come at the moments of a Poisson process, whatever becomes of earlier ones, and latency counts from
these moments. Per case: saturation (a closed loop), 80 % of it, and five times it. A model that computes for
milliseconds per batch is limited by computing. A logistic regression is limited by the transport, which takes
a hundred times as long as the model. The goals apply to the first kind: accepted requests keep a p99 of at
most 3 times the one at 80 %, the others are refused within 5 ms (median), accepted requests per second stay
within 20 % of saturation, and memory stays bounded.

The generator is a process of its own (`open_loop.py`). On a small machine it takes a share of the server's
processors; the last column shows how late it was.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.fast_and_slow import export_fast_and_slow
from benchmarks.open_loop import Outcome, closed_loop, open_loop, poisson
from benchmarks.server import serving
from tamiz_client import Client
from tamiz_client.encoding import build_request

_GOAL_P99 = 3.0
_GOAL_REFUSAL_S = 0.005
_GOAL_GOODPUT = 0.8
_GOAL_GROWTH_MB = 200.0
_OVERLOAD = 5.0
_ONSET_S = 1.0
_SEED = 7

console = Console(highlight=False, width=170)


@dataclass(frozen=True)
class Case:
    """One kind of load.

    Attributes:
        model: the model's name.
        rows: the rows of one request.
        in_flight: how many requests saturate the server.
        bound: what limits the server.
        flags: the server's flags.
    """

    model: str
    rows: int
    in_flight: int
    bound: str
    flags: tuple[str, ...] = ()


# The model computes on one processor, so that the generator has another where there are two.
_CASES = (
    Case("slow", 16, 12, "compute", ("--intra-op-threads=1",)),
    Case("fast", 64, 16, "transport"),
    Case("fast", 1, 64, "transport"),
)


@dataclass(frozen=True)
class Figures:
    """One load, and what became of it.

    Attributes:
        offered, accepted: requests per second.
        p50_s, p99_s: of accepted requests, from the moment at which they were due.
        settled_p99_s: the same for those whose moment came after the first second.
        refused: the share that was refused.
        refused_p50_s: how long a refusal took.
        unanswered: how many got no answer within the generator's patience.
        growth_mb: how much the server's memory grew at its peak.
        lag_p99_s: how late requests were handed to the socket.
    """

    offered: float
    accepted: float
    p50_s: float
    p99_s: float
    settled_p99_s: float
    refused: float
    refused_p50_s: float
    unanswered: int
    growth_mb: float
    lag_p99_s: float


def memory_mb(pid: int, field: str) -> float:
    """Return a figure of a process from /proc: VmRSS, or VmHWM, its peak; so this needs Linux."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def in_process(function: Any, *arguments: Any, **options: Any) -> Any:
    """Call a function in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **options).result()


def saturation(port: int, message: bytes, seconds: float, in_flight: int) -> float:
    """Return how many requests per second the server answers with this many always in flight."""
    outcome = in_process(closed_loop, port, message, seconds, in_flight=in_flight)
    return float(np.count_nonzero((outcome.status == 0) & (outcome.done_s <= seconds)) / seconds)


def offer(port: int, pid: int, message: bytes, rate_per_s: float, seconds: float) -> tuple[Figures, Outcome]:
    """Send requests to the server, process `pid`, at a rate in an open loop; return what became of them."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here on
    before_mb = memory_mb(pid, "VmRSS")
    outcome = in_process(open_loop, port, message, poisson(rate_per_s, seconds, _SEED))
    accepted, refused = outcome.status == 0, outcome.status > 0
    took_s = outcome.done_s - outcome.intended_s
    figures = Figures(
        offered=len(took_s) / seconds,
        accepted=np.count_nonzero(accepted & (outcome.done_s <= seconds)) / seconds,
        p50_s=_quantile(took_s[accepted], 0.5),
        p99_s=_quantile(took_s[accepted], 0.99),
        settled_p99_s=_quantile(took_s[accepted & (outcome.intended_s > _ONSET_S)], 0.99),
        refused=float(np.mean(refused)),
        refused_p50_s=_quantile(took_s[refused], 0.5),
        unanswered=int(np.count_nonzero(outcome.status < 0)),
        growth_mb=max(0.0, memory_mb(pid, "VmHWM") - before_mb),
        lag_p99_s=_quantile(outcome.sent_s - outcome.intended_s, 0.99),
    )
    return figures, outcome


def _quantile(values: Any, share: float) -> float:
    return float(np.quantile(values, share, method="higher")) if len(values) else float("nan")


def main() -> int:
    """Run the benchmark; return the exit status: 0 if the cases limited by computing reach the goals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each load lasts (default: 30)")
    parser.add_argument("flags", nargs="*", help="flags of tamiz-server, after --")
    arguments = parser.parse_args()
    table = Table(
        "case", "load", "offered/s", "accepted/s", "of saturation", "p50 ms", "p99 ms", "p99 later ms"
    )
    for name in ("refused", "refusal p50 ms", "no answer", "memory +MB", "lag p99 ms"):
        table.add_column(name)
    reached = True
    with tempfile.TemporaryDirectory() as folder:
        export_fast_and_slow(Path(folder), 4_000)
        for case in _CASES:
            reached &= _measure(Path(folder), case, arguments.seconds, arguments.flags, table)
    console.print(table)
    return 0 if reached else 1


def _measure(folder: Path, case: Case, seconds: float, flags: list[str], table: Table) -> bool:
    """Measure one case on its own server; return whether it reaches the goals, if they apply to it."""
    with serving(folder, *case.flags, *flags) as (port, pid):
        with Client(f"127.0.0.1:{port}") as client:
            client.wait_until_ready(60)
            rows = np.full((case.rows, 30), 0.5, np.float32)
            specs = client.model(case.model).manifest.inputs
        message = build_request(case.model, rows, specs).SerializeToString()
        saturation(port, message, 1.0, case.in_flight)  # warms up
        most = saturation(port, message, max(2.0, seconds / 6), case.in_flight)
        usual, _ = offer(port, pid, message, 0.8 * most, seconds / 2)
        flood, _ = offer(port, pid, message, _OVERLOAD * most, seconds)
    name = f"{case.model}, {case.rows} rows ({case.bound})"
    table.add_row(name, "saturated", "", f"{most:,.0f}", "1.00")
    for load, figures in (("80 %", usual), ("five times", flood)):
        table.add_row("", load, *_cells(figures, most))
    return case.bound != "compute" or reached(usual, flood, most)


def reached(usual: Figures, flood: Figures, most: float) -> bool:
    """Return whether the goals are reached, given the figures at 80 % and at five times the saturation."""
    return (
        flood.p99_s <= _GOAL_P99 * usual.p99_s
        and flood.refused_p50_s <= _GOAL_REFUSAL_S
        and flood.accepted >= _GOAL_GOODPUT * most
        and flood.growth_mb <= _GOAL_GROWTH_MB
    )


def _cells(figures: Figures, most: float) -> list[str]:
    seconds = (figures.p50_s, figures.p99_s, figures.settled_p99_s)
    return [
        f"{figures.offered:,.0f}",
        f"{figures.accepted:,.0f}",
        f"{figures.accepted / most:.2f}",
        *(f"{each * 1e3:,.1f}" for each in seconds),
        f"{figures.refused:.0%}",
        f"{figures.refused_p50_s * 1e3:,.1f}" if figures.refused else "",
        f"{figures.unanswered:,}",
        f"{figures.growth_mb:,.0f}",
        f"{figures.lag_p99_s * 1e3:,.1f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
