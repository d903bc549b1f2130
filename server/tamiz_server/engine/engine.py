"""Queue → model → gate → waiters, for one served version. Lives in one event loop.

    predict ──► BatchQueue ──► _run_batch (model, gate) ──► _deliver ──► each request's future
                    │
                    └── expired, cancelled: dropped before they are computed

A fast model runs in the event loop itself: handing a batch to a thread costs more than computing it. A slow one runs
in a thread of its own, and what arrives meanwhile forms the next batch. `Model.batch_seconds`, measured in the
warm-up, says which.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamiz.gate import NO_CLASS, DecisionLists, decide_batch, valid_rows
from tamiz.thresholds import Thresholds
from tamiz_server.config.config import Config
from tamiz_server.engine.batching import BatchQueue, Slice
from tamiz_server.engine.circuit import Circuit
from tamiz_server.engine.patience import Patience
from tamiz_server.engine.shedding import Shedding
from tamiz_server.engine.work import (
    Answer,
    Batch,
    Pending,
    Work,
    asked_thresholds,
    gathered,
    raised_thresholds,
)
from tamiz_server.errors import DeadlineExceeded, ModelFailed, TamizError, Unavailable
from tamiz_server.model.model import Model
from tamiz_server.system.niceness import give_way
from tamiz_server.telemetry.model_metrics import ModelMetrics

_log = logging.getLogger(__name__)

_US: Final = 1e-6
_MS: Final = 1e-3
_DRAIN_POLL_S: Final = 0.01
_INLINE_RUN_S: Final = 1.0
_EXPIRED: Final = "the deadline passed while the request waited; it was not computed"
_RESTS: Final = (
    "the model failed again and again and rests for a while; try another replica, or again in some seconds"
)
_REFUSED: Final = "requests are refused with UNAVAILABLE, one is let through every"
_TAKEN: Final = "requests are taken as before"
_FAILED: Final = "the server failed on these rows; its log says how"

# The clock is time.monotonic, not the loop's: uvloop's stands still within a turn and counts whole milliseconds.
_now_s = time.monotonic


class _Outcome(NamedTuple):
    """What came of a batch: decisions, or an error that all of it shares."""

    batch: Batch
    decisions: DecisionLists | None
    probabilities: NDArray[np.float64] | None
    seconds: float
    error: TamizError | None = None
    thresholds: list[float] | None = None


class Engine:
    """Answers requests for one served version.

    Attributes:
        model: the version's model.
        metrics: its counts.
        config: the settings in force for this model.
        inline: whether the model runs in the event loop.
        rests: whether the model rests after failures, and not yet long enough to be asked again.
        says_refused, says_taken: what the log says becomes of requests while the model rests, and afterwards.
        on_rest: called with this engine when the model begins to rest after failures (True), and when it may be asked again
            (False).
    """

    def __init__(self, model: Model, metrics: ModelMetrics, config: Config) -> None:
        self.model = model
        self.metrics = metrics
        self.config = config
        self.says_refused, self.says_taken = _REFUSED, _TAKEN
        self.on_rest: Callable[[Engine, bool], None] = lambda _engine, _rests: None
        self.rests = False
        self.inline = model.batch_seconds <= config.inline_limit_us * _US
        if self.inline and model.run_limit.max_run_s:  # meanwhile nobody is answered
            model.run_limit.max_run_s = min(model.run_limit.max_run_s, _INLINE_RUN_S)
        metrics.queue_limit_rows = config.max_queue_size
        self._own = Thresholds(model.manifest.threshold)
        self._reveal = config.reveal_abstained
        self._shedding = Shedding(
            max_batch_size=config.max_batch_size,
            max_queue_size=config.max_queue_size,
            max_wait_s=config.max_queue_wait_ms * _MS,
            batch_s=model.batch_seconds,
        )
        self._queue: BatchQueue[Pending] = BatchQueue(
            max_batch_size=config.max_batch_size,
            max_queue_delay_s=config.max_queue_delay_us * _US,
            max_queue_size=config.max_queue_size,
            max_bytes=config.max_queue_bytes,
            shedding=self._shedding,
        )
        self._loop = asyncio.get_running_loop()
        self._circuit = Circuit(max_failures=config.max_failures, cooldown_s=config.failure_cooldown_s)
        metrics.circuit = self._circuit
        self._end_of_rest: asyncio.TimerHandle | None = None
        self._threads = (
            None if self.inline else ThreadPoolExecutor(config.max_concurrency, "tamiz-model", give_way)
        )
        self._idle_threads = config.max_concurrency
        self._patience = Patience()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._never_waits = self.inline and config.max_queue_delay_us == 0
        self._has_dynamic_shapes = any(size < 0 for spec in model.specs for size in spec.tail)

    async def predict(self, work: Work) -> Answer:
        """Return the decisions on a request's rows, once they are computed.

        Raises:
            QueueFull: if too many rows are waiting, or those that do take too long.
            InvalidRequest: if there are more rows than can ever wait.
            DeadlineExceeded: if the deadline came before the rows were computed.
            ModelFailed: if the model failed on these rows.
            Unavailable: if the model rests, because it failed again and again.
        """
        if self._circuit.is_open and self._circuit.refuses(_now_s()):
            raise Unavailable(_RESTS)
        if self._runs_at_once(work):
            return self._run_at_once(work)
        future: asyncio.Future[Answer] = self._loop.create_future()
        entry = self._enqueue(work, future)
        try:
            return await future
        except asyncio.CancelledError:
            self._queue.drop(entry)
            self.metrics.queue_rows = self._queue.n_rows
            raise

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
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    def _runs_at_once(self, work: Work) -> bool:
        """Return whether a request need not wait: the engine is idle, and nobody else seems to be coming."""
        return (
            self._never_waits
            and not self._queue.n_rows
            and work.n_rows <= self._queue.max_batch_size
            and not self._patience.arrived()
        )

    def _run_at_once(self, work: Work) -> Answer:
        """Compute a lone request: without queue, future and turns of the loop, which take a third of its time."""
        now_s = _now_s()
        if now_s >= work.deadline_s:
            raise DeadlineExceeded(_EXPIRED)
        entry = Pending(work, now_s, None, None)
        entry.taken = work.n_rows  # it never was in the queue, and takes nothing out of it should it fail
        self._patience.computed(1)
        (outcome,) = self._run([Slice(entry, 0, work.n_rows)])
        self._deliver(now_s, [outcome])
        if entry.answer is None:
            raise outcome.error or ModelFailed(_FAILED)
        return entry.answer

    def _enqueue(self, work: Work, future: asyncio.Future[Answer]) -> Pending:
        key = tuple(array.shape[1:] for array in work.inputs.values()) if self._has_dynamic_shapes else None
        entry = Pending(work, _now_s(), key, future)
        self._queue.append(entry)
        self.metrics.queue_rows = self._queue.n_rows
        if not self._idle_threads:
            self._set_timer(min(self._timer_s, work.deadline_s))
        elif self._patience.arrived():
            self._schedule()
        elif not self._scheduled:
            self._dispatch()
        return entry

    def _schedule(self) -> None:
        """Have the next batch computed, when those that are on their way have arrived."""
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
        self._expire(now_s)
        if not self._idle_threads:
            self._set_timer(self._queue.expiry_s())
            return
        batch = self._queue.take(now_s)
        self.metrics.queue_rows = self._queue.n_rows
        if not batch:
            self._set_timer(self._queue.wake_s())
            return
        self._patience.computed(len(batch))
        if self._threads is None:
            self._deliver(now_s, self._run(batch))
            if self._queue.n_rows:
                self._schedule()
        else:
            self._idle_threads -= 1
            self._set_timer(self._queue.expiry_s())
            self._threads.submit(self._run, batch).add_done_callback(
                lambda future: self._loop.call_soon_threadsafe(self._thread_done, now_s, future)
            )
            if self._idle_threads and self._queue.n_rows:
                self._schedule()

    def _thread_done(self, started_s: float, future: Future[list[_Outcome]]) -> None:
        self._idle_threads += 1
        self._deliver(started_s, future.result())
        self._dispatch()

    def _expire(self, now_s: float) -> None:
        for entry in self._queue.expire(now_s):
            entry.fail(DeadlineExceeded(_EXPIRED))

    def _take_note(self, error: TamizError | None) -> None:
        """Tell the circuit how a batch ended, and others what follows from it; None: it was computed."""
        circuit, was_open = self._circuit, self._circuit.is_open
        if error is None:
            circuit.succeeded()
        else:
            circuit.failed(_now_s())
        if circuit.is_open or was_open:
            self._rest(until_s=circuit.ready_s() if circuit.is_open else None)
        if circuit.is_open != was_open:
            where = f" ({error.where})" if isinstance(error, ModelFailed) and error.where else ""
            _log.warning(
                "model %s version %s %s",
                *self.metrics.labels,
                f"failed on {self.config.max_failures} batches in a row{where}: {self.says_refused}"
                f" {self.config.failure_cooldown_s:g} s"
                if circuit.is_open
                else f"answers again: {self.says_taken}",
            )

    def _rest(self, until_s: float | None) -> None:
        """Say that the model rests until a time, or that it may be asked: without traffic it could not show that it works."""
        if self._end_of_rest is not None:
            self._end_of_rest.cancel()
            self._end_of_rest = None
        if until_s is not None:
            self._end_of_rest = self._loop.call_later(until_s - _now_s(), self._rest, None)
        rests = until_s is not None
        if rests is not self.rests:
            self.rests = rests
            self.on_rest(self, rests)

    def _set_timer(self, when_s: float) -> None:
        """Have `_dispatch` called at a time; infinite: not at all."""
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

    def _run(self, batch: Batch) -> list[_Outcome]:
        """Compute a batch; whatever happens, every request in it gets an outcome."""
        try:
            return self._run_batch(batch)
        except Exception:  # noqa: BLE001  whatever it was, nobody may be left waiting
            _log.exception("a batch of %s failed: this is a bug", self.metrics.labels)
            return [_Outcome(batch, None, None, 0.0, ModelFailed(_FAILED))]

    def _run_batch(self, batch: Batch) -> list[_Outcome]:
        """Compute a batch. If the model fails on it, compute its requests one by one: only the culprit fails.

        If it was stopped because it took too long, all of them fail: one by one they might take that long each.
        """
        started_s = _now_s()
        inputs = gathered(batch, self.model.specs)
        try:
            probabilities, subset = self.model.run(inputs)
        except ModelFailed as error:
            if len(batch) > 1 and not error.overdue:
                return [outcome for single in batch for outcome in self._run_alone(single)]
            return [_Outcome(batch, None, None, _now_s() - started_s, error)]
        valid = valid_rows(inputs, self.model.specs)
        if not self._own.differ:
            decisions = decide_batch(probabilities, asked_thresholds(batch), valid)
            return [_Outcome(batch, decisions, probabilities, _now_s() - started_s)]
        thresholds = raised_thresholds(batch, self._own.of_rows(probabilities, subset))
        decisions = decide_batch(probabilities, thresholds, valid)
        return [_Outcome(batch, decisions, probabilities, _now_s() - started_s, None, thresholds)]

    def _run_alone(self, single: Slice[Pending]) -> list[_Outcome]:
        """Compute one request of a batch that failed, if anybody still waits for it."""
        future = single.entry.future
        if single.entry.deadline_s <= _now_s() or (future is not None and future.done()):
            return [_Outcome([single], None, None, 0.0, DeadlineExceeded(_EXPIRED))]
        return self._run_batch([single])

    def _deliver(self, started_s: float, outcomes: list[_Outcome]) -> None:
        """Give each waiter its rows. Each future is resolved on its own: a cancelled one leaves the rest untouched."""
        failed = all(outcome.decisions is None for outcome in outcomes)
        if failed or self._circuit.counts:
            self._take_note(outcomes[-1].error if failed else None)
        for outcome in outcomes:
            if outcome.decisions is None or outcome.probabilities is None:
                for part in outcome.batch:
                    self._queue.drop(part.entry)
                    part.entry.fail(outcome.error or ModelFailed(_FAILED))
                self.metrics.queue_rows = self._queue.n_rows
                continue
            self._count(outcome.decisions, outcome.seconds)
            self._split(outcome, outcome.decisions, outcome.probabilities, started_s)

    def _count(self, decisions: DecisionLists, seconds: float) -> None:
        self.metrics.batch_done(seconds, len(decisions.accepted))
        self.metrics.rows_decided(
            decisions.confidence, decisions.accepted, decisions.reasons, decisions.class_index
        )

    def _split(
        self,
        outcome: _Outcome,
        decisions: DecisionLists,
        probabilities: NDArray[np.float64],
        started_s: float,
    ) -> None:
        class_index, confidence, accepted, reasons = decisions
        if not self._reveal:
            class_index = [index if ok else NO_CLASS for index, ok in zip(class_index, accepted, strict=True)]
        thresholds = outcome.thresholds
        row = 0
        for entry, start, stop in outcome.batch:
            rows = slice(row, row + stop - start)
            row = rows.stop
            part = Answer(
                accepted[rows],
                reasons[rows],
                class_index[rows],
                confidence[rows],
                [_published(probabilities[rows], class_index[rows])]
                if entry.work.wants_probabilities
                else [],
                thresholds[rows] if thresholds is not None else [],
                started_s - entry.arrived_s,
                outcome.seconds,
            )
            answer = entry.answer = part if stop - start == entry.n_rows else entry.join(start, part)
            if answer is None:
                continue
            future = entry.future
            if future is not None and not future.done():
                future.set_result(answer)


def _published(probabilities: NDArray[np.float64], class_index: list[int]) -> NDArray[np.float64]:
    """Return the probabilities of rows that have a class, NaN for the others."""
    if NO_CLASS not in class_index:
        return probabilities
    return np.where(np.array(class_index)[:, None] != NO_CLASS, probabilities, np.nan)
