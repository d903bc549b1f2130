"""Tries a bundle in a process of its own before the server loads it, so that a bad graph does no harm here.

    Trial.run ──► trial_process, which has imported everything ──► a copy of it per bundle: load, warm up

A graph that crashes onnxruntime, never ends or takes all memory ends that copy, and is refused with the
reason. Starting the process takes a second; it is kept while bundles are loaded, and for some seconds more.
Several can be tried at once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Final

from tamiz_server.errors import BundleError
from tamiz_server.model.bundle import Bundle
from tamiz_server.model.trial_process import REFUSED, REFUSED_FOR_NOW, TIMED_OUT, Limits

_ENDED: Final = "the process that tried to load it ended with"
_GRACE_S: Final = 10.0
"""The process itself ends what takes too long. It has this much longer, then it is taken for stuck."""


_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""Without these, numpy and onnxruntime start threads when they are imported. A copy of a process has only the
thread that copied it, and waits forever for a lock that another thread held. onnxruntime's pools of threads
belong to sessions, and these are built in the copies only."""


class Trial:
    """Tries bundles, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._n_running = 0
        self._closed = False

    def run(
        self,
        bundle: Bundle,
        *,
        max_batch_size: int,
        memory_bytes: int,
        max_run_s: float,
        max_load_s: float,
        max_file_bytes: int,
    ) -> None:
        """Try to load a bundle and warm it up; return if that worked.

        Args:
            bundle: the bundle; exactly these bytes are tried.
            max_batch_size: the most rows of one run.
            memory_bytes: how much memory onnxruntime may take.
            max_run_s: how long one run may take, in seconds; 0: no limit of its own.
            max_load_s: how long the whole trial may take, in seconds.
            max_file_bytes: the largest recorded request beside it, in bytes; these are run too.

        Raises:
            BundleError: if it failed; the message says why.
        """
        limits = Limits(max_batch_size, memory_bytes, max_run_s, max_load_s, max_file_bytes)
        try:
            said, status = self._try(bundle, limits)
        except OSError as error:
            raise BundleError(
                f"{bundle.path}: the process that tries it first cannot be used ({error})", may_pass=True
            ) from error
        if self._closed:
            raise BundleError(f"{bundle.path} was not loaded: the server is stopping", may_pass=True)
        if status in {REFUSED, REFUSED_FOR_NOW}:
            raise BundleError(said.decode(errors="replace"), may_pass=status == REFUSED_FOR_NOW)
        if status == TIMED_OUT:
            raise BundleError(
                f"{bundle.path}: it did not load and warm up within {max_load_s:g} s (--max-load-s); the"
                " machine is too busy, or a loop in its graph never ends; in that case export it again",
                may_pass=True,
            )
        if status < 0:
            raise BundleError(
                f"{bundle.path}: {_ENDED} {signal.Signals(-status).name}: memory was short, or its graph"
                " crashes onnxruntime; in that case export it again",
                may_pass=True,
            )
        if status:
            raise BundleError(f"{bundle.path}: {_ENDED} status {status}; export it again")

    def rest(self) -> None:
        """End the process if it has nothing to do; the next trial starts it again."""
        with self._lock:
            if not self._n_running:
                self._end()

    def close(self) -> None:
        """Start no more trials, and end those that are running."""
        self._closed = True
        self._end()

    def _try(self, bundle: Bundle, limits: Limits) -> tuple[bytes, int]:
        """Have a bundle tried; return what was said, and the status."""
        content_end, our_end = os.pipe()
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(limits.max_load_s + _GRACE_S)
            try:
                with self._lock:
                    self._n_running += 1
                    self._ask(bundle, limits, (content_end, theirs.fileno()))
            except BaseException:
                os.close(our_end)
                self._ended()
                self._end()
                raise
            finally:
                os.close(content_end)
                theirs.close()
            try:
                with open(our_end, "wb") as file, suppress(BrokenPipeError):  # noqa: PTH123  a descriptor
                    file.write(bundle.content)
                said, _, status = _received(ours).rpartition(b"\0")
            except TimeoutError:
                self._end()
                return b"", TIMED_OUT
            finally:
                self._ended()
        return said, int(status) if status else -signal.SIGKILL

    def _ask(self, bundle: Bundle, limits: Limits, descriptors: tuple[int, int]) -> None:
        """Hand a bundle to the process, which says that it has it; start the process if it does not run."""
        if self._closed:
            raise OSError("the server is stopping")
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._start()
        control = self._control
        if control is None:
            raise OSError("the server is stopping")
        control.settimeout(limits.max_load_s + _GRACE_S)
        socket.send_fds(control, [json.dumps([str(bundle.path), *limits]).encode()], descriptors)
        if not control.recv(1):
            raise OSError("the process that tries bundles has ended")

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        # -P: a file in the folder that the server was started in must not replace a library.
        command = [sys.executable, "-P", "-m", "tamiz_server.model.trial_process"]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  ourselves
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **_ONE_THREAD},
            )

    def _end(self) -> None:
        """End the process and its copies."""
        process, self._process = self._process, None
        control, self._control = self._control, None
        if process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if control is not None:
            control.close()

    def _ended(self) -> None:
        with self._lock:
            self._n_running -= 1


def _received(connection: socket.socket) -> bytes:
    """Return all that is sent until the other end closes."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)
