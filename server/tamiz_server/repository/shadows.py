"""The shadows of models: they follow the settings and the versions that are served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.engine.engine import Engine
from tamiz_server.serving.served import Registry
from tamiz_server.serving.shadow import Shadow
from tamiz_server.telemetry.metrics import Metrics
from tamiz_server.telemetry.shadow_counts import ShadowMetrics

_log = logging.getLogger(__name__)

_ENDS_WITHIN_S: Final = 1.0


class Shadows:
    """The shadows of all models, at most one each."""

    def __init__(self, registry: Registry, metrics: Metrics) -> None:
        self._registry = registry
        self._metrics = metrics
        self._shadows: dict[str, Shadow] = {}
        self._said: dict[str, str] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def follow(self, name: str, settings: ShadowSettings | None, engines: Mapping[int, Engine]) -> None:
        """Start, replace or end a model's shadow so that it fits its settings and the served versions.

        Args:
            name: the model's name.
            settings: the shadow's settings in force; None: it has no shadow.
            engines: its served versions.
        """
        old, new = self._shadows.pop(name, None), None
        waits = settings is not None and settings.version is not None and settings.version not in engines
        if settings is not None and engines and not waits:
            served = None if settings.version is None else engines[settings.version]
            if old is not None and old.settings == settings and old.model is (served and served.model):
                new = old
            else:
                new = Shadow(settings, served, self._counts(name, settings))
            self._shadows[name] = new
        self._registry.set_shadow(name, settings.version if settings else None, new)
        if old is not None and old is not new:
            kept = new is not None and new.metrics is old.metrics
            if not kept:
                self._metrics.shadows.pop(name)
            self._end(name, old, say=not kept)
        if new is not None:
            new.keep(set(engines))  # after `set_shadow`, which also adds versions that are about to go
            self._metrics.shadows[name] = new.metrics
        self._say(name, settings, waits=waits)

    async def stop(self) -> None:
        """End all shadows; wait at most a second for those that still compute."""
        for name in list(self._shadows):
            self.follow(name, None, {})
        if self._ending:
            await asyncio.wait(self._ending, timeout=_ENDS_WITHIN_S)

    def _counts(self, name: str, settings: ShadowSettings) -> ShadowMetrics:
        """Return the counts of a model's shadow; they continue while its version and threshold stay."""
        what = (settings.version, settings.threshold)
        known = self._metrics.shadows.get(name)
        return known if known is not None and known.what == what else ShadowMetrics(name, what)

    def _end(self, name: str, shadow: Shadow, *, say: bool) -> None:
        shadow.see_no_more()

        async def end() -> None:
            await shadow.end()
            if say:
                _log.info(
                    "model %s: its shadow has ended (%s): %d rows received, %d compared, %d dropped",
                    name,
                    shadow.settings,
                    *shadow.metrics.totals(),
                )

        task = asyncio.create_task(end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _say(self, name: str, settings: ShadowSettings | None, *, waits: bool) -> None:
        said = "" if settings is None else f"{settings}{'; it waits for that version' if waits else ''}"
        if said and said != self._said.get(name):
            _log.info("model %s: its shadow is %s", name, said)
        self._said[name] = said
        if not said:
            del self._said[name]
