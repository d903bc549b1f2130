"""Tries a bundle in a separate process before the server loads it, so that a bad graph does no harm here.

    Trial.run ──► python -m tamiz_server.model.trial ──► check the graph, build the session, warm up, report
                  limited in memory and time; the first to be killed when the machine's memory runs out


A graph that crashes onnxruntime, never ends or takes all memory ends that process, and is refused with the
reason. A trial takes a third of a second per load.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from tamiz.bundle_format import OnnxParts
from tamiz_server.errors import BundleError
from tamiz_server.model.bundle import Bundle, parse
from tamiz_server.model.graph_check import check_graph
from tamiz_server.model.model import Model
from tamiz_server.model.recorded_warm_up import warm_up

_REFUSED: Final = 3
_OWN_BYTES: Final = 4 * 2**30
"""Address space of the interpreter and its libraries, most of it never used."""

_COPIES: Final = 4
"""How many copies of the file are in memory while a session is built from it."""


class Trial:
    """Tries bundles, one at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
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
        limits = (max_batch_size, memory_bytes, max_run_s, max_load_s, max_file_bytes)
        # -P: a file in the folder that the server was started in must not replace a library.
        command = [sys.executable, "-P", "-m", __name__, str(bundle.path), *map(str, limits)]
        with self._lock:
            if self._closed:
                raise BundleError(f"{bundle.path} was not loaded: the server is stopping")
            process = self._process = subprocess.Popen(  # noqa: S603  ourselves
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        try:
            said, _ = process.communicate(bundle.content, timeout=max_load_s)
        except subprocess.TimeoutExpired:
            raise BundleError(
                f"{bundle.path}: it did not load and warm up within {max_load_s:g} s (--max-load-s); a loop"
                " in its graph may never end; export it again"
            ) from None
        finally:
            process.kill()
            process.communicate()
            self._process = None
        if process.returncode == _REFUSED:
            raise BundleError(said.decode(errors="replace"))
        if process.returncode:
            raise BundleError(
                f"{bundle.path}: the process that tried to load it ended with {_ending(process.returncode)}:"
                " its graph crashes onnxruntime, or takes more memory than there is; export it again"
            )

    def close(self) -> None:
        """Start no more trials, and end the one that is running."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()


def _ending(return_code: int) -> str:
    return f"status {return_code}" if return_code > 0 else signal.Signals(-return_code).name


def main(argv: list[str]) -> int:
    """Try the bundle on standard input. The exit status says whether it worked, standard output why not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("max_batch_size", type=int)
    parser.add_argument("memory_bytes", type=int)
    parser.add_argument("max_run_s", type=float)
    parser.add_argument("max_load_s", type=float)
    parser.add_argument("max_file_bytes", type=int)
    given = parser.parse_args(argv)
    content = sys.stdin.buffer.read()
    _limit_process(given.memory_bytes + _COPIES * len(content) + _OWN_BYTES, given.max_load_s)
    try:
        _try(given.path, content, given)
    except BundleError as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse(
            f"{given.path}: loading it takes more memory than --model-memory-bytes allows; export it again"
        )
    return 0


def _try(path: Path, content: bytes, given: argparse.Namespace) -> None:
    bundle = parse(path, content)
    check_graph(path, OnnxParts.of(content))
    model = Model(
        bundle,
        max_batch_size=given.max_batch_size,
        n_threads=1,
        cpus=1,
        slow_above_s=given.max_load_s,
        max_run_s=given.max_run_s,
        memory_bytes=given.memory_bytes,
    )
    warm_up(model, path.parent, max_file_bytes=given.max_file_bytes)


def _refuse(reason: str) -> int:
    sys.stdout.buffer.write(reason.encode(errors="replace"))
    return _REFUSED


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
        # A server that was killed meanwhile cannot end it, so it ends itself.
        seconds = int(max_load_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
