"""The servers of the benchmarks, each in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str) -> Iterator[int]:
    """Run a program until the block ends; give its process id."""
    process = subprocess.Popen(command)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serving(repository: Path, *flags: str) -> Iterator[tuple[int, int]]:
    """Run a server over a repository; give its port, on which it may not listen yet, and its process id."""
    port = free_port()
    command = [sys.executable, "-m", "tamiz_server", f"--model-repository={repository}"]
    command += [f"--grpc-port={port}", "--metrics-port=0", "--drain-delay-s=0", "--log-level=error", *flags]
    with running(*command) as pid:
        yield port, pid
