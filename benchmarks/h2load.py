"""h2load sends one fixed gRPC request again and again."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATH = "/tamiz.v1.PredictionService/Predict"

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Figures:
    """One run of h2load.

    Attributes:
        rows_per_s: single-row requests answered per second.
        mean_s, p50_s, p99_s: time per request.
    """

    rows_per_s: float
    mean_s: float
    p50_s: float
    p99_s: float


def is_installed() -> bool:
    """Return whether h2load is installed."""
    return shutil.which("h2load") is not None


def run(port: int, body: Path, log: Path, *, connections: int, streams: int, requests: int) -> Figures:
    """Send requests to a server on this machine.

    Args:
        port: the server's port.
        body: the gRPC message, after its five bytes of flag and length.
        log: where h2load writes one line per request.
        connections: how many connections.
        streams: how many requests at once on each connection.
        requests: how many requests in total.

    Raises:
        RuntimeError: if a request failed.
    """
    log.unlink(missing_ok=True)
    command = [
        "h2load",
        f"-n{requests}",
        f"-c{connections}",
        f"-m{streams}",
        "-t1",
        f"-d{body}",
        f"--log-file={log}",
        "-Hcontent-type: application/grpc",
        "-Hte: trailers",
        f"http://127.0.0.1:{port}{PATH}",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if f"{requests} succeeded" not in output:
        raise RuntimeError(f"h2load: not every request was answered\n{output}")
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", output)
    assert rate is not None  # noqa: S101  h2load's output always has it
    times_us = sorted(int(line.split()[-1]) for line in log.read_text().splitlines())
    return Figures(
        float(rate[1]),
        sum(times_us) / len(times_us) * 1e-6,
        times_us[len(times_us) // 2] * 1e-6,
        times_us[int(len(times_us) * 0.99)] * 1e-6,
    )
