"""Queue → model → gate → waiters, for one served version. Lives in one event loop.

    predict ──► BatchQueue ──► BatchRunner (model, gate) ──► Batch.deliver ──► each request's future
                    │
                    └── expired, cancelled: dropped before they are computed

A fast model runs in the event loop itself, because handing a batch to a thread costs more than computing
it. A slow one runs in a thread of its own, and what arrives meanwhile forms the next batch.
`Model.batch_seconds`, measured in the warm-up, decides which. Rows can make a fast model slow (a loop that
they bound): a version that has held up the event loop once runs in a thread from then on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from tamiz.thresholds import Thresholds
from tamiz_server.config.config import Config
from tamiz_server.engine.batch import FAILED, Batch, Slice
from tamiz_server.engine.batch_runner import EXPIRED, BatchRunner
from tamiz_server.engine.batching import BatchQueue
from tamiz_server.engine.circuit import Circuit
from tamiz_server.engine.patience import Patience
from tamiz_server.engine.request import Answer, Request
from tamiz_server.engine.shedding import Shedding
from tamiz_server.errors import DeadlineExceeded, ModelFailed, RowsFailed, TamizError, Unavailable
from tamiz_server.model.model import Model
from tamiz_server.model.run_limit import OVERSTAY_S
from tamiz_server.system.niceness import give_way
from tamiz_server.system.threads import WHERE, none_is_left
from tamiz_server.telemetry.model_metrics import ModelMetrics

_log = logging.getLogger(__name__)

_US: Final = 1e-6
_MS: Final = 1e-3
_DRAIN_POLL_S: Final = 0.01
_INLINE_RUN_S: Final = 1.0
"""The longest run in the event loop: meanwhile nobody is answered."""
_HOLDS_UP_S: Final = 0.1
"""A version whose batch computes for so long in the event loop leaves it: a hundred times what
`--inline-limit-us` allows by default."""

_RESTS: Final = (
    "the model failed on several batches in a row and rests for a while; try another replica, or again in a"
    " few seconds"
)

_HELD_UP: Final = (
    "model %s version %s computed %d rows in the event loop for %.1f s, in which nobody else was answered:"
    " until it is loaded again it runs in a thread of its own"
)

# The clock is time.monotonic, not the loop's: uvloop's stands still within a turn and counts whole
# milliseconds.
_now_s = time.monotonic


class Engine:
    """Answers requests for one served version.

    Attributes:
        model: the version's model.
        metrics: its counts.
        config: the settings in force for this model.
        thresholds: what rows have to reach.
        inline: whether the model runs in the event loop, so far.
        rests: whether the model rests after failures, and has not yet rested long enough to be asked again.
    """

    def __init__(
        self,
        model: Model,
        metrics: ModelMetrics,
        config: Config,
        *,
        thresholds: Thresholds | None = None,
        on_rest: Callable[[Engine, bool], None] | None = None,
        while_resting: str = "requests are refused with UNAVAILABLE, and one is let through every",
        after_rest: str = "requests are taken as before",
    ) -> None:
        """Begin, in the running event loop.

        Args:
            model: the version's model.
            metrics: where to count.
            config: the settings in force for this model.
            thresholds: what rows have to reach; None for the bundle's thresholds.
            on_rest: called with this engine and True when the model begins to rest after failures, and with
                False when it may be asked again.
            while_resting: what the log says becomes of requests meanwhile; the cool-down in seconds follows.
            after_rest: what the log says becomes of requests afterwards.
        """
        self.model = model
        self.metrics = metrics
        self.config = config
        self.thresholds = thresholds or Thresholds(model.manifest.threshold)
        self.rests = False
        self._on_rest = on_rest
        self._while_resting, self._after_rest = while_resting, after_rest
        self._computing: dict[Future[list[Batch]], asyncio.TimerHandle] = {}
        self._shedding = Shedding(
            max_batch_size=config.max_batch_size,
            max_queue_size=config.max_queue_size,
            max_wait_s=config.max_queue_wait_ms * _MS,
            batch_s=model.batch_seconds,
        )
        self._queue = BatchQueue(
            max_batch_size=config.max_batch_size,
            max_queue_delay_s=config.max_queue_delay_us * _US,
            max_queue_size=config.max_queue_size,
            max_bytes=config.max_queue_bytes,
            shedding=self._shedding,
        )
        self._circuit = Circuit(max_failures=config.max_failures, cooldown_s=config.failure_cooldown_s)
        metrics.follow(self._queue, self._circuit, model.overstays)
        self._loop = asyncio.get_running_loop()
        self._end_of_rest: asyncio.TimerHandle | None = None
        self._idle_threads = config.max_concurrency
        self._patience = Patience()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._looked_s = self._used_s = -math.inf
        self._has_dynamic_shapes = any(size < 0 for spec in model.specs for size in spec.tail)
        self._run_where(inline=model.batch_seconds <= config.inline_limit_us * _US)

    async def predict(self, request: Request) -> Answer:
        """Return the decisions on a request's rows, once they are computed.

        Raises:
            QueueFull: if too many rows are waiting, or those that do take too long.
            InvalidRequest: if there are more rows than can ever wait.
            DeadlineExceeded: if the deadline came before the rows were computed.
            ModelFailed: if the model failed; RowsFailed if it failed on these rows only.
            Unavailable: if the model rests, because it failed again and again.
        """
        if self._circuit.is_open and self._circuit.refuses(_now_s()):
            raise Unavailable(_RESTS)
        request.threshold = self.thresholds.of_request(
            request.wanted, looser_allowed=self.config.allow_looser_thresholds
        )
        if self._runs_at_once(request):
            return self._run_at_once(request)
        future: asyncio.Future[Answer] = self._loop.create_future()
        request.future = future
        self._enqueue(request)
        try:
            return await future
        except asyncio.CancelledError:
            self._queue.drop(request)
            raise

    @property
    def queue_rows(self) -> int:
        """How many rows wait now."""
        return self._queue.n_rows

    def is_pressed(self) -> bool:
        """Return whether requests were refused a moment ago because those before them take too long."""
        return self._shedding.is_strict(_now_s())

    async def drain(self) -> None:
        """Return when all that was accepted is computed. To be called when nothing new comes any more."""
        while self._queue.n_rows or self._idle_threads < self.config.max_concurrency:  # noqa: ASYNC110  an event would cost every request
            await asyncio.sleep(_DRAIN_POLL_S)

    def close(self) -> None:
        """Stop. To be called when nothing waits any more."""
        self._set_timer(math.inf)
        if self._end_of_rest is not None:
            self._end_of_rest.cancel()
        for timer in self._computing.values():
            timer.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def _run_where(self, *, inline: bool) -> None:
        """Have the model run in the event loop from now on, or in threads of this engine."""
        config, max_run_s = self.config, self.model.max_run_s
        if inline and max_run_s:
            max_run_s = min(max_run_s, _INLINE_RUN_S)
        self.inline = inline
        self._runner = BatchRunner(self.model, self.thresholds, max_run_s, self.metrics.labels)
        self._overstays_s = max_run_s + OVERSTAY_S if max_run_s else math.inf
        self._threads = (
            None if inline else ThreadPoolExecutor(config.max_concurrency, "tamiz-model", give_way)
        )
        self._never_waits = inline and config.max_queue_delay_us == 0

    def _run_in_loop(self, batch: Batch) -> list[Batch]:
        """Compute a batch, while nobody else is answered; a version that holds them up does so once."""
        if batch.started_s - self._looked_s > _HOLDS_UP_S:  # the look is a call of the system
            self._looked_s, self._used_s = batch.started_s, time.thread_time()
        batches = self._runner.run(batch)
        taken_s = _now_s() - batch.started_s
        # It is not the version's fault if another process had the processor meanwhile.
        if taken_s > _HOLDS_UP_S and time.thread_time() - self._used_s > 2 * _HOLDS_UP_S:
            n_rows = sum(stop - start for _, start, stop in batch.slices)
            _log.warning(_HELD_UP, *self.metrics.labels, n_rows, taken_s)
            self._run_where(inline=False)
        return batches

    def _runs_at_once(self, request: Request) -> bool:
        """Return whether a request need not wait: the engine is idle, and nobody else seems to be coming."""
        return (
            self._never_waits
            and not self._queue.n_rows
            and request.n_rows <= self._queue.max_batch_size
            and not self._patience.arrived()
        )

    def _run_at_once(self, request: Request) -> Answer:
        """Compute a lone request without queue, future and turns of the loop: a third of its time."""
        now_s = _now_s()
        if now_s >= request.deadline_s:
            raise DeadlineExceeded(EXPIRED)
        request.arrived_s = now_s
        # It never was in the queue, so it must take nothing out of the queue if it fails.
        request.taken = request.n_rows
        self._patience.computed(1)
        (batch,) = batches = self._run_in_loop(Batch([Slice(request, 0, request.n_rows)], now_s))
        self._deliver(batches)
        if request.answer is None:
            raise batch.error or ModelFailed(FAILED)
        return request.answer

    def _enqueue(self, request: Request) -> None:
        """Let a request wait, and see to it that somebody looks at the queue in time."""
        shapes = (
            tuple(array.shape[1:] for array in request.inputs.values()) if self._has_dynamic_shapes else None
        )
        self._queue.append(request, _now_s(), key=shapes)
        if not self._idle_threads:
            self._set_timer(min(self._timer_s, request.deadline_s))
        elif self._patience.arrived():
            self._schedule()
        elif not self._scheduled:
            self._dispatch()

    def _schedule(self) -> None:
        """Have the next batch computed when the requests that are on their way have arrived."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        if self._queue.n_rows < self._queue.max_batch_size and self._patience.turn_over():
            self._loop.call_soon(self._on_turn)
            return
        self._scheduled = False
        self._dispatch()

    def _dispatch(self) -> None:
        """Compute the next batch, if there is one and it is due."""
        now_s = _now_s()
        for request in self._queue.expire(now_s):
            request.fail(DeadlineExceeded(EXPIRED))
        if not self._idle_threads:
            self._set_timer(self._queue.expiry_s())
            return
        slices = self._queue.take(now_s)
        if not slices:
            self._set_timer(self._queue.wake_s())
            return
        self._patience.computed(len(slices))
        batch = Batch(slices, now_s)
        if self._threads is None:
            self._deliver(self._run_in_loop(batch))
        else:
            self._run_in_thread(self._threads, batch)
        if self._idle_threads and self._queue.n_rows:
            self._schedule()

    def _run_in_thread(self, threads: ThreadPoolExecutor, batch: Batch) -> None:
        self._idle_threads -= 1
        self._set_timer(self._queue.expiry_s())
        try:
            computing = threads.submit(self._runner.run, batch)
        except RuntimeError as error:
            if not none_is_left(error):
                raise
            batch.error = Unavailable(f"no thread could be started to compute this; {WHERE}")
            self._loop.call_soon(self._batch_done, [batch])
            return
        if self._overstays_s < math.inf:
            self._computing[computing] = self._loop.call_later(self._overstays_s, self._overstays, computing)
        computing.add_done_callback(lambda future: self._loop.call_soon_threadsafe(self._thread_done, future))

    def _overstays(self, computing: Future[list[Batch]]) -> None:
        """Let the model rest for as long as a batch computes that cannot be stopped; see `run_limit`."""
        self._circuit.open(_now_s())
        self._rest(until_s=self._circuit.ready_s())
        again_s = max(self.config.failure_cooldown_s / 2, _DRAIN_POLL_S)
        self._computing[computing] = self._loop.call_later(again_s, self._overstays, computing)

    def _thread_done(self, future: Future[list[Batch]]) -> None:
        if (timer := self._computing.pop(future, None)) is not None:
            timer.cancel()
        self._batch_done(future.result())

    def _batch_done(self, batches: list[Batch]) -> None:
        self._idle_threads += 1
        self._deliver(batches)
        self._dispatch()

    def _deliver(self, batches: list[Batch]) -> None:
        """Count what was computed, and give every request what it waits for."""
        failed = all(batch.decisions is None and not isinstance(batch.error, RowsFailed) for batch in batches)
        if failed or self._circuit.counts:
            self._take_note(batches[-1].error if failed else None)
        for batch in batches:
            if batch.decisions is None:
                for request, _, _ in batch.slices:
                    self._queue.drop(request)  # the rest of a request in parts
            else:
                class_index, confidence, accepted, reasons = batch.decisions
                self.metrics.batch_done(batch.seconds, len(accepted))
                self.metrics.rows_decided(confidence, accepted, reasons, class_index)
                self.metrics.uncertified_rows += batch.n_uncertified()
            batch.deliver(reveal=self.config.reveal_abstained)

    def _take_note(self, error: TamizError | None) -> None:
        """Tell the circuit how a batch ended, and others what follows from it; None if it was computed."""
        circuit, was_open = self._circuit, self._circuit.is_open
        if error is None:
            circuit.succeeded()
        else:
            circuit.failed(_now_s())
        if circuit.is_open or was_open:
            self._rest(until_s=circuit.ready_s() if circuit.is_open else None)
        if circuit.is_open and not was_open:
            where = f" ({error.where})" if isinstance(error, ModelFailed) and error.where else ""
            _log.warning(
                "model %s version %s failed on %d batches in a row%s: %s %g s",
                *self.metrics.labels,
                self.config.max_failures,
                where,
                self._while_resting,
                self.config.failure_cooldown_s,
            )
        elif was_open and not circuit.is_open:
            _log.warning("model %s version %s answers again: %s", *self.metrics.labels, self._after_rest)

    def _rest(self, until_s: float | None) -> None:
        """Say that the model rests until a time; None if it may be asked again.

        It may be asked again before it has shown that it works: without requests it could not show it.
        """
        if self._end_of_rest is not None:
            self._end_of_rest.cancel()
            self._end_of_rest = None
        rests = until_s is not None
        if until_s is not None:
            self._end_of_rest = self._loop.call_later(until_s - _now_s(), self._rest, None)
        if rests is not self.rests:
            self.rests = rests
            if self._on_rest is not None:
                self._on_rest(self, rests)

    def _set_timer(self, when_s: float) -> None:
        """Have `_dispatch` called at a time; infinite for not at all."""
        if when_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = when_s
        self._timer = (
            None if when_s == math.inf else self._loop.call_later(max(0.0, when_s - _now_s()), self._on_timer)
        )

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_s = math.inf
        self._dispatch()
