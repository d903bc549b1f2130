"""`python -m benchmarks.shadow`: what a shadow costs the callers of the live version.

First, in one process, a service without a transport: requests of one row without a shadow, with another
threshold as the shadow, and with another version as the shadow, in turns. The ratio of each turn to the one
without counts. Then two real servers side by side, one with a slow shadow that is never idle, called in
turns: the ratios of their p50s and p99s.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from benchmarks.server import serving
from tamiz_client import Client
from tamiz_client.encoding import build_request
from tamiz_convert import export
from tamiz_server.config.config import Config
from tamiz_server.protocols.v1.service import PredictionService
from tamiz_server.repository.reloader import Reloader
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.requests import Requests
from tamiz_server.serving.served import Registry
from tamiz_server.serving.streams import Streams
from tamiz_server.telemetry.metrics import Metrics

_CALLS = 2_000
_PERIOD_S = 0.002
_BETWEEN_S = 0.05
_SHADOWS = {
    "none": "",
    "another threshold": "[shadow]\nthreshold = 0.9\n",
    "another version": "[shadow]\nversion = 2\n",
    "another version, a tenth": "[shadow]\nversion = 2\nshare = 0.1\n",
}

console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shadow", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each kind (default: 15)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="seconds per turn of a server (default: 3)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        _export(repository)
        asyncio.run(_in_process(repository, arguments.rounds))
        _served(repository, arguments.rounds, arguments.seconds)


def _export(repository: Path) -> None:
    """Write a fast model as versions 1 and 2, and as another model's version 1, whose version 2 is slow."""
    rows, labels = load_breast_cancer(return_X_y=True)
    fast = LogisticRegression(max_iter=10_000).fit(rows, labels)
    slow = MLPClassifier((2048, 2048, 2048), max_iter=2, random_state=0).fit(rows, labels)
    for estimator, where in ((fast, "m/1"), (fast, "m/2"), (slow, "busy/2")):
        export(estimator, repository / where, calibration=(rows, labels), threshold=0.7)
    shutil.copytree(repository / "m/1", repository / "busy/1")


async def _in_process(repository: Path, rounds: int) -> None:
    metrics = Metrics("0")
    config = Config(model_repository=repository)
    readiness = Readiness()
    registry = Registry(readiness)
    requests = Requests(registry, metrics)
    service = PredictionService(registry, requests, Streams(config, metrics))

    async def set_health(*_: object) -> None:
        """Nobody asks."""

    reloader = Reloader(config, registry, readiness, metrics, set_health)
    await reloader.look(patient=False)
    inputs = registry.find("m", 1).engine.model.manifest.inputs
    body = build_request("m", np.zeros((1, 30)), inputs).SerializeToString()
    times: dict[str, list[float]] = {kind: [] for kind in _SHADOWS}
    for _ in range(rounds):
        for kind, text in _SHADOWS.items():
            (repository / "m/settings.toml").write_text(f"[versions]\nserve = [1]\n{text}")
            await reloader.look(patient=False)
            seconds = []
            for _ in range(_CALLS):
                started_s = time.perf_counter()
                await service.predict(body, math.inf, tuple)
                seconds.append(time.perf_counter() - started_s)
                await asyncio.sleep(0)
            times[kind].append(median(seconds))
    await reloader.end_shadows()
    reloader.close()
    base = times["none"]
    for kind, each in times.items():
        ratios = [a / b for a, b in zip(each, base, strict=True)]
        more_us = [1e6 * (a - b) for a, b in zip(each, base, strict=True)]
        console.print(
            f"in process, {kind}: {1e6 * median(each):.1f} µs per call, {median(ratios):.3f} of none,"
            f" {median(more_us):+.2f} µs"
        )


def _served(repository: Path, rounds: int, seconds: float) -> None:
    rows = np.zeros((1, 30))
    kinds: list[list[list[float]]] = [[], []]
    with ExitStack() as servers:
        clients = []
        for text in ("", "[shadow]\nversion = 2\n"):
            own = repository.with_name(f"served{len(clients)}")
            shutil.copytree(repository / "busy", own / "busy")
            (own / "busy/settings.toml").write_text(f"[versions]\nserve = [1]\n{text}")
            port, _ = servers.enter_context(serving(own, "--log-level=warning"))
            clients.append(Client(f"127.0.0.1:{port}"))
        for client in clients:
            client.wait_until_ready(60)
        for _ in range(rounds):
            for client, kind in zip(clients, kinds, strict=True):
                kind.append(_ask(client, rows, seconds))
                time.sleep(_BETWEEN_S)
    for percent in (50, 99):
        without, beside = ([float(np.percentile(each, percent)) for each in kind] for kind in kinds)
        ratio = median(b / a for a, b in zip(without, beside, strict=True))
        console.print(
            f"served, p{percent}: {1e3 * median(without):.2f} ms without, {1e3 * median(beside):.2f} ms"
            f" beside a busy shadow, ratio {ratio:.2f}"
        )


def _ask(client: Client, rows: np.ndarray, seconds: float) -> list[float]:
    """Make calls at a steady rate for a while; return how long each call took."""
    times, until_s = [], time.monotonic() + seconds
    while time.monotonic() < until_s:
        started_s = time.perf_counter()
        client.predict("busy", rows)
        times.append(time.perf_counter() - started_s)
        time.sleep(_PERIOD_S)
    return times


if __name__ == "__main__":
    main()
