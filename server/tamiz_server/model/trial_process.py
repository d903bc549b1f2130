"""The process in which bundles are tried: it has imported all that they need, and copies itself for each.

    server ──socket──► this process ──fork──► _try: check the graph, build the session, warm up, report
                            │                   limited in memory and time, the first to be killed when
                            │                   the machine's memory runs out
                            └── ends what takes too long, and says how each copy ended

It ends with the server, and its copies end with it, whatever ends the server: their socket closes.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from tamiz.bundle_format import OnnxParts
from tamiz_server.errors import BundleError
from tamiz_server.model.bundle import parse
from tamiz_server.model.graph_check import check_graph
from tamiz_server.model.model import Model
from tamiz_server.model.recorded_warm_up import warm_up
from tamiz_server.system.files import may_pass
from tamiz_server.system.threads import WHERE, none_is_left

REFUSED: Final = 3
REFUSED_FOR_NOW: Final = 4
TIMED_OUT: Final = 1000
"""How a trial can end, besides 0, other statuses and negative numbers of signals."""

_MOST_REQUEST_BYTES: Final = 65_536
_PR_SET_PDEATHSIG: Final = 1
_OWN_BYTES: Final = 4 * 2**30
"""Address space of the interpreter and its libraries, most of it never used."""

_COPIES: Final = 4
"""How many copies of the file are in memory while a session is built from it."""


class Limits(NamedTuple):
    """What a trial may take; see `Trial.run`."""

    max_batch_size: int
    memory_bytes: int
    max_run_s: float
    max_load_s: float
    max_file_bytes: int


class _Copy(NamedTuple):
    """A copy that tries a bundle: where its end is reported, and when it is ended."""

    report: socket.socket
    until_s: float


class TrialProcess:
    """Tries what the server asks for, until the server is gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._copies: dict[int, _Copy] = {}
        self._wake, wake_us = os.pipe()
        for end in (self._wake, wake_us):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_us, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the server closes the socket; then end all copies, and this process."""
        while True:
            next_s = min((copy.until_s for copy in self._copies.values()), default=None)
            wait_s = None if next_s is None else max(0.0, next_s - time.monotonic())
            ready, _, _ = select.select([self._control.fileno(), self._wake], [], [], wait_s)
            if self._wake in ready:
                os.read(self._wake, 4096)
            self._bury()
            self._end_late_ones()
            if self._control.fileno() in ready:
                request, descriptors, _, _ = socket.recv_fds(self._control, _MOST_REQUEST_BYTES, 2)
                if not request:
                    os.killpg(0, signal.SIGKILL)
                self._begin(json.loads(request), *descriptors)

    def _begin(self, request: list[Any], content: int, report: int) -> None:
        path, limits = Path(request[0]), Limits(*request[1:])  # as `Trial` sent them
        connection = socket.socket(fileno=report)
        parent = os.getpid()
        process = os.fork()
        if not process:
            _end_with(parent)
            self._become_copy(path, content, connection, limits)
        os.close(content)
        self._copies[process] = _Copy(connection, time.monotonic() + limits.max_load_s)
        self._control.send(b"+")

    def _bury(self) -> None:
        """Report the copies that have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._report(ended[0], os.waitstatus_to_exitcode(ended[1]))

    def _end_late_ones(self) -> None:
        now_s = time.monotonic()
        for process in [process for process, copy in self._copies.items() if copy.until_s <= now_s]:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            self._report(process, TIMED_OUT)

    def _report(self, process: int, status: int) -> None:
        report = self._copies.pop(process).report
        with report, suppress(OSError):  # the server may have given up
            report.sendall(b"\0%d" % status)
            report.shutdown(socket.SHUT_RDWR)  # copies may hold it too

    def _become_copy(self, path: Path, content: int, report: socket.socket, limits: Limits) -> NoReturn:
        """Try a bundle and end, in the copy."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            self._control.close()
            for copy in self._copies.values():
                copy.report.close()
            with open(content, "rb") as file:
                status, said = _try(path, file.read(), limits)
            report.sendall(said.encode(errors="replace"))
        finally:
            os._exit(status)


def _try(path: Path, content: bytes, limits: Limits) -> tuple[int, str]:
    """Try a bundle; return the status, and why it is refused."""
    _limit_process(limits.memory_bytes + _COPIES * len(content) + _OWN_BYTES, limits.max_load_s)
    try:
        bundle = parse(path, content)
        check_graph(path, OnnxParts.of(content))
        model = Model(
            bundle,
            max_batch_size=limits.max_batch_size,
            n_threads=1,
            cpus=1,
            slow_above_s=limits.max_load_s,
            max_run_s=limits.max_run_s,
            memory_bytes=limits.memory_bytes,
        )
        warm_up(model, path.parent, max_file_bytes=limits.max_file_bytes, max_load_s=limits.max_load_s)
    except BundleError as error:
        return (REFUSED_FOR_NOW if error.may_pass else REFUSED), str(error)
    except OSError as error:
        return (REFUSED_FOR_NOW if may_pass(error) else REFUSED), f"{path}: it could not be tried ({error})"
    except MemoryError:
        return REFUSED, (
            f"{path}: loading it takes more memory than --model-memory-bytes allows; export it again"
        )
    except RuntimeError as error:
        if not none_is_left(error):
            raise
        return REFUSED_FOR_NOW, f"{path}: no thread could be started to try it; {WHERE}"
    return 0, ""


def _end_with(parent: int) -> None:
    """Have Linux end this process when its parent ends; elsewhere the parent does what it can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def _limit_process(address_space_bytes: int, max_load_s: float) -> None:
    """Limit this process, and make it the first to be killed. Where that is impossible, only time is limited.

    It keeps its priority, because otherwise a good bundle would run out of time on a busy machine.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415  Windows has none

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        # A parent that was killed meanwhile cannot end it, so it ends itself.
        seconds = int(max_load_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))


if __name__ == "__main__":
    TrialProcess(socket.socket(fileno=sys.stdin.fileno())).run()
