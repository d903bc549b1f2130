"""Well-behaved clients who keep asking while others misbehave, and the books of the server that are checked
afterwards.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tests.asking import metric, wait_for

from tamiz_client import Client, RetryPolicy

_PATIENCE_S = 60.0
# A backlog of tens of thousands of connections is freed in steps, with seconds between them on a busy
# machine.
_FLAT_S = 10.0 if os.environ.get("TAMIZ_FAULTS") == "whole" else 1.0
_LOOK_S = 0.25


def in_threads(work: Callable[[int], None], n_threads: int) -> None:
    """Have threads do something at once; raise what one of them raised."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def until_memory_settles(server, do: Callable[[], object]) -> int:
    """Repeat something until it takes no more memory, at most six times; return how often.

    After each flood the server gets time to work it off. Memory that a flood has used stays in the
    allocator's arenas for the next one; memory that leaks is taken again every time.
    """
    sizes: list[int] = []
    for times in range(1, 7):
        do()
        sizes.append(_calm(server))
        if times > 1 and sizes[-1] < max(sizes[:-1]) + 40e6:
            return times
    raise AssertionError(f"it takes memory every time: {sizes}")


def _calm(server, within_s: float = 240.0) -> int:
    """Wait until the memory of a server stops falling; return it."""
    until_s = time.monotonic() + within_s
    sizes = [Footprint.of(server).rss_bytes]
    n_flat = round(_FLAT_S / _LOOK_S)
    while len(sizes) < n_flat or sizes[-1] < 0.99 * sizes[-n_flat]:
        assert time.monotonic() < until_s, "the server goes on working off what it was flooded with"
        time.sleep(_LOOK_S)
        sizes.append(Footprint.of(server).rss_bytes)
    return sizes[-1]


class Footprint(NamedTuple):
    """What a process takes."""

    rss_bytes: int
    n_threads: int
    n_fds: int

    @classmethod
    def of(cls, server) -> Footprint:
        proc = Path("/proc", str(server.process.pid))
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        rss_bytes = int(status["VmRSS"].split()[0]) * 1024
        return cls(rss_bytes, int(status["Threads"]), len(list((proc / "fd").iterdir())))


class Bystanders:
    """Clients that ask for the model `m` (`softmax_graph`), one request after the other, without retries.

    Attributes:
        failures: requests without an answer, or with a wrong one.
        answered: how many requests got the right answer.
        slowest_s: how long the slowest answer took, on a stream since the answer before it.
    """

    def __init__(self, server, n_unary: int = 2, n_streams: int = 1) -> None:
        self.failures: list[str] = []
        self.answered = 0
        self.slowest_s = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._server = server
        kinds = [self._ask] * n_unary + [self._stream] * n_streams
        self._threads = [
            threading.Thread(target=self._run, args=(kind, seed)) for seed, kind in enumerate(kinds)
        ]
        for thread in self._threads:
            thread.start()

    def progress(self, n_answers: int = 20, within_s: float = _PATIENCE_S) -> None:
        """Wait until so many more requests were answered."""
        wanted = self.answered + n_answers
        wait_for(
            lambda: self.answered >= wanted or bool(self.failures),
            "well-behaved clients get answers",
            within_s,
        )
        assert not self.failures

    def finish(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * _PATIENCE_S)
            assert not thread.is_alive(), "a well-behaved client hangs"

    def _run(self, kind: Callable[[Client, np.random.Generator], None], seed: int) -> None:
        try:
            with Client(
                self._server.target, timeout_s=_PATIENCE_S, retry=RetryPolicy(max_attempts=1)
            ) as client:
                kind(client, np.random.default_rng(seed))
        except Exception as error:  # noqa: BLE001  whatever it was, it counts
            self.failures.append(repr(error))

    def _rows(self, random: np.random.Generator) -> np.ndarray:
        return np.column_stack([np.zeros(n := random.integers(1, 4)), random.uniform(-5, 5, n)]).astype("f4")

    def _ask(self, client: Client, random: np.random.Generator) -> None:
        while not self._stop.is_set():
            rows = self._rows(random)
            asked_s = time.monotonic()
            self._check(rows, client.predict("m", rows), asked_s)
            time.sleep(0.002)  # the callers share a machine with the server

    def _stream(self, client: Client, random: np.random.Generator) -> None:
        asked: list[np.ndarray] = []

        def chunks() -> Iterator[np.ndarray]:
            while not self._stop.wait(0.002):
                asked.append(self._rows(random))
                yield asked[-1]

        last_s = time.monotonic()
        for number, result in enumerate(client.stream("m", chunks())):
            self._check(asked[number], result, last_s)
            last_s = time.monotonic()
        assert number + 1 == len(asked), "the stream ended before all was answered"

    def _check(self, rows: np.ndarray, result, asked_s: float) -> None:
        yes = 1 / (1 + np.exp(-rows[:, 1].astype("f8")))
        confidence = np.maximum(yes, 1 - yes)
        accepted = confidence >= 0.8
        labels = [("yes" if p > 0.5 else "no") if ok else None for p, ok in zip(yes, accepted, strict=True)]
        np.testing.assert_allclose(result.confidence, confidence, atol=1e-9)
        assert list(result.labels) == labels
        with self._lock:
            self.answered += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - asked_s)


@contextmanager
def bystanders(
    server,
    *,
    memory_bytes: float = 40e6,
    threads: int = 4,
    fds: int = 2,
    within_s: float = 100.0,
) -> Iterator[Bystanders]:
    """Have well-behaved clients ask during a block. Whatever happens in it: afterwards nothing is missing or
    left behind.

    Each of their requests was answered, rightly, and the server counted exactly these as OK for model `m`;
    every request that it received has ended; nothing waits; and memory, threads and file descriptors are back
    to where they were, but for the margins that are given. It may take 80 s until gRPC finds by its keepalive
    that a peer which read nothing has gone.
    """
    start = metric(server, "tamiz_requests_total", model="m", code="OK")
    asking = Bystanders(server)
    try:
        asking.progress(200)
        before = Footprint.of(server)
        yield asking
        asking.progress()
    finally:
        asking.finish()
    assert not asking.failures
    assert server.process.poll() is None
    wait_for(lambda: metric(server, "tamiz_requests_in_flight") == 0, "all that was received has ended")
    assert metric(server, "tamiz_queue_rows") == 0
    wait_for(lambda: metric(server, "tamiz_streams_open") == 0, "no stream is left open")
    assert metric(server, "tamiz_requests_received_total") == metric(server, "tamiz_requests_total")
    assert metric(server, "tamiz_requests_total", model="m", code="OK") - start == asking.answered
    limits = Footprint(
        math.ceil(before.rss_bytes + memory_bytes), before.n_threads + threads, before.n_fds + fds
    )
    with _said(lambda: f"{Footprint.of(server)} is above {limits}; open: {_open_files(server)}"):
        wait_for(
            lambda: all(has <= limit for has, limit in zip(Footprint.of(server), limits, strict=True)),
            "the process takes no more than before",
            within_s,
        )


def _open_files(server) -> dict[str, int]:
    """What the descriptors of a process are of, and how many of each."""
    descriptors = Path("/proc", str(server.process.pid), "fd")
    return dict(Counter(re.sub(r":\[\d+\]", "", str(fd.readlink())) for fd in descriptors.iterdir()))


@contextmanager
def _said(what: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(what()) from error
