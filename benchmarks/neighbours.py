"""`python -m benchmarks.neighbours`: a fast model's latency, alone and beside a saturated slow one.

The slow model multiplies large matrices for tens of milliseconds per batch and is never idle. A process of
its own calls the fast model with one row at a modest rate. Rounds alone and rounds beside the slow model
alternate. The ratio of the p99s counts; the goal is at most 3.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.fast_and_slow import export_fast_and_slow
from benchmarks.server import serving
from tamiz_client import Client

_GOAL = 3.0
_N_SATURATORS = 4
_CHUNK_ROWS = 64
_PERIOD_S = 0.005
_BETWEEN_S = 0.3

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the benchmark; return the exit status, which is 0 if the goal is reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of each kind; the median counts (default: 5)"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds per round (default: 4)")
    parser.add_argument("flags", nargs="*", help="flags of tamiz-server, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        export_fast_and_slow(Path(folder), 2_500)
        with serving(Path(folder), "--log-level=warning", *arguments.flags) as (port, _):
            with Client(f"127.0.0.1:{port}") as client:
                client.wait_until_ready(60)
            times = _measure(port, arguments.rounds, arguments.seconds)
    return _show(times)


def _measure(port: int, rounds: int, seconds: float) -> dict[str, list[list[float]]]:
    """Return the seconds of every call of the fast model, by kind and round."""
    times: dict[str, list[list[float]]] = {"alone": [], "beside": []}
    with ProcessPoolExecutor(_N_SATURATORS + 1) as pool:
        pool.submit(_ask_now_and_then, port, 1.0).result()  # warms up
        for _ in range(rounds):
            times["alone"].append(pool.submit(_ask_now_and_then, port, seconds).result())
            busy: list[Future[int]] = [
                pool.submit(_saturate, port, seconds + 2 * _BETWEEN_S) for _ in range(_N_SATURATORS)
            ]
            time.sleep(_BETWEEN_S)
            times["beside"].append(pool.submit(_ask_now_and_then, port, seconds).result())
            n_batches = sum(each.result() for each in busy)
            console.print(f"the slow model answered {n_batches / seconds:.0f} times a second")
    return times


def _ask_now_and_then(port: int, seconds: float) -> list[float]:
    row, times = np.zeros((1, 30), np.float32), []
    with Client(f"127.0.0.1:{port}") as client:
        client.predict("fast", row)
        until_s = time.perf_counter() + seconds
        while (started_s := time.perf_counter()) < until_s:
            client.predict("fast", row)
            times.append(time.perf_counter() - started_s)
            time.sleep(max(0.0, started_s + _PERIOD_S - time.perf_counter()))
    return times


def _saturate(port: int, seconds: float) -> int:
    """Call the slow model without pause; return how often."""
    rows, n_answers = np.zeros((_CHUNK_ROWS, 30), np.float32), 0
    with Client(f"127.0.0.1:{port}", timeout_s=60) as client:
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            client.predict("slow", rows)
            n_answers += 1
    return n_answers


def _show(times: dict[str, list[list[float]]]) -> int:
    table = Table("the fast model", "p50 µs", "p99 µs", "ratio of p99 (goal)")
    p99s = {kind: [float(np.quantile(each, 0.99)) for each in rounds] for kind, rounds in times.items()}
    ratio = median(beside / alone for beside, alone in zip(p99s["beside"], p99s["alone"], strict=True))
    for kind, rounds in times.items():
        p50 = median(median(each) for each in rounds)
        note = f"{ratio:.2f} (≤ {_GOAL:g})" if kind == "beside" else ""
        table.add_row(kind, f"{p50 * 1e6:,.0f}", f"{median(p99s[kind]) * 1e6:,.0f}", note)
    console.print(table)
    return 0 if ratio <= _GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
