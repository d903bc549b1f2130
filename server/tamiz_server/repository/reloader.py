"""Keeps what is served in step with what is on disk, while requests are answered.

    look at the disk ─► read settings ─► load, warm up (in a thread) ─► swap ─► labels ─► drain, close the old

`lifecycle` decides, `repository` reads, `publisher` puts in force and tells others; this module does the slow
steps between them. An engine that is replaced or withdrawn answers all requests that it has accepted.

Looks, and requests to load and unload a model, run one after the other, each to its end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
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
from tamiz_server.model.trial import Trial
from tamiz_server.repository.lifecycle import SETTLE_S, Disk, Key, Lifecycle
from tamiz_server.repository.publisher import Publisher, SetHealth, where
from tamiz_server.repository.repository import bundle_path, load, look, settings_path
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.served import Registry
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_OTHER_SETTINGS: Final = b""
"""Takes the place of a served version's digest, so that it is loaded again even if its file is the same."""


class Reloader:
    """Follows the repository on disk, and requests to load and unload models."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        readiness: Readiness,
        metrics: Metrics,
        set_health: SetHealth,
    ) -> None:
        self._config = config
        self._readiness = readiness
        self._lifecycle = Lifecycle(VersionPolicy.parse(config.version_policy), explicit=config.is_explicit)
        self._publisher = Publisher(self._lifecycle, registry, readiness, metrics, set_health)
        self._to_ask = config.models_to_load
        self._turn = asyncio.Lock()
        self._trial = Trial()
        self._digests: dict[Key, bytes] = {}
        self._leaving: dict[Engine, asyncio.Task[None]] = {}
        self._disk = Disk()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._nudged = asyncio.Event()

    def served(self) -> list[str]:
        """Return what is served, as "name/version", ascending."""
        return [where(key) for key in sorted(self._lifecycle.served)]

    def why_nothing_is_served(self) -> str:
        """Return why nothing is served, as of the last look, and what happens next, for the log."""
        repository, interval_s = self._config.model_repository, self._config.model_poll_interval_s
        if self._disk.versions:
            found = f"none could be loaded from {repository}"
        elif self._disk.remarks:
            found = f"{repository} holds no model"
        else:
            found = f"{repository} is empty"
        if self._config.is_explicit:
            return f"{found}; put models there and load them with RepositoryModelLoad"
        if not interval_s:
            return f"{found}; put models there and send SIGHUP"
        return f"{found}; watching it every {interval_s:g} s"

    def nudge(self) -> None:
        """Look now, treat all files as complete, and retry all failures, because an operator asked for it."""
        self._lifecycle.try_again()
        self._nudged.set()

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            nudged = await self._pause()
            try:
                await self.look(patient=not nudged)
            except Exception:  # noqa: BLE001  the next look may succeed
                _log.exception("a look at %s failed: this is a bug", self._config.model_repository)

    async def look(self, *, patient: bool = True) -> None:
        """Serve what is on disk: all models, or in explicit mode those asked for.

        Args:
            patient: whether a file that cannot be read may still be being written; False at the start and
                after a nudge.
        """
        async with self._turn:
            disk = await self._look_at_disk()
            self._ask_at_start(disk)
            await self._follow(disk, patient=patient)

    async def load_model(self, name: str) -> None:
        """Serve a model's versions in the repository; return when they are served. For explicit mode.

        It runs to its end even if the caller goes away.

        Raises:
            ModelNotFound: if there is no such model in the repository.
            NotLoaded: if a part of it cannot be served. What was served before stays. The message says why.
            Unavailable: if the server is stopping.
        """
        await self._in_turn(self._load_model, name)

    async def unload_model(self, name: str) -> None:
        """Stop serving a model; return when all accepted requests are answered. For explicit mode.

        Raises:
            ModelNotFound: if the model is neither served nor in the repository.
            Unavailable: if the server is stopping.
        """
        leaving = await self._in_turn(self._unload_model, name)
        if leaving:
            await asyncio.wait(leaving)

    async def on_disk(self) -> list[Key]:
        """Return every version in the repository, served or not, ascending."""
        return sorted((await asyncio.to_thread(look, self._config.model_repository)).versions)

    async def end_shadows(self) -> None:
        """End all shadows; return when none computes, or soon. Call this when no more requests come."""
        await self._publisher.end_shadows()

    def close(self) -> None:
        """Close all engines, and stop loading. Call this when nothing waits any more."""
        self._trial.close()
        self._publisher.close()
        for engine in self._leaving:
            engine.close()
        for task in (*self._leaving.values(), *self._tasks):
            task.cancel()

    async def _in_turn(self, do: Callable[[str], Coroutine[Any, Any, _T]], name: str) -> _T:
        async def turn() -> _T:
            async with self._turn:
                if self._readiness.stopping:
                    raise Unavailable("the server is stopping and loads or unloads no more models")
                try:
                    return await do(name)
                except TamizError:
                    raise
                except Exception as error:
                    _log.exception("a request to load or unload model %s failed: this is a bug", name)
                    raise ModelFailed("the server failed on this request; its log says why") from error

        task = asyncio.create_task(turn())
        self._tasks.add(task)  # the event loop itself does not hold a task until it is done
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _load_model(self, name: str) -> None:
        disk = await self._look_at_disk()
        self._require_there(name, disk)
        try:  # first, so that wrong settings change nothing
            await asyncio.to_thread(read_settings, settings_path(self._config.model_repository, name))
        except SettingsError as error:
            _log.error("model %s is not loaded: %s", name, error)
            raise NotLoaded(f"model {name!r} stays as it was: {error}") from error
        self._lifecycle.ask(name)
        await self._follow(disk, patient=False, only=name)
        served = ", ".join(str(version) for each, version in sorted(self._lifecycle.served) if each == name)
        reasons = [
            reason
            for problem, reason in sorted(self._publisher.problems.items())
            if problem.rpartition("/")[0] == name
        ]
        if reasons:
            raise NotLoaded(f"{'; '.join(reasons)}; served of model {name!r}: {served or 'nothing'}")
        if not served:
            raise NotLoaded(
                f"model {name!r} has no version that its settings or --version-policy allow to be served"
            )

    async def _unload_model(self, name: str) -> list[asyncio.Task[None]]:
        lifecycle = self._lifecycle
        if not lifecycle.asked or name not in lifecycle.asked:
            self._require_there(name, await self._look_at_disk())
        lifecycle.release(name)
        engines = [engine for key, engine in self._publisher.engines.items() if key[0] == name]
        for key in lifecycle.to_unload():
            self._unload(key)
        await self._publisher.publish()
        return [self._leaving[engine] for engine in engines if engine in self._leaving]

    def _require_there(self, name: str, disk: Disk) -> None:
        repository = self._config.model_repository
        if not disk.readable or name in disk.unreadable:
            folder = repository / name if disk.readable else repository
            raise NotLoaded(f"{folder} cannot be read; what is served stays as it is")
        if name not in disk.models():
            known = ", ".join(sorted(disk.models())) or "none"
            raise ModelNotFound(f"no model {name!r} in the repository; there are: {known}")

    async def _look_at_disk(self) -> Disk:
        disk = await asyncio.to_thread(look, self._config.model_repository)
        for remark in disk.remarks:
            if remark not in self._disk.remarks:
                _log.warning("%s", remark)
        self._disk = disk
        return disk

    def _ask_at_start(self, disk: Disk) -> None:
        """Ask for the models of --load-model, at every look until the repository can be read."""
        for name in disk.models() if self._to_ask == {"*"} else self._to_ask:
            self._lifecycle.ask(name)
        if not disk.readable:
            return
        self._to_ask = frozenset()
        for name in sorted((self._lifecycle.asked or set()) - disk.models() - disk.unreadable):
            _log.error("model %s is not in the repository; it is loaded once it is there, at SIGHUP", name)

    async def _follow(self, disk: Disk, *, patient: bool, only: str | None = None) -> None:
        lifecycle = self._lifecycle
        lifecycle.look(disk, time.monotonic(), patient=patient, only=only)
        for name in lifecycle.to_read():
            await self._read_settings(name)
        while keys := lifecycle.to_load():
            self._publisher.loads_begin(keys)
            await self._load(keys[-1])
        for key in lifecycle.to_unload():
            self._unload(key)
        await self._publisher.publish()

    async def _pause(self) -> bool:
        """Wait until it is time to look, or for a nudge; return whether it was a nudge."""
        interval_s = None if self._config.is_explicit else self._config.model_poll_interval_s or None
        if interval_s and self._lifecycle.is_unsettled():
            interval_s = min(interval_s, SETTLE_S)
        try:
            await asyncio.wait_for(self._nudged.wait(), interval_s)
        except TimeoutError:
            return False
        self._nudged.clear()
        return True

    async def _read_settings(self, name: str) -> None:
        path = settings_path(self._config.model_repository, name)
        try:
            settings = await asyncio.to_thread(read_settings, path)
        except SettingsError as error:
            self._lifecycle.settings_failed(name)
            self._publisher.settings_failed(name, str(error))
            return
        self._publisher.settings_read(name)
        if settings != self._lifecycle.settings(name):
            _log.info("model %s: new settings are in force", name)
        if settings.batching != self._lifecycle.settings(name).batching:
            for key in self._digests:
                if key[0] == name:
                    self._digests[key] = _OTHER_SETTINGS
        self._lifecycle.settings_read(name, settings)
        self._publisher.publish_labels(name)

    async def _load(self, key: Key) -> None:
        """Load a version and serve it, in place of older content of the same version."""
        path = bundle_path(self._config.model_repository, key)
        config = of_model(self._config, self._lifecycle.settings(key[0]).batching)
        try:
            loaded = await asyncio.to_thread(load, path, config, self._digests.get(key, b""), self._trial)
        except BundleError as error:
            self._failed(key, str(error))
            return
        except Exception as error:  # noqa: BLE001  the other versions must still be loaded
            _log.exception("%s cannot be loaded: this is a bug", path)
            self._failed(key, f"{path}: {error!r}")
            return
        self._publisher.load_succeeded(key)
        if loaded is not None:
            replaced = self._publisher.serve(key, loaded.model, config)
            self._digests[key] = loaded.digest
            if replaced is not None:
                self._retire(replaced)
        self._lifecycle.loaded(key)
        self._publisher.publish_labels(key[0])

    def _failed(self, key: Key, reason: str) -> None:
        if self._lifecycle.failed(key):
            self._publisher.load_failed(key, reason)

    def _unload(self, key: Key) -> None:
        self._lifecycle.unloaded(key)
        self._digests.pop(key)
        self._retire(self._publisher.withdraw(key))

    def _retire(self, engine: Engine) -> None:
        """Close an engine that gets no more requests, once it has answered its last one."""

        async def drain() -> None:
            await engine.drain()
            engine.close()
            del self._leaving[engine]

        self._leaving[engine] = asyncio.create_task(drain())
