"""`make bench`: a Tamiz server and a null grpcio server, measured in turns in one run. The ratio counts.

h2load sends single-row requests of breast_cancer (StandardScaler and LogisticRegression, sigmoid calibrator):
saturated (8 connections with 8 requests each), and alone (one connection, one request at a time).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import h2load
from benchmarks.h2load import Figures
from benchmarks.server import free_port, running, serving
from tamiz_client import Client
from tamiz_client.encoding import build_request
from tamiz_convert import export

_LOADS = {"saturated": (8, 8, 20_000), "alone": (1, 1, 4_000)}
_GOALS = {"saturated": "≥ 0.45", "alone": "≤ 1.5"}

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the benchmark; return the exit status, which is 0 if both goals are reached."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=7, help="interleaved rounds; the median counts (default: 7)"
    )
    arguments = parser.parse_args()
    if not h2load.is_installed():
        console.print(
            "h2load is missing. Debian and Ubuntu: apt-get install nghttp2-client; macOS: brew install"
            " nghttp2"
        )
        return 2
    with tempfile.TemporaryDirectory() as folder:
        figures = _measure(Path(folder), arguments.rounds)
    return _show(figures)


def _measure(folder: Path, rounds: int) -> dict[tuple[str, str], list[Figures]]:
    body = _export(folder)
    null_port = free_port()
    null = (sys.executable, str(Path(__file__).with_name("null_server.py")), str(null_port))
    figures: dict[tuple[str, str], list[Figures]] = {}
    with running(*null), serving(folder / "models") as (tamiz_port, _):
        ports = {"null": null_port, "tamiz": tamiz_port}
        _check_answers(tamiz_port)
        time.sleep(1.0)  # lets the null server come up as well
        for round_ in track(range(rounds + 1), "measuring", console=console, transient=True):
            for load, (connections, streams, requests) in _LOADS.items():
                for name, port in ports.items():
                    one = h2load.run(
                        port,
                        body,
                        folder / "log",
                        connections=connections,
                        streams=streams,
                        requests=requests,
                    )
                    if round_:  # the first round warms up
                        figures.setdefault((load, name), []).append(one)
    return figures


def _export(folder: Path) -> Path:
    """Export the model; return a file with the gRPC message of one row."""
    X, y = load_breast_cancer(return_X_y=True)
    X = X.astype(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[::2], y[::2])
    report = export(
        model, folder / "models/bench/1", calibration=(X[1::2], y[1::2]), calibrator="sigmoid", threshold=0.9
    )
    message = build_request("bench", X[:1], report.manifest.inputs).SerializeToString()
    body = folder / "body"
    body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return body


def _check_answers(port: int) -> None:
    """Call once with a real client, because h2load counts any gRPC status as a success."""
    with Client(f"127.0.0.1:{port}") as client:
        client.wait_until_ready()
        X, _ = load_breast_cancer(return_X_y=True)
        result = client.predict("bench", X.astype(np.float32))
        if not 0 < result.coverage <= 1:
            raise RuntimeError(f"unexpected answer: {result}")


def _show(figures: dict[tuple[str, str], list[Figures]]) -> int:
    table = Table("load", "server", "rows/s", "mean µs", "p50 µs", "p99 µs", "ratio (goal)")
    reached = True
    for load in _LOADS:
        pairs = list(zip(figures[load, "tamiz"], figures[load, "null"], strict=True))
        if load == "saturated":
            ratio = median(ours.rows_per_s / null.rows_per_s for ours, null in pairs)
            reached &= ratio >= 0.45  # noqa: PLR2004  the goal
        else:
            ratio = median(ours.mean_s / null.mean_s for ours, null in pairs)
            reached &= ratio <= 1.5  # noqa: PLR2004  the goal
        for name in ("null", "tamiz"):
            rounds = figures[load, name]
            times = [
                f"{median(getattr(each, field) for each in rounds) * 1e6:,.0f}"
                for field in ("mean_s", "p50_s", "p99_s")
            ]
            rate = f"{median(each.rows_per_s for each in rounds):,.0f}"
            table.add_row(
                load, name, rate, *times, f"{ratio:.2f} ({_GOALS[load]})" if name == "tamiz" else ""
            )
    console.print(table)
    console.print(
        "medians over interleaved rounds; the ratio to the null server is of rows/s when saturated, of the"
        " mean time when alone"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
