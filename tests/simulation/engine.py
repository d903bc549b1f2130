"""An engine of the real queue, circuit and shedding; time and the model are made up."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.simulation.disk import Bundle

from tamiz.v1.manifest_pb2 import Manifest
from tamiz_server.engine.batch import Slice
from tamiz_server.engine.batching import BatchQueue
from tamiz_server.engine.circuit import Circuit
from tamiz_server.engine.request import Request
from tamiz_server.engine.shedding import Shedding
from tamiz_server.errors import TamizError

if TYPE_CHECKING:
    from tests.simulation.world import World

MAX_BATCH_SIZE, MAX_QUEUE_SIZE, MAX_BYTES = 8, 48, 400
BATCH_S, MAX_FAILURES, COOLDOWN_S = 0.02, 3, 2.0


class Ask(Request):
    """A request, what its caller meant, and how it ended."""

    def __init__(self, n_rows: int, columns: str, *, poison: bool = False, **more: Any) -> None:
        super().__init__({}, n_rows, n_bytes=10 * n_rows, **more)
        self.columns = columns
        self.poison = poison
        self.n_answered = 0
        self.ends: list[str] = []

    def end(self, how: str) -> None:
        self.ends.append(how)
        assert "empty" not in how, how
        assert len(self.ends) == 1, f"a request ended twice: {self.ends}"


class Engine:
    """Answers with one bundle, as `tamiz_server.engine.engine.Engine` does, in a thread of its own."""

    def __init__(self, world: World, name: str, bundle: Bundle, max_batch_size: int) -> None:
        self.bundle = bundle
        self.model = SimpleNamespace(manifest=_manifest(bundle.columns))
        self.circuit = Circuit(max_failures=MAX_FAILURES, cooldown_s=COOLDOWN_S)
        size = max_batch_size or MAX_BATCH_SIZE
        shedding = Shedding(
            max_batch_size=size, max_queue_size=MAX_QUEUE_SIZE, max_wait_s=0.0, batch_s=BATCH_S
        )
        self.queue = BatchQueue(
            max_batch_size=size,
            max_queue_delay_s=0.005,
            max_queue_size=MAX_QUEUE_SIZE,
            max_bytes=MAX_BYTES,
            shedding=shedding,
        )
        self._world, self._name = world, name
        self._busy = False
        self._wake_s = math.inf
        self._n_all_failed = 0

    @property
    def idle(self) -> bool:
        return not self._busy and not self.queue.n_rows

    def ask(self, ask: Ask) -> None:
        now_s, n_before = self._world.now_s, self.queue.n_rows
        if self.circuit.is_open and self.circuit.refuses(now_s):
            ask.end("UNAVAILABLE")
            return
        try:
            self.queue.append(ask, now_s)
        except TamizError as error:
            ask.end(error.code if n_before else f"refused by an empty queue: {error}")
            return
        assert self.queue.n_rows <= MAX_QUEUE_SIZE, f"{self.queue.n_rows} rows wait"
        assert not n_before or self.queue._n_bytes <= MAX_BYTES, f"{self.queue._n_bytes} bytes wait"
        self._dispatch()

    def _dispatch(self) -> None:
        now_s = self._world.now_s
        for expired in self.queue.expire(now_s):
            expired.end("DEADLINE_EXCEEDED")
        slices = [] if self._busy else self.queue.take(now_s)
        if slices:
            self._begin(slices)
        self._wake(self.queue.expiry_s() if self._busy else self.queue.wake_s())

    def _begin(self, slices: list[Slice]) -> None:
        n_rows = sum(part.stop - part.start for part in slices)
        assert n_rows <= self.queue.max_batch_size, f"a batch has {n_rows} rows"
        for part in slices:
            ask = part.request
            assert self._world.now_s < ask.deadline_s, "a request is computed after its deadline"
        for earlier, later in pairwise(slices):
            same = earlier.request.low_priority == later.request.low_priority
            assert not same or earlier.request.arrived_s <= later.request.arrived_s, (
                "not first come first served"
            )
        self._busy = True
        self._world.at(BATCH_S, lambda: self._done(slices))

    def _done(self, slices: list[Slice]) -> None:
        self._busy = False
        sick, was_open = self._name in self._world.sick, self.circuit.is_open
        if sick:
            self._n_all_failed += 1
            self.circuit.failed(self._world.now_s)
        elif self.circuit.counts:
            self.circuit.succeeded()
        self._n_all_failed *= sick
        opened = self.circuit.is_open and not was_open
        assert not opened or self._n_all_failed >= MAX_FAILURES, "the circuit opened, and the model works"
        assert not self.circuit.is_open or sick, "the circuit stays open, and the model works"
        for request, start, stop in slices:
            self._end(request, stop - start, sick=sick)
        self._dispatch()

    def _end(self, ask: Ask, n_rows: int, *, sick: bool) -> None:
        if ask.ends:  # a part of it failed, or it expired
            return
        if sick or ask.poison:
            self.queue.drop(ask)
            ask.end("INTERNAL" if sick else "INVALID_ARGUMENT")
            return
        assert ask.columns == self.bundle.columns, (
            f"rows with {ask.columns} were read as {self.bundle.columns}"
        )
        ask.n_answered += n_rows
        if ask.n_answered == ask.n_rows:
            ask.end("OK")

    def _wake(self, when_s: float) -> None:
        if when_s < math.inf and not self._world.now_s < self._wake_s <= when_s:
            self._wake_s = when_s
            self._world.at(max(0.0, when_s - self._world.now_s), self._on_wake)

    def _on_wake(self) -> None:
        self._dispatch()


@cache
def _manifest(columns: str) -> Manifest:
    return Manifest(inputs_digest=columns)
