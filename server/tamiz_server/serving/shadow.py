"""A model's shadow: it sees rows that were answered, decides on them too, and answers nobody.

    answer ──► Beside.see ──► a sample ──► another threshold only: compared, by the confidences at hand
                                      └──► another version: its own engine, in a thread ──► compared

Live rows go first. An answer goes out before the shadow looks at it, in the next turn of the event loop. The
shadow's engine has a queue, a thread of low priority and a circuit of its own. It gathers rows for some
milliseconds, because a few large batches take less from others than many small ones. Rows are dropped and
counted if there is no room for them, or if they come while the live queue is long or refuses requests.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from functools import partial
from typing import Final

from tamiz.inputs_digest import input_changes
from tamiz.thresholds import Thresholds
from tamiz.v1.manifest_pb2 import Manifest, Threshold
from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.engine.engine import Engine
from tamiz_server.engine.request import Answer, Request
from tamiz_server.engine.shedding import SHARE_OF_BURST
from tamiz_server.errors import QueueFull, TamizError, Unavailable
from tamiz_server.model.inputs import Inputs, Spec
from tamiz_server.model.model import Model
from tamiz_server.serving.shadow_comparison import Label, compare, compare_threshold
from tamiz_server.telemetry.model_metrics import ModelMetrics
from tamiz_server.telemetry.shadow_counts import (
    FAILED,
    INPUTS_DIFFER,
    LIVE_BUSY,
    QUEUE_FULL,
    RESTING,
    STOPPED,
    PairCounts,
    ShadowMetrics,
)

_log = logging.getLogger(__name__)

_GATHERS_US: Final = 20_000
_BUSY: Final = SHARE_OF_BURST / 2
"""The share of the live queue that may be filled while rows are still shown to the shadow."""
_SEED: Final = 0


class Shadow:
    """The shadow of one model, from one change of its settings or version to the next.

    Attributes:
        settings: what was set.
        model: the version that it computes with; None if it only decides with another threshold.
        metrics: its counts; they outlive it.
        ended: whether it has stopped seeing answers.
    """

    def __init__(self, settings: ShadowSettings, served: Engine | None, metrics: ShadowMetrics) -> None:
        """Begin, in the running event loop.

        Args:
            settings: what was set.
            served: the engine of the version that `settings` names; its model and settings are used. None if
                `settings` names no version.
            metrics: where to count.
        """
        self.settings = settings
        self.model: Model | None = None
        self.metrics = metrics
        self._engine: Engine | None = None
        self._random = random.Random(_SEED)  # noqa: S311  a sample, no secret
        self.ended = False
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._besides: dict[int, Beside] = {}
        if served is not None and settings.version is not None:
            self.model = served.model
            counts = metrics.of_engine(settings.version, served.model.manifest)
            self._engine = _engine(served, counts, self.thresholds(served))

    def beside(self, version: int, live: Engine) -> Beside | None:
        """Return what shows it the answers of a live version; None if it would be compared with itself."""
        computes = self._engine is not None and version != self.settings.version
        if not computes and self.settings.threshold is None:
            return None
        known = self._besides.get(version)
        if known is None or known.live is not live:
            engine = self._engine if computes else None
            counts = self.metrics.pair(version, self.thresholds(engine or live).strictest)
            known = Beside(self, live, counts, engine)
            self._besides[version] = known
        return known

    def thresholds(self, engine: Engine) -> Thresholds:
        """Return what decides on the rows of an engine: the threshold that is set, or the engine's own."""
        if self.settings.threshold is None:
            return engine.thresholds
        return Thresholds(Threshold(value=self.settings.threshold))

    def keep(self, versions: set[int]) -> None:
        """Forget live versions that are no longer served, and their counts."""
        for version in self._besides.keys() - versions:
            del self._besides[version]
        self.metrics.keep(versions)

    def samples(self) -> bool:
        """Return whether it sees this request."""
        share = self.settings.share
        return not self.ended and (share >= 1.0 or self._random.random() < share)

    def start(self, engine: Engine, request: Request) -> asyncio.Task[Answer]:
        """Have rows computed in the background."""
        task = asyncio.create_task(engine.predict(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def see_no_more(self) -> None:
        """See nothing from now on. What was seen and is not yet looked at is dropped and counted."""
        self.ended = True

    async def end(self) -> None:
        """See nothing more, drop what waits, and return when the last computation has ended."""
        self.see_no_more()
        await asyncio.sleep(0)  # so that what was seen is looked at
        self._besides.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._engine is not None:
            await self._engine.drain()
            self._engine.close()


class Beside:
    """Shows a shadow what one live version answered.

    Attributes:
        live: the engine of the live version.
    """

    def __init__(self, shadow: Shadow, live: Engine, counts: PairCounts, engine: Engine | None) -> None:
        """Compare their inputs and classes; the log says if they do not fit.

        Args:
            shadow: whom to show it to.
            live: the engine of the live version.
            counts: of this pair.
            engine: computes the shadow's version; None: only the threshold differs.
        """
        self.live = live
        self._loop = asyncio.get_running_loop()
        self._shadow = shadow
        self._counts = counts
        self._engine = engine
        self._busy_rows = int(live.config.max_queue_size * _BUSY)
        manifest = (engine or live).model.manifest
        self._thresholds = shadow.thresholds(engine or live)
        self._live_classes = _classes(live.model.manifest)
        self._shadow_classes = _classes(manifest)
        self._fits = True
        self._sizes: list[Spec] = []
        if engine is not None:
            self._fits = _fit(live.model, engine.model)
            own = {spec.name: spec.tail for spec in live.model.specs}
            self._sizes = [spec for spec in engine.model.specs if spec.tail != own.get(spec.name)]
            if not self._fits:
                _log.warning(
                    "model %s: its shadow, version %s, reads other inputs than version %s (%s); rows answered"
                    " by that version are dropped",
                    counts.labels[0],
                    counts.labels[2],
                    counts.labels[1],
                    "; ".join(input_changes(live.model.manifest.inputs, manifest.inputs)),
                )

    def see(self, request: Request, answer: Answer) -> None:
        """Take note of an answer, to look at it soon. Raises nothing, waits for nothing.

        Args:
            request: what was asked of the live version.
            answer: what is answered; it is not changed.
        """
        if self._shadow.samples():
            self._counts.received += request.n_rows
            self._loop.call_soon(self._look, request, answer)

    def _look(self, request: Request, answer: Answer) -> None:
        try:
            reason = self._compare(request, answer)
        except Exception:  # noqa: BLE001  whatever it was, the answer goes out
            _log.exception(
                "model %s version %s: shadow %s failed, its rows are dropped; this is a bug",
                *self._counts.labels,
            )
            reason = FAILED
        if reason is not None:
            self._counts.dropped[reason] += request.n_rows

    def _compare(self, request: Request, answer: Answer) -> str | None:
        """Compare now, or have it done later; return why rows are dropped, if they are."""
        if self._shadow.ended:
            return STOPPED
        if self._engine is None:
            threshold = self._thresholds.of_request(
                request.wanted, looser_allowed=self.live.config.allow_looser_thresholds
            )
            self._counts.add(compare_threshold(answer, threshold.value))
            return None
        if not self._reads(request.inputs):
            return INPUTS_DIFFER
        # Under overload the queue is kept far shorter than that.
        if self.live.queue_rows > self._busy_rows or self.live.is_pressed():
            return LIVE_BUSY
        again = Request(request.inputs, request.n_rows, wanted=request.wanted, n_bytes=request.n_bytes)
        task = self._shadow.start(self._engine, again)
        task.add_done_callback(partial(self._done, request.n_rows, answer))
        return None

    def _reads(self, inputs: Inputs) -> bool:
        return self._fits and all(_fits_size(inputs[spec.name].shape[1:], spec.tail) for spec in self._sizes)

    def _done(self, n_rows: int, answer: Answer, task: asyncio.Task[Answer]) -> None:
        counts = self._counts
        if task.cancelled():
            counts.dropped[STOPPED] += n_rows
            return
        error = task.exception()
        if error is None:
            counts.add(compare(answer, task.result(), self._live_classes, self._shadow_classes))
            return
        if not isinstance(error, TamizError):
            _log.error(
                "model %s version %s: shadow %s failed, its rows are dropped; this is a bug",
                *counts.labels,
                exc_info=error,
            )
        counts.dropped[_reason(error)] += n_rows


def _reason(error: BaseException) -> str:
    """Return why rows were dropped on which the shadow's engine raised this."""
    if isinstance(error, QueueFull):
        return QUEUE_FULL
    return RESTING if isinstance(error, Unavailable) else FAILED


def _engine(served: Engine, metrics: ModelMetrics, thresholds: Thresholds) -> Engine:
    """Return an engine beside the one that serves. It computes in a thread, which gives way to others."""
    config = dataclasses.replace(
        served.config, inline_limit_us=0, max_queue_delay_us=_GATHERS_US, max_concurrency=1
    )
    return Engine(
        served.model,
        metrics,
        config,
        thresholds=thresholds,
        while_resting="rows are dropped, and some are shown to it every",
        after_rest="rows are shown to it as before",
    )


def _classes(manifest: Manifest) -> tuple[Label, ...]:
    return tuple(manifest.classes.integers) or tuple(manifest.classes.strings)


def _fit(live: Model, shadow: Model) -> bool:
    """Return whether what one reads means the same to the other.

    That is: names, types and columns are equal, and sizes where both fix them. What each makes of missing
    values is its own decision, and compared as such.
    """
    own = {spec.name: spec for spec in live.manifest.inputs}
    return own.keys() == {spec.name for spec in shadow.manifest.inputs} and all(
        own[spec.name].dtype == spec.dtype
        and own[spec.name].column_names == spec.column_names
        and _fits_size(tuple(own[spec.name].shape), tuple(spec.shape))
        for spec in shadow.manifest.inputs
    )


def _fits_size(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    return len(have) == len(want) and all(-1 in (a, b) or a == b for a, b in zip(have, want, strict=True))
