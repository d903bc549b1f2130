"""Keeps what is served in step with what is on disk, while requests are answered.

    look at the disk ─► read settings ─► load and warm up, in a thread ─► swap ─► labels ─► drain and close what leaves

`lifecycle` decides, `repository` reads, `serving` serves; this does in between what takes time. A swap is one assignment
between two turns of the event loop: a request finds either the old engine or the new one, and the old one answers all that
it has accepted.

Looks, and requests to load and unload a model, are done one after the other, each to its end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from tamiz_server.config.config import Config
from tamiz_server.config.model_settings import of_model, read_settings
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.engine.engine import Engine
from tamiz_server.errors import (
    BundleError,
    ModelFailed,
    ModelNotFound,
    NotLoaded,
    SettingsError,
    TamizError,
    Unavailable,
)
from tamiz_server.model.model import Model
from tamiz_server.model.trial import Trial
from tamiz_server.repository.lifecycle import SETTLE_S, Disk, Key, Lifecycle
from tamiz_server.repository.repository import Loaded, bundle_path, load, look, settings_path
from tamiz_server.repository.shadows import Shadows
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.served import Registry
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

SetHealth = Callable[[str, bool | None], Awaitable[None]]
"""Says whether a model or version is serving; None: it is not known here any more."""

_T = TypeVar("_T")

_SETTINGS: Final = "settings"
_OTHER_SETTINGS: Final = b""
"""In place of the digest of what is served: it is to be loaded again, even if its file is the same."""


class Reloader:
    """The versions that are served, and those on disk.

    Attributes:
        problems: "name/version", or "name/settings" → why what is on disk there is not in force.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        readiness: Readiness,
        metrics: Metrics,
        set_health: SetHealth,
    ) -> None:
        self.problems: dict[str, str] = {}
        self._config = config
        self._registry = registry
        self._readiness = readiness
        self._metrics = metrics
        self._shadows = Shadows(registry, metrics)
        self._set_health = set_health
        self._lifecycle = Lifecycle(VersionPolicy.parse(config.version_policy), explicit=config.is_explicit)
        self._to_ask = config.models_to_load
        self._turn = asyncio.Lock()
        self._trial = Trial()
        self._engines: dict[Key, Engine] = {}
        self._digests: dict[Key, bytes] = {}
        self._leaving: dict[Engine, asyncio.Task[None]] = {}
        self._remarks: tuple[str, ...] = ()
        self._said: dict[str, list[str]] = {}
        self._health: dict[str, bool] = {}
        self._saying = asyncio.Lock()
        self._resting: set[Engine] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._nudged = asyncio.Event()

    def served(self) -> list[str]:
        """Return what is served, as "name/version", ascending."""
        return [_where(key) for key in sorted(self._lifecycle.served)]

    def nudge(self) -> None:
        """Look now, take what is there as finished, and try again what failed: an operator says so."""
        self._lifecycle.try_again()
        self._nudged.set()

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            nudged = await self._pause()
            try:
                await self.look(patient=not nudged)
            except Exception:  # noqa: BLE001  whatever it was, the next look may succeed
                _log.exception("a look at %s failed: this is a bug", self._config.model_repository)

    async def look(self, *, patient: bool = True) -> None:
        """Bring what is served in step with what is on disk: of all models, or of those that were asked for.

        Args:
            patient: whether a file that cannot be read may still be written; not at the start, nor after a nudge.
        """
        async with self._turn:
            disk = await self._look_at_disk()
            self._ask_at_start(disk)
            await self._follow(disk, patient=patient)

    async def load_model(self, name: str) -> None:
        """Serve what lies in the repository of a model; return when it is served. In explicit mode.

        It is done to its end even if the caller goes away.

        Raises:
            ModelNotFound: if there is no such model in the repository.
            NotLoaded: if some of it cannot be served; what was served of that stays. The message says why.
            Unavailable: if the server is stopping.
        """
        await self._in_turn(self._load_model, name)

    async def unload_model(self, name: str) -> None:
        """Serve nothing of a model any more; return when all is answered that was accepted. In explicit mode.

        Raises:
            ModelNotFound: if there is no such model, neither served nor in the repository.
            Unavailable: if the server is stopping.
        """
        leaving = await self._in_turn(self._unload_model, name)
        if leaving:
            await asyncio.wait(leaving)

    async def on_disk(self) -> list[Key]:
        """Return every version in the repository, whether it is served or not, ascending."""
        return sorted((await asyncio.to_thread(look, self._config.model_repository)).versions)

    async def _in_turn(self, do: Callable[[str], Coroutine[Any, Any, _T]], name: str) -> _T:
        async def turn() -> _T:
            async with self._turn:
                if self._readiness.stopping:
                    raise Unavailable("the server is stopping; what it serves does not change any more")
                try:
                    return await do(name)
                except TamizError:
                    raise
                except Exception as error:
                    _log.exception("a request about model %s failed: this is a bug", name)
                    raise ModelFailed("the server failed on this request; its log says how") from error

        task = asyncio.create_task(turn())
        self._keep(task)
        return await asyncio.shield(task)

    async def _load_model(self, name: str) -> None:
        disk = await self._look_at_disk()
        self._require_there(name, disk)
        try:  # first: what is served does not change for the sake of settings that are wrong
            await asyncio.to_thread(read_settings, settings_path(self._config.model_repository, name))
        except SettingsError as error:
            _log.error("model %s is not loaded: %s", name, error)
            raise NotLoaded(f"model {name!r} stays as it was: {error}") from error
        self._lifecycle.ask(name)
        await self._follow(disk, patient=False, only=name)
        served = ", ".join(str(version) for each, version in sorted(self._lifecycle.served) if each == name)
        reasons = [
            reason for where, reason in sorted(self.problems.items()) if where.rpartition("/")[0] == name
        ]
        if reasons:
            raise NotLoaded(f"{'; '.join(reasons)}; served of model {name!r}: {served or 'nothing'}")
        if not served:
            raise NotLoaded(
                f"model {name!r} has no version that its settings or --version-policy let be served"
            )

    async def _unload_model(self, name: str) -> list[asyncio.Task[None]]:
        lifecycle = self._lifecycle
        if not lifecycle.asked or name not in lifecycle.asked:
            self._require_there(name, await self._look_at_disk())
        lifecycle.release(name)
        engines = [engine for key, engine in self._engines.items() if key[0] == name]
        for key in lifecycle.to_unload():
            self._unload(key)
        await self._publish()
        return [self._leaving[engine] for engine in engines if engine in self._leaving]

    def _require_there(self, name: str, disk: Disk) -> None:
        repository = self._config.model_repository
        if not disk.readable or name in disk.unreadable:
            raise NotLoaded(
                f"{repository / name if disk.readable else repository} cannot be read; what is served stays"
            )
        if name not in disk.models():
            known = ", ".join(sorted(disk.models())) or "none"
            raise ModelNotFound(f"no model {name!r} in the repository; there are: {known}")

    async def _look_at_disk(self) -> Disk:
        disk = await asyncio.to_thread(look, self._config.model_repository)
        self._remark(disk)
        return disk

    def _ask_at_start(self, disk: Disk) -> None:
        """Ask for the models that are to be loaded at the start, which is over once the repository could be read."""
        for name in disk.models() if self._to_ask == {"*"} else self._to_ask:
            self._lifecycle.ask(name)
        if not disk.readable:
            return
        self._to_ask = frozenset()
        for name in sorted((self._lifecycle.asked or set()) - disk.models() - disk.unreadable):
            _log.error("model %s is not in the repository", name)

    async def _follow(self, disk: Disk, *, patient: bool, only: str | None = None) -> None:
        lifecycle = self._lifecycle
        lifecycle.look(disk, time.monotonic(), patient=patient, only=only)
        for name in lifecycle.to_read():
            await self._read_settings(name)
        while keys := lifecycle.to_load():
            self._metrics.loads_begin(name for name, _ in keys)
            await self._load(keys[-1])
        for key in lifecycle.to_unload():
            self._unload(key)
        await self._publish()

    async def end_shadows(self) -> None:
        """Have no shadow see anything any more; return when none computes, or soon. To be called when no request comes any more."""
        await self._shadows.stop()

    def close(self) -> None:
        """Close all engines, and give up what is being loaded. To be called when nothing waits any more."""
        self._trial.close()
        for engine in (*self._engines.values(), *self._leaving):
            engine.close()
        for task in (*self._leaving.values(), *self._tasks):
            task.cancel()

    async def _pause(self) -> bool:
        """Wait until it is time to look, or for a nudge; return whether it was one."""
        interval_s = None if self._config.is_explicit else self._config.model_poll_interval_s or None
        if interval_s and self._lifecycle.is_unsettled():
            interval_s = min(interval_s, SETTLE_S)
        try:
            await asyncio.wait_for(self._nudged.wait(), interval_s)
        except TimeoutError:
            return False
        self._nudged.clear()
        return True

    def _remark(self, disk: Disk) -> None:
        for remark in disk.remarks:
            if remark not in self._remarks:
                _log.warning("%s", remark)
        self._remarks = disk.remarks

    async def _read_settings(self, name: str) -> None:
        path = settings_path(self._config.model_repository, name)
        where = f"{name}/{_SETTINGS}"
        try:
            settings = await asyncio.to_thread(read_settings, path)
        except SettingsError as error:
            self._lifecycle.settings_failed(name)
            self.problems[where] = str(error)
            _log.error("model %s: its settings stay as they were: %s", name, error)
            return
        self.problems.pop(where, None)
        if settings != self._lifecycle.settings(name):
            _log.info("model %s: new settings are in force", name)
        if settings.batching != self._lifecycle.settings(name).batching:
            for key in self._digests:
                if key[0] == name:
                    self._digests[key] = _OTHER_SETTINGS
        self._lifecycle.settings_read(name, settings)
        self._publish_labels(name)

    async def _load(self, key: Key) -> None:
        """Load a version and serve it, in place of the one that has been served under its number."""
        path = bundle_path(self._config.model_repository, key)
        try:
            loaded = await asyncio.to_thread(
                load, path, self._config_of(key), self._digests.get(key, b""), self._trial
            )
        except BundleError as error:
            self._failed(key, str(error))
            return
        except Exception as error:  # noqa: BLE001  the others are to be loaded all the same
            _log.exception("%s cannot be loaded: this is a bug", path)
            self._failed(key, f"{path}: {error!r}")
            return
        self.problems.pop(_where(key), None)
        if loaded is not None:
            self._serve(key, loaded)
        self._lifecycle.loaded(key)
        self._publish_labels(key[0])

    def _failed(self, key: Key, reason: str) -> None:
        if not self._lifecycle.failed(key):
            return
        self._metrics.loads[key[0], "failed"] += 1
        self.problems[_where(key)] = reason
        if key in self._engines:
            _log.error(
                "model %s version %d stays as it was loaded; what is there now is not served: %s",
                *key,
                reason,
            )
        else:
            _log.error("model %s version %d is not served: %s", *key, reason)

    def _serve(self, key: Key, loaded: Loaded) -> None:
        name, version = key
        metrics = self._metrics.model(name, version, loaded.model.manifest)
        engine = Engine(loaded.model, metrics, self._config_of(key))
        engine.on_rest = partial(
            self._on_rest, key
        )  # that holds no engine: one in a cycle would outlive its use
        self._registry.add(name, version, engine)
        self._metrics.loads[name, "loaded"] += 1
        old = self._engines.get(key)
        self._engines[key], self._digests[key] = engine, loaded.digest
        if old is not None:
            self._retire(old)
        _announce(key, loaded.model, engine, replaced=old is not None)

    def _config_of(self, key: Key) -> Config:
        return of_model(self._config, self._lifecycle.settings(key[0]).batching)

    def _on_rest(self, key: Key, engine: Engine, rests: bool) -> None:  # noqa: FBT001  a callback of Engine
        """Say in health that a version rests after failures, or does no more."""
        (self._resting.add if rests else self._resting.discard)(engine)
        if self._engines.get(key) is engine:
            self._keep(asyncio.create_task(self._publish()))

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done: the event loop does not."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _works(self, key: Key) -> bool:
        return key in self._lifecycle.served and self._engines.get(key) not in self._resting

    def _unload(self, key: Key) -> None:
        name, version = key
        self._lifecycle.unloaded(key)
        self._publish_labels(name)
        self._registry.remove(name, version)
        self._digests.pop(key)
        self._retire(self._engines.pop(key))
        self._metrics.retire(name, version)
        _log.info("model %s version %d is served no more", name, version)

    def _retire(self, engine: Engine) -> None:
        """Close an engine that gets no more requests, once it has answered those that it has."""

        async def drain() -> None:
            await engine.drain()
            engine.close()
            del self._leaving[engine]
            self._resting.discard(engine)

        self._leaving[engine] = asyncio.create_task(drain())

    async def _publish(self) -> None:
        """Say what is served now: to requests, to health and to the metrics."""
        lifecycle = self._lifecycle
        for where in [where for where in self.problems if not self._is_there(where)]:
            del self.problems[where]
        for name in [name for name in self._metrics.names() if not lifecycle.knows(name)]:
            self._metrics.forget(name)
            self._said.pop(name, None)
        names = {name for name, _ in lifecycle.served}
        working = {name for name in names if (key := lifecycle.default(name)) and self._works(key)}
        self._metrics.problems = frozenset(self.problems)
        ready = bool(names) or self._is_ready_without_models()
        failures = lifecycle.failures()
        self._readiness.publish(ready=ready, failed=failures)
        known = {name for name, _ in failures} | names | (lifecycle.asked or set())
        health = {name: name in working for name in known}
        health |= {_where(key): self._works(key) for key in (*failures, *lifecycle.served)}
        await self._publish_health(health | {"": ready})

    def _is_ready_without_models(self) -> bool:
        """Return whether that is what was asked for; a server that was ready stays it, or nobody could ask it to load any."""
        asked = self._lifecycle.asked
        return asked is not None and (not asked or self._readiness.ready)

    def _publish_labels(self, name: str) -> None:
        labels, waiting = self._lifecycle.labels(name), self._lifecycle.waiting_labels(name)
        said = [f"{label} is version {version}" for label, version in sorted(labels.items())]
        said += [f"{label} waits for version {version}" for label, version in sorted(waiting.items())]
        if said != self._said.get(name, []):
            _log.info("model %s: %s", name, ", ".join(said) or "it has no labels any more")
            self._said[name] = said
        self._registry.set_labels(name, labels)
        self._metrics.model_labels[name] = labels
        engines = {key[1]: self._engines[key] for key in self._lifecycle.served if key[0] == name}
        self._shadows.follow(name, self._lifecycle.shadow(name), engines)

    async def _publish_health(self, health: dict[str, bool]) -> None:
        said, self._health = self._health, health
        async with self._saying:
            for name in said.keys() - health.keys():
                await self._set_health(name, None)
            for name, serving in health.items():
                if said.get(name) is not serving:
                    await self._set_health(name, serving)

    def _is_there(self, where: str) -> bool:
        name, _, version = where.rpartition("/")
        if version == _SETTINGS:
            return self._lifecycle.knows(name)
        return (name, int(version)) in self._lifecycle.failures()


def _announce(key: Key, model: Model, engine: Engine, *, replaced: bool) -> None:
    threshold = model.manifest.threshold
    _log.info(
        "model %s version %d%s: threshold %.6g%s (%s), %.0f µs per %d rows on %d thread(s), %s",
        *key,
        ", loaded again," if replaced else "",
        threshold.value,
        f", the strictest of {len(threshold.subsets)}" if threshold.subsets else "",
        "certified" if threshold.HasField("certificate") else "not certified",
        model.batch_seconds * 1e6,
        model.max_batch_size,
        model.n_threads,
        "in the event loop" if engine.inline else "in a thread of its own",
    )


def _where(key: Key) -> str:
    name, version = key
    return f"{name}/{version}"
