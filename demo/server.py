"""A real `tamiz-server` in a process of its own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_READY = re.compile(r"ready: .*gRPC on (\S+), metrics on (\S+)/metrics")
_START_WITHIN_S = 60.0


@dataclass(frozen=True)
class Server:
    """Where a running server is.

    Attributes:
        target: host and port of gRPC.
        http: the address of /metrics and /healthz.
        pid: its process.
        ready_line: what it said when it was ready.
    """

    target: str
    http: str
    pid: int
    ready_line: str

    def metrics(self) -> dict[str, float]:
        """Return all samples: name with labels → value."""
        with urllib.request.urlopen(f"{self.http}/metrics") as answer:  # noqa: S310  our own server
            lines = answer.read().decode().splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if not line.startswith("#")
        }


@contextmanager
def running(repository: Path, log: Path, *, keep: bool) -> Iterator[Server]:
    """Start a server, wait until it is ready, and stop it at the end unless the caller wants to keep it.

    Raises:
        RuntimeError: if it does not become ready; the message is its log.
    """
    command = [sys.executable, "-m", "tamiz_server", f"--model-repository={repository}", "--drain-delay-s=0"]
    for flag, port in (("--grpc-port", 8001), ("--metrics-port", 8002)):
        command += [flag, str(port if _is_free(port) else 0)]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    kept = False
    try:
        yield _wait(process, log)
        kept = keep
    finally:
        if not kept:
            process.terminate()
            process.wait(_START_WITHIN_S)


def _wait(process: subprocess.Popen[bytes], log: Path) -> Server:
    until_s = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < until_s and process.poll() is None:
        ready = _READY.search(log.read_text())
        if ready:
            return Server(ready[1], ready[2], process.pid, ready[0])
        time.sleep(0.05)
    raise RuntimeError(f"the server did not become ready:\n{log.read_text()}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
