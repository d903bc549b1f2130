"""A real server in its own process: the only harness for tests that need one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

TRANSPORT = os.environ.get("TEST_TRANSPORT", "grpcio")
"""What servers are started with, unless a test chooses: the whole suite runs over either."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class ServerProcess:
    """A real `tamiz-server` in a process of its own."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    port: int = 0
    metrics_port: int = 0
    http_port: int = 0
    ready: bool = False
    follower: threading.Thread | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def wait_ready(self, within_s: float = 120.0) -> None:
        ended = threading.Event()  # the wait for it: ready, or gone

        def follow() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                self.log.append(line)
                if ports := re.search(r"gRPC on \S+:(\d+), metrics on https?://\S+:(\d+)/", line):
                    self.port, self.metrics_port = map(int, ports.groups())
                if port := re.search(r"HTTP on https?://[^\s\"]+:(\d+)", line):
                    self.http_port = int(port[1])
                if "gRPC on " in line:
                    self.ready = True
                    ended.set()
            ended.set()

        self.follower = threading.Thread(target=follow, daemon=True)
        self.follower.start()
        assert ended.wait(within_s), "the server did not say that it is ready"
        assert self.ready, "".join(self.log)

    @classmethod
    def start(
        cls, repository: Path, *flags: str | Path, python: str | Path = sys.executable
    ) -> ServerProcess:
        """Start a server on free ports over a repository, without the variables that set a server here."""
        command = [python, "-m", "tamiz_server", "--grpc-port", "0", "--metrics-port", "0"]
        command += [
            "--model-repository",
            repository,
            "--drain-delay-s",
            "0",
            *flags,
        ]
        if "--transport" not in flags:
            command += ["--transport", TRANSPORT]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TAMIZ_")}
        return cls(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))

    def stop(self, within_s: float = 60.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(within_s)
        if self.follower:
            self.follower.join(within_s)  # a test asks for the last line
        return status

    def end(self) -> None:
        """Kill it if it still runs, and remove everything that it leaves."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
