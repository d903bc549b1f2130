"""Keeps what is served in step with what is on disk, while requests are answered.

    look at the disk ─► read settings ─► load, warm up (in threads, side by side) ─► commit ─► drain the old

`lifecycle` decides, `repository` reads, `publisher` puts in force and tells others; this module does the slow
steps between them. An engine that is replaced or withdrawn answers all requests that it has accepted.

Looks, and requests to load and unload a model, run one after the other. What takes long to load goes on
loading meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from tamiz_server.config.config import Config
from tamiz_server.config.model_settings import of_model, read_settings
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.engine.engine import Engine
from tamiz_server.errors import (
    FileError,
    ModelFailed,
    ModelNotFound,
    NotLoaded,
    SettingsError,
    TamizError,
    Unavailable,
)
from tamiz_server.model.model import Model
from tamiz_server.model.trial import Trial
from tamiz_server.repository.lifecycle import SETTLE_S, Content, Disk, Key, Lifecycle
from tamiz_server.repository.load_room import LoadRoom
from tamiz_server.repository.publisher import Publisher, SetHealth, where
from tamiz_server.repository.releases import Releases
from tamiz_server.repository.repository import (
    Loaded,
    bundle_path,
    bundle_stamp,
    load,
    look,
    settings_path,
    settings_stamp,
)
from tamiz_server.serving.readiness import Readiness
from tamiz_server.serving.served import Registry
from tamiz_server.system.resources import available_cpus, available_memory_bytes
from tamiz_server.system.threads import WHERE, none_is_left
from tamiz_server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_LEAST_PAUSE_S: Final = 0.05
_QUIET_S: Final = 5.0
"""When nothing has loaded for so long, the process that tries bundles ends. Starting it costs more than a
load, and requests to load come one after the other."""
_TIMES_CHANGED: Final = 3  # a request to load looks so often at a file that changes or cannot be loaded now


class _Known(NamedTuple):
    """What a version that is served was loaded from: the digest of its file, and the settings of batches."""

    digest: bytes = b""
    batching: Mapping[str, int] | None = None


class _Staged(NamedTuple):
    """A version that is loaded and not served yet."""

    model: Model
    config: Config
    known: _Known


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
        self._metrics = metrics
        self._lifecycle = Lifecycle(VersionPolicy.parse(config.version_policy), explicit=config.is_explicit)
        self._publisher = Publisher(self._lifecycle, registry, readiness, metrics, set_health)
        self._to_ask = config.models_to_load
        self._turn = asyncio.Lock()
        self._trial = Trial()
        self._releases = Releases(config)
        self._room = LoadRoom(
            available_cpus(), config.model_memory_bytes or available_memory_bytes() * 3 // 4
        )
        self._in_force: dict[Key, _Known] = {}
        self._staged: dict[Key, _Staged] = {}
        self._loading: dict[Key, asyncio.Task[None]] = {}
        self._polls_every_s = 0.0 if config.is_explicit else config.model_poll_interval_s
        self._leaving: dict[Engine, asyncio.Task[None]] = {}
        self._disk = Disk()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._end_of_quiet: asyncio.TimerHandle | None = None
        self._woken = asyncio.Event()
        self._nudged = False

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
        self._nudged = True
        self._woken.set()

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            nudged = await self._pause()
            try:
                if nudged or self._polls_every_s:
                    await self.look(patient=not nudged, within_s=self._polls_every_s or math.inf)
                else:
                    await self._try_again()
            except Exception as error:  # noqa: BLE001  the next look may succeed
                if none_is_left(error):
                    _log.error("no thread could be started to look at the repository; %s", WHERE)
                else:
                    _log.exception("a look at %s failed: this is a bug", self._config.model_repository)

    async def look(self, *, patient: bool = True, within_s: float = math.inf) -> None:
        """Serve what is on disk: all models, or in explicit mode those asked for.

        Args:
            patient: whether a folder may still be being written; False at the start and after a nudge.
            within_s: after this time, in seconds, it returns, and what still loads goes on loading.
        """
        async with self._turn:
            disk = await self._look_at_disk()
            self._ask_at_start(disk)
            await self._follow(disk, patient=patient, within_s=within_s)
            self._publisher.started = True
            await self._publisher.publish()

    async def _try_again(self) -> None:
        """Without looking at the disk, put in force what has loaded, and load again what failed."""
        async with self._turn:
            await self._settle(within_s=0.0)

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
        if self._end_of_quiet is not None:
            self._end_of_quiet.cancel()
        for engine in self._leaving:
            engine.close()
        for task in (*self._leaving.values(), *self._tasks, *self._loading.values()):
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
        self._hold(task)
        return await asyncio.shield(task)

    def _hold(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)  # the event loop itself does not hold a task until it is done
        task.add_done_callback(self._tasks.discard)

    async def _load_model(self, name: str) -> None:
        disk = await self._look_at_disk()
        self._require_there(name, disk)
        try:  # first, so that wrong settings change nothing
            await asyncio.to_thread(
                read_settings,
                settings_path(self._config.model_repository, name),
                self._releases.check_settings,
            )
        except SettingsError as error:
            _log.error("model %s is not loaded: %s", name, error)
            raise NotLoaded(f"model {name!r} stays as it was: {error}") from error
        for _ in range(_TIMES_CHANGED):
            self._lifecycle.ask(name)
            await self._follow(disk, patient=False, only=name)
            if name not in {each for each, _ in self._lifecycle.awaited()}:
                break
            disk = await self._look_at_disk()  # it has changed meanwhile, perhaps
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
        if name in lifecycle.to_commit(time.monotonic()):
            self._commit(name)
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
        self._metrics.last_look_s = time.time()
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

    async def _follow(
        self, disk: Disk, *, patient: bool, only: str | None = None, within_s: float = math.inf
    ) -> None:
        self._lifecycle.look(disk, time.monotonic(), patient=patient, only=only)
        self._publisher.restless(self._lifecycle.restless(time.monotonic()))
        await self._settle(only, within_s)

    async def _settle(self, only: str | None = None, within_s: float = math.inf) -> None:
        """Do what there is to do for one model or all, until it is done or time is up; loads go on then."""
        until_s = time.monotonic() + within_s
        while True:
            for name in self._lifecycle.to_read(time.monotonic()):
                await self._read_settings(name)
            self._start_loads()
            for name in self._lifecycle.to_commit(time.monotonic()):
                self._commit(name)
            await self._publisher.publish()
            to_load = self._lifecycle.to_load(time.monotonic())
            if only is not None:
                to_load = [key for key in to_load if key[0] == only]
            rest_s = until_s - time.monotonic()
            if not (to_load and self._loading) or rest_s <= 0.0:
                break
            timeout_s = None if rest_s == math.inf else rest_s
            ended, _ = await asyncio.wait(
                self._loading.values(), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()  # raises what is no failure to load, such as the end of the interpreter

    def _start_loads(self) -> None:
        """Load side by side as many versions as the room allows, the highest of each model first."""
        keys = self._lifecycle.to_load(time.monotonic())
        self._publisher.loads_begin(keys)
        for key in reversed(keys):
            content = self._lifecycle.content(key)
            if key not in self._loading and self._room.take(key, content.stamp.size):
                task = self._loading[key] = asyncio.create_task(self._load(key, content))
                task.add_done_callback(partial(self._load_ended, key))

    def _load_ended(self, key: Key, task: asyncio.Task[None]) -> None:  # noqa: ARG002  a callback of the task
        del self._loading[key]
        self._room.give_back(key)
        self._woken.set()
        if self._end_of_quiet is not None:
            self._end_of_quiet.cancel()
        self._end_of_quiet = asyncio.get_running_loop().call_later(_QUIET_S, self._rest)

    def _rest(self) -> None:
        """End the process that tries bundles, unless it tries one."""
        self._hold(asyncio.create_task(asyncio.to_thread(self._trial.rest)))

    def _commit(self, name: str) -> None:
        """Put a model's folder in force, between two turns of the event loop."""
        old, now_s = self._lifecycle.settings(name), time.monotonic()
        change = self._lifecycle.change(name, now_s)
        for key in change.serve:
            loaded = self._staged.get(key)
            if loaded is not None:  # otherwise only the file was touched
                replaced = self._publisher.serve(key, loaded.model, loaded.config)
                self._in_force[key] = loaded.known
                if replaced is not None:
                    self._retire(replaced)
        self._lifecycle.commit(name, now_s)
        if self._lifecycle.settings(name) != old:
            _log.info("model %s: new settings are in force", name)
        self._publisher.publish_labels(name)
        for key in change.withdraw:
            del self._in_force[key]
            self._retire(self._publisher.withdraw(key))
        for key in [key for key in self._staged if key[0] == name]:
            del self._staged[key]

    async def _pause(self) -> bool:
        """Wait until there is something to do; return whether an operator asked for it."""
        interval_s = self._polls_every_s
        if interval_s and self._lifecycle.is_unsettled():
            interval_s = min(interval_s, SETTLE_S)
        retry_s = self._lifecycle.again_s() - time.monotonic()
        if retry_s <= 0.0:  # it is being loaded, or waits for room: the end of a load wakes this
            retry_s = math.inf if self._loading else _LEAST_PAUSE_S
        wait_s = min(interval_s or math.inf, retry_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), None if wait_s == math.inf else wait_s)
        self._woken.clear()
        nudged, self._nudged = self._nudged, False
        return nudged

    async def _read_settings(self, name: str) -> None:
        path, lifecycle = settings_path(self._config.model_repository, name), self._lifecycle
        seen = lifecycle.settings_stamp(name)
        try:
            settings = await asyncio.to_thread(
                _unchanged,
                lambda path: read_settings(path, self._releases.check_settings),
                path,
                lambda: settings_stamp(path) == seen,
            )
        except FileError as error:
            lifecycle.settings_failed(name, time.monotonic(), may_pass=error.may_pass)
            self._publisher.settings_failed(name, str(error), may_pass=error.may_pass)
            return
        self._publisher.settings_read(name)
        lifecycle.settings_read(name, settings)

    async def _load(self, key: Key, content: Content) -> None:
        """Load a version beside what is served, and note how that ended."""
        path = bundle_path(self._config.model_repository, key)
        config = of_model(self._config, content.batching)
        known = self._in_force.get(key, _Known())
        digest = known.digest if known.batching == content.batching else b""
        try:
            loaded = await asyncio.to_thread(
                _unchanged,
                lambda path: self._load_checked(path, config, digest),
                path,
                lambda: bundle_stamp(path) == content.stamp,
            )
        except FileError as error:
            self._failed(key, content, error)
            return
        except Exception as error:  # noqa: BLE001  the other versions must still be loaded
            if none_is_left(error):
                shortage = f"no thread could be started to load it; {WHERE}"
            elif isinstance(error, MemoryError):
                shortage = "memory was short when it was loaded"
            else:
                _log.exception("%s cannot be loaded: this is a bug", path)
                self._failed(key, content, FileError(f"{path}: {error!r}"))
                return
            self._failed(key, content, FileError(f"{path}: {shortage}", may_pass=True))
            return
        if loaded is None and self._in_force.get(key) is not known:
            return  # what it was compared with is not served any more: it is loaded again
        if self._lifecycle.loaded(key, content):
            self._publisher.load_succeeded(key)
            self._staged.pop(key, None)
            if loaded is not None:
                self._staged[key] = _Staged(loaded.model, config, _Known(loaded.digest, content.batching))

    def _load_checked(self, path: Path, config: Config, known: bytes) -> Loaded | None:
        self._releases.check_version(path)
        return load(path, config, known, self._trial)

    def _failed(self, key: Key, content: Content, error: FileError) -> None:
        now_s = time.monotonic()
        self._lifecycle.failed(key, content, now_s, may_pass=error.may_pass)
        self._publisher.load_failed(key, str(error), again_in_s=self._lifecycle.pause_s(key, now_s))

    def _retire(self, engine: Engine) -> None:
        """Close an engine that gets no more requests, once it has answered its last one."""

        async def drain() -> None:
            await engine.drain()
            engine.close()
            del self._leaving[engine]

        self._leaving[engine] = asyncio.create_task(drain())


def _unchanged(read: Callable[[Path], _T], path: Path, is_same: Callable[[], bool]) -> _T:
    """Return what is read from a file of the repository; FileError if the file has changed meanwhile."""
    try:
        found = read(path)
    except FileError as error:
        if is_same():
            raise
        raise type(error)(f"{path} has changed while it was read ({error})", may_pass=True) from error
    if not is_same():
        raise FileError(f"{path} has changed while it was read", may_pass=True)
    return found
