"""Puts versions in force, and tells requests, health, metrics, shadows and the log.

`reloader` does the loading; this module makes the result visible. A swap is one assignment between two turns
of the event loop, so a request finds either the old engine or the new one.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from tamiz_server.config.config import Config
from tamiz_server.engine.engine import Engine
from tamiz_server.model.model import Model
from tamiz_server.repository.lifecycle import RESTLESS_S, SETTLE_S, Key, Lifecycle
from tamiz_server.repository.shadows import Shadows
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.served import Registry
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

SetHealth = Callable[[str, bool | None], Awaitable[None]]
"""Sets whether a model or version is serving; None: it is no longer known."""

_SETTINGS: Final = "settings"


class Publisher:
    """The engines that answer, and what others are told about them.

    Attributes:
        engines: the engine of each version that is served.
        problems: "name/version" or "name/settings" → why the file on disk is not in force.
        started: whether everything that was there at the start was tried; until then the server is not ready.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        registry: Registry,
        readiness: Readiness,
        metrics: Metrics,
        set_health: SetHealth,
    ) -> None:
        self.engines: dict[Key, Engine] = {}
        self.problems: dict[str, str] = {}
        self.started = False
        self._lifecycle = lifecycle
        self._registry = registry
        self._readiness = readiness
        self._metrics = metrics
        self._shadows = Shadows(registry, metrics)
        self._set_health = set_health
        self._health: dict[str, bool] = {}
        self._saying = asyncio.Lock()
        self._said: dict[str, list[str]] = {}
        self._restless: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, key: Key, model: Model, config: Config) -> Engine | None:
        """Answer with a version from the next request on; return the engine that it replaces, if any."""
        name, version = key
        metrics = self._metrics.model(name, version, model.manifest)
        # The callback must not hold the engine: in a reference cycle it would outlive its use.
        engine = Engine(model, metrics, config, on_rest=partial(self._on_rest, key))
        served = self._registry.add(name, version, engine)
        self._metrics.loads[name, "loaded"] += 1
        replaced = self.engines.get(key)
        self.engines[key] = engine
        _announce(key, model, engine, replaced=replaced is not None)
        if replaced is not None and replaced.model.manifest.inputs_digest != served.inputs_digest:
            _log.warning(
                "model %s version %d took the place of one with other inputs (%s): requests that still have"
                " rows for the old ones are refused if they carry an inputs_digest; without it they may get"
                " wrong answers; give a release with other inputs a version number of its own",
                *key,
                served.inputs_changed,
            )
        return replaced

    def withdraw(self, key: Key) -> Engine:
        """Stop answering with a version from the next request on; return its engine, which may be busy."""
        name, version = key
        self.publish_labels(name)
        self._registry.remove(name, version)
        self._metrics.retire(name, version)
        _log.info("model %s version %d is no longer served", name, version)
        return self.engines.pop(key)

    def loads_begin(self, keys: list[Key]) -> None:
        """Show the loads of these models in the metrics, starting from 0."""
        self._metrics.loads_begin(name for name, _ in keys)

    def load_succeeded(self, key: Key) -> None:
        """Forget what was wrong with a version."""
        self.problems.pop(where(key), None)

    def load_failed(self, key: Key, reason: str, *, again_in_s: float = math.inf) -> None:
        """Report why a version on disk is not served, and when it is tried again; infinite: once changed."""
        if again_in_s < math.inf:
            reason += f"; it is tried again in {again_in_s:.3g} s"
        self._metrics.loads[key[0], "failed" if again_in_s == math.inf else "retried"] += 1
        self.problems[where(key)] = reason
        served = (
            ": its new file is not served, the old one stays in use"
            if key in self.engines
            else " is not served"
        )
        _log.error("model %s version %d%s: %s", *key, served, reason)

    def settings_read(self, name: str) -> None:
        """Forget what was wrong with a model's settings."""
        if self.problems.pop(f"{name}/{_SETTINGS}", None):
            _log.info("model %s: its settings could be read again", name)

    def settings_failed(self, name: str, reason: str, *, may_pass: bool = False) -> None:
        """Report why a model's settings on disk are not in force; its versions wait for them too."""
        self.problems[f"{name}/{_SETTINGS}"] = reason
        if any(key[0] == name for key in self.engines):
            follows = "what is served stays as it was, and all that is new waits until this is mended"
        else:
            follows = (
                "its versions wait, and it is tried again" if may_pass else "its versions do without them"
            )
        _log.error("model %s: its settings cannot be used: %s: %s", name, follows, reason)

    def restless(self, names: set[str]) -> None:
        """Say once of which models the folders do not settle."""
        for name in sorted(names - self._restless):
            _log.warning(
                "model %s: its folder has been changing for %g s: what is served stays as it was until it"
                " has not changed for %g s; SIGHUP puts in force what is complete now",
                name,
                RESTLESS_S,
                SETTLE_S,
            )
        self._restless = names

    def publish_labels(self, name: str) -> None:
        """Let requests use the labels in force, and tell the model's shadow which versions answer."""
        labels, waiting = self._lifecycle.labels(name), self._lifecycle.waiting_labels(name)
        said = [f"{label} is version {version}" for label, version in sorted(labels.items())]
        said += [f"{label} waits for version {version}" for label, version in sorted(waiting.items())]
        if said != self._said.get(name, []):
            _log.info("model %s: %s", name, ", ".join(said) or "it has no labels any more")
            self._said[name] = said
        self._registry.set_labels(name, labels)
        self._metrics.model_labels[name] = labels
        engines = {key[1]: self.engines[key] for key in self._lifecycle.served if key[0] == name}
        self._shadows.follow(name, self._lifecycle.shadow(name), engines)

    async def publish(self) -> None:
        """Tell requests, health and metrics what is served now."""
        self._forget()
        served, failures = self._lifecycle.served, self._lifecycle.failures()
        names = {name for name, _ in served}
        self._metrics.problems = frozenset(self.problems)
        self._metrics.retried = frozenset(where(key) for key in self._lifecycle.awaited())
        ready = self.started and (bool(names) or self._is_ready_without_models())
        self._readiness.publish(ready=ready, failed=failures)
        health = {"": self._readiness.ready}
        for name in {name for name, _ in failures} | names | (self._lifecycle.asked or set()):
            default = self._lifecycle.default(name)
            health[name] = default is not None and self._works(default)
        health |= {where(key): self._works(key) for key in (*failures, *served)}
        await self._publish_health(health)

    async def end_shadows(self) -> None:
        """End all shadows; return when none computes, or soon. Call this when no more requests come."""
        await self._shadows.stop()

    def close(self) -> None:
        """Close the engines. Call this when nothing waits any more."""
        for engine in self.engines.values():
            engine.close()
        for task in self._tasks:
            task.cancel()

    def _on_rest(self, key: Key, engine: Engine, rests: bool) -> None:  # noqa: ARG002, FBT001  a callback of Engine
        """Update health: a version rests after failures, or no longer rests."""
        if self.engines.get(key) is engine:
            task = asyncio.create_task(self.publish())
            self._tasks.add(task)  # the event loop itself does not hold a task until it is done
            task.add_done_callback(self._tasks.discard)

    def _works(self, key: Key) -> bool:
        return key in self._lifecycle.served and not self.engines[key].rests

    def _is_ready_without_models(self) -> bool:
        """Return whether, in explicit mode, no models were asked for, or the server was already ready."""
        # Otherwise nobody could load a model through a load balancer, which passes over unready servers.
        asked = self._lifecycle.asked
        return asked is not None and (not asked or self._readiness.ready)

    def _forget(self) -> None:
        """Forget what was said about models and problems that are gone."""
        for each in [each for each in self.problems if not self._is_there(each)]:
            del self.problems[each]
        for name in [name for name in self._metrics.names() if not self._lifecycle.knows(name)]:
            self._metrics.forget(name)
            self._said.pop(name, None)

    def _is_there(self, problem: str) -> bool:
        name, _, version = problem.rpartition("/")
        if version == _SETTINGS:
            return self._lifecycle.knows(name)
        return (name, int(version)) in self._lifecycle.failures()

    async def _publish_health(self, health: dict[str, bool]) -> None:
        said, self._health = self._health, health
        async with self._saying:
            for name in said.keys() - health.keys():
                await self._set_health(name, None)
            for name, serving in health.items():
                if said.get(name) is not serving:
                    await self._set_health(name, serving)


def where(key: Key) -> str:
    """Return the name of a version in messages and in health: "name/version"."""
    name, version = key
    return f"{name}/{version}"


def _announce(key: Key, model: Model, engine: Engine, *, replaced: bool) -> None:
    threshold = model.manifest.threshold
    _log.info(
        "model %s version %d%s: threshold %.6g%s (%s), %.0f µs per %d rows on %d thread(s), %s",
        *key,
        ", loaded again" if replaced else "",
        threshold.value,
        f", the strictest of {len(threshold.subsets)}" if threshold.subsets else "",
        "certified" if threshold.HasField("certificate") else "not certified",
        model.batch_seconds * 1e6,
        model.max_batch_size,
        model.n_threads,
        "in the event loop" if engine.inline else "in a thread of its own",
    )
