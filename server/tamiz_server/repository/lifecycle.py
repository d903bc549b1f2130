"""Decides what to load and serve, and where labels point, from what is on disk and what is served.

    look(disk) ──► to_read() ──► settings_read, settings_failed
                   to_load() ──► loaded, failed
                   to_commit() ─► commit: serve these, withdraw those, from now on with these settings

This module is pure policy. The caller owns the disk, the clock and the engines: it looks, asks what to do,
does it, and reports the result.

A model's folder is one release: its versions and its settings belong together. It is followed once it has
stayed the same for `SETTLE_S`; a removal settles like a change. Everything new in it is loaded first. Then
all of it comes in force in one step, so that callers see the old release or the new one, never a mixture.
Nothing is withdrawn before its replacement is there (TF Serving calls this availability-preserving).

What failed because of its own content is tried again only after it has changed. What failed for a reason that
may pass (memory, time, the disk) is tried again after a pause that grows.

A lifecycle follows every model on disk. An explicit one follows only the models that were asked for and not
released since, and knows nothing about the others. A look for one model takes in only that model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tamiz_server.config.model_settings import ModelSettings
from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.config.version_policy import VersionPolicy

SETTLE_S: Final = 1.0
"""A folder that has stayed the same for this long, in seconds, counts as complete."""

RESTLESS_S: Final = 60.0
"""A folder that does not settle for this long, in seconds, holds back a release: a person should know."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 900.0
"""The pauses before what may pass is tried again, in seconds: each is twice as long as the one before."""

_END_OF_TIME_S: Final = 1e300  # when all pauses are over

Key = tuple[str, int]
"""A model's name and a version."""


class Stamp(NamedTuple):
    """What shows that a file has changed, without reading it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


MISSING: Final = Stamp(0, -1, 0, 0)
"""The stamp of a file that is not there."""


class Content(NamedTuple):
    """What is loaded of a version: its file, with these settings of its batches."""

    stamp: Stamp
    batching: Mapping[str, int]


class Change(NamedTuple):
    """What a step changes: versions that are served from now on with what was loaded last, and no longer."""

    serve: list[Key]
    withdraw: list[Key]


@dataclass(frozen=True)
class Disk:
    """What one look at the repository found.

    Attributes:
        versions: version folders, each with the stamp of its bundle.
        settings: models, each with the stamp of its settings.
        unreadable: models whose folders could not be read. Their versions do not count as gone.
        remarks: what a person should know, such as which folders were ignored.
        readable: whether the repository could be read at all.
    """

    versions: Mapping[Key, Stamp] = field(default_factory=dict)
    settings: Mapping[str, Stamp] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()
    readable: bool = True

    def models(self) -> set[str]:
        """Return the models that have a version."""
        return {name for name, _ in self.versions}


@dataclass(frozen=True)
class _Folder:
    """A model's folder: the stamps of its bundles and of its settings."""

    versions: Mapping[int, Stamp] = field(default_factory=dict)
    settings: Stamp = MISSING


@dataclass
class _Failures:
    """How often one content failed, and when it is tried again: never (infinite) if it is to blame itself."""

    content: Any = None
    n: int = 0
    again_s: float = math.inf

    def note(self, content: Any, now_s: float, *, may_pass: bool) -> None:
        self.n = self.n + 1 if self.of(content) else 1
        self.content = content
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self.n - 1, 30), LONGEST_PAUSE_S)
        self.again_s = now_s + pause_s if may_pass else math.inf

    def of(self, content: Any) -> bool:
        return self.content is not None and self.content == content

    def blocks(self, content: Any, now_s: float) -> bool:
        return self.of(content) and now_s < self.again_s

    def may_pass(self, content: Any) -> bool:
        return self.of(content) and self.again_s < math.inf


@dataclass
class _Model:
    """A model that is followed.

    Attributes:
        seen, since_s: its folder at the last look, and since when it has been like that.
        restless_s: since when it has not settled, if it has not.
        folder: its folder when it had last settled.
        read: the settings file that `wish` was read from; None: it is to be read again.
        wish: the settings in that file; the last that could be read.
        without: the settings file that could not be read when nothing was served: the model does without it.
        settings, labels, served: what is in force.
        loaded: versions that are served or ready to be, each with what was loaded.
        staged: those of them whose latest content is not served yet.
        unread: failures to read the settings.
        failures: failures to load, by version.
    """

    seen: _Folder = field(default_factory=_Folder)
    since_s: float = 0.0
    restless_s: float = 0.0
    folder: _Folder = field(default_factory=_Folder)
    read: Stamp | None = MISSING
    wish: ModelSettings = field(default_factory=ModelSettings)
    without: Stamp = MISSING
    settings: ModelSettings = field(default_factory=ModelSettings)
    labels: dict[str, int] = field(default_factory=dict)
    served: set[int] = field(default_factory=set)
    loaded: dict[int, Content] = field(default_factory=dict)
    staged: set[int] = field(default_factory=set)
    unread: _Failures = field(default_factory=_Failures)
    failures: dict[int, _Failures] = field(default_factory=dict)

    def see(self, folder: _Folder, now_s: float, *, patient: bool) -> None:
        if folder != self.seen:
            if self.seen == self.folder:
                self.restless_s = now_s
            self.seen, self.since_s = folder, now_s
        if not patient or now_s - self.since_s >= SETTLE_S:
            self.folder = folder
            self.failures = {version: self.failures.get(version, _Failures()) for version in folder.versions}
            if not folder.versions:  # it is gone, and so are its settings
                self.read, self.wish = MISSING, ModelSettings()
            self.drop_stale()

    def drop_stale(self) -> None:
        """Forget what was loaded and is not served yet, but is no longer what is on disk."""
        for version in list(self.staged):
            if version not in self.folder.versions or self.loaded[version] != self.content(version):
                self.staged.discard(version)
                del self.loaded[version]

    def content(self, version: int) -> Content:
        return Content(self.folder.versions[version], self.wish.batching)

    def is_read(self) -> bool:
        return self.read == self.folder.settings

    def try_again(self) -> None:
        if self.unread.of(self.folder.settings):
            self.unread, self.read = _Failures(), None
        self.failures = {version: _Failures() for version in self.failures}

    def due(self, version: int, now_s: float) -> bool:
        content = self.content(version)
        return self.loaded.get(version) != content and not self.failures[version].blocks(content, now_s)

    def bad(self) -> list[int]:
        """Return the versions on disk whose content could not be loaded."""
        return [version for version, failed in self.failures.items() if failed.of(self.content(version))]

    def awaited(self) -> set[int]:
        """Return those of them that are tried again by themselves."""
        return {v for v in self.bad() if self.failures[v].may_pass(self.content(v))}

    def have(self) -> set[int]:
        """Return the versions on disk that can be served at once; perhaps with older content."""
        return self.folder.versions.keys() & (self.served | self.loaded.keys())


class Lifecycle:
    """Which versions exist, which of them are served, and what to do next.

    Attributes:
        asked: the models that it follows, whether they exist or not; None: all that exist.
    """

    def __init__(self, policy: VersionPolicy, *, explicit: bool = False) -> None:
        self.asked: set[str] | None = set() if explicit else None
        self._policy = policy
        self._models: dict[str, _Model] = {}

    @property
    def served(self) -> set[Key]:
        """The versions that are served."""
        return {(name, version) for name, model in self._models.items() for version in model.served}

    def ask(self, name: str) -> None:
        """Follow a model (if explicit) from the next look on, and retry its failures even if unchanged."""
        if self.asked is not None:
            self.asked.add(name)
        if name in self._models:
            self._models[name].try_again()

    def try_again(self) -> None:
        """Retry all failures, even if the files are unchanged: the cause may be gone."""
        for model in self._models.values():
            model.try_again()

    def release(self, name: str) -> None:
        """Stop following a model, so that all its versions are withdrawn (if explicit)."""
        if self.asked is not None:
            self.asked.discard(name)
        if name in self._models:
            self._models[name].see(_Folder(), 0.0, patient=False)
            self._forget()

    def look(self, disk: Disk, now_s: float, *, patient: bool = True, only: str | None = None) -> None:
        """Take in what is on disk.

        Args:
            disk: what was found there. A repository that cannot be read, or suddenly holds no version at all,
                has gone away (an unmounted volume), and changes nothing.
            now_s: the time, in seconds on any monotonic clock.
            patient: whether to wait until folders have settled; False at the start, or when an operator says
                that they have.
            only: the one model to take in; None: all that are followed.
        """
        if not disk.readable or (not disk.versions and any(model.served for model in self._models.values())):
            return
        followed = disk.models() | self._models.keys() if self.asked is None else self.asked
        names = (followed if only is None else followed & {only}) - disk.unreadable
        found: dict[str, dict[int, Stamp]] = {name: {} for name in names}
        for (name, version), stamp in disk.versions.items():
            if name in names:
                found[name][version] = stamp
        for name, versions in found.items():
            settings = disk.settings.get(name, MISSING) if versions else MISSING
            model = self._models.setdefault(name, _Model(since_s=now_s))
            model.see(_Folder(versions, settings), now_s, patient=patient)
        self._forget()

    def to_read(self, now_s: float) -> list[str]:
        """Return the models whose settings are to be read."""
        return [
            name
            for name, model in self._models.items()
            if not model.is_read() and not model.unread.blocks(model.folder.settings, now_s)
        ]

    def settings_stamp(self, name: str) -> Stamp:
        """Return the stamp of a model's settings that are to be read."""
        return self._models[name].folder.settings

    def settings_read(self, name: str, settings: ModelSettings) -> None:
        """Take in a model's settings. They come in force together with what they ask for."""
        model = self._models[name]
        model.read, model.wish, model.unread = model.folder.settings, settings, _Failures()
        model.drop_stale()

    def settings_failed(self, name: str, now_s: float, *, may_pass: bool = False) -> None:
        """Keep the old settings until the file changes, and with them what is served.

        A model that is not served yet does without settings, unless the cause may pass.
        """
        model = self._models[name]
        model.unread.note(model.folder.settings, now_s, may_pass=may_pass)
        if not may_pass and not model.served:
            model.without, model.wish = model.folder.settings, ModelSettings()
        if not may_pass and model.without == model.folder.settings:
            model.read = model.without

    def settings(self, name: str) -> ModelSettings:
        """Return the settings of a model that are in force."""
        return self._models[name].settings if name in self._models else ModelSettings()

    def to_load(self, now_s: float) -> list[Key]:
        """Return the versions to load, ascending; the result of one may change the answer."""
        return sorted(
            (name, version)
            for name, model in self._models.items()
            if model.is_read()
            for version in self._wanted(model, now_s)
            if model.due(version, now_s)
        )

    def content(self, key: Key) -> Content:
        """Return what is to be loaded of a version."""
        return self._models[key[0]].content(key[1])

    def loaded(self, key: Key, content: Content) -> bool:
        """Note that a version can be served with this content; return False if it has changed meanwhile."""
        model = self._model_with(key)
        if model is None or model.content(key[1]) != content:
            return False
        model.loaded[key[1]] = content
        model.failures[key[1]] = _Failures()
        model.staged.add(key[1])
        return True

    def failed(self, key: Key, content: Content, now_s: float, *, may_pass: bool = False) -> None:
        """Note that a version cannot be loaded: at all, or for a reason that may pass."""
        model = self._model_with(key)
        if model is not None:
            model.failures[key[1]].note(content, now_s, may_pass=may_pass)

    def pause_s(self, key: Key, now_s: float) -> float:
        """Return in how many seconds a version that failed is tried again; infinite for not at all."""
        model = self._model_with(key)
        return math.inf if model is None else model.failures[key[1]].again_s - now_s

    def to_commit(self, now_s: float) -> list[str]:
        """Return the models whose folder can come in force: all of it is loaded, as far as that is possible.

        A model that answers goes on as it is, if it could not answer without a version that is tried again.
        """
        names = []
        for name, model in self._models.items():
            if not model.is_read() or any(model.due(v, now_s) for v in self._wanted(model, now_s)):
                continue
            labels = self._next_labels(model)
            target = self._target(model, labels, now_s)
            loses_default = _default(model.served, model.settings) and not _default(target, model.wish)
            if loses_default and model.awaited():
                continue
            if (target, labels, model.wish) != (model.served, model.labels, model.settings) or model.staged:
                names.append(name)
        return names

    def change(self, name: str, now_s: float) -> Change:
        """Return what changes for callers when a model's folder comes in force."""
        model = self._models[name]
        target = self._target(model, self._next_labels(model), now_s)
        return Change(
            [(name, version) for version in sorted(target & model.staged)],
            [(name, version) for version in sorted(model.served - target)],
        )

    def commit(self, name: str, now_s: float) -> None:
        """Put a model's folder in force."""
        model = self._models[name]
        labels = self._next_labels(model)
        target = self._target(model, labels, now_s)
        model.settings, model.labels, model.served = model.wish, labels, target
        model.loaded = {version: model.loaded[version] for version in target & model.loaded.keys()}
        model.staged = set()
        self._forget()

    def labels(self, name: str) -> dict[str, int]:
        """Return a model's labels, each with its version, which is served.

        A label keeps its old version until its new one is served.
        """
        return self._models[name].labels if name in self._models else {}

    def waiting_labels(self, name: str) -> dict[str, int]:
        """Return the labels whose version in the settings is not in force yet, each with that version."""
        in_force = self.labels(name)
        return {label: v for label, v in self.settings(name).labels.items() if in_force.get(label) != v}

    def shadow(self, name: str) -> ShadowSettings | None:
        """Return the settings of a model's shadow; None if it has none."""
        return self.settings(name).shadow

    def default(self, name: str) -> Key | None:
        """Return the version that answers requests without a version; None if there is none."""
        version = _default(self._models[name].served, self.settings(name)) if name in self._models else 0
        return (name, version) if version else None

    def failures(self) -> list[Key]:
        """Return the versions on disk whose content cannot be loaded; older content may be served instead."""
        return sorted((name, version) for name, model in self._models.items() for version in model.bad())

    def awaited(self) -> set[Key]:
        """Return those failures that may pass, and are tried again by themselves."""
        return {(name, version) for name, model in self._models.items() for version in model.awaited()}

    def knows(self, name: str) -> bool:
        """Return whether a model is on disk or served."""
        return name in self._models

    def is_unsettled(self) -> bool:
        """Return whether a folder has yet to settle; if so, look again in `SETTLE_S`."""
        return any(model.seen != model.folder for model in self._models.values())

    def restless(self, now_s: float) -> set[str]:
        """Return the models whose folders have not settled for `RESTLESS_S`."""
        return {
            name
            for name, model in self._models.items()
            if model.seen != model.folder and now_s - model.restless_s >= RESTLESS_S
        }

    def again_s(self) -> float:
        """Return when the next failure is tried again; infinite if none is."""
        return min(self._retries(), default=math.inf)

    def _retries(self) -> Iterator[float]:
        for model in self._models.values():
            if not model.is_read() and model.unread.of(model.folder.settings):
                yield model.unread.again_s
            elif model.awaited():
                for version in model.awaited() & self._wanted(model, _END_OF_TIME_S):
                    yield model.failures[version].again_s

    def _model_with(self, key: Key) -> _Model | None:
        model = self._models.get(key[0])
        return model if model is not None and key[1] in model.folder.versions else None

    def _chosen(self, model: _Model, now_s: float) -> set[int]:
        """Return the policy's choice among the versions that can be served or may be; not the shadow."""
        policy = model.wish.versions or self._policy
        return policy.choose(
            {
                version
                for version in model.folder.versions.keys() - _shadow(model.wish)
                if version in model.have()
                or not model.failures[version].blocks(model.content(version), now_s)
            }
        )

    def _wanted(self, model: _Model, now_s: float) -> set[int]:
        """Return the versions on disk that the policy, a label or the shadow asks for."""
        labels = {*model.wish.labels.values(), *self._next_labels(model).values()}
        named = labels | _shadow(model.wish)
        return self._chosen(model, now_s) | (model.folder.versions.keys() & named)

    def _target(self, model: _Model, labels: Mapping[str, int], now_s: float) -> set[int]:
        """Return the versions that are to be served, among those that can be."""
        chosen = self._chosen(model, now_s) | _shadow(model.wish)
        return (chosen & model.have()) | set(labels.values())

    def _next_labels(self, model: _Model) -> dict[str, int]:
        """Return where the labels will point.

        A label whose new version is not there stays where it is, if that is on disk or the new one may come.
        """
        have, awaited, labels = model.have(), model.awaited(), {}
        for label, version in model.wish.labels.items():
            old = model.labels.get(label)
            if version in have:
                labels[label] = version
            elif old in have or (old in model.served and version in awaited):
                labels[label] = old
        return labels

    def _forget(self) -> None:
        """Forget the models that are neither on disk nor served."""
        for name in [name for name, model in self._models.items() if _is_gone(model)]:
            del self._models[name]


def _is_gone(model: _Model) -> bool:
    return not (model.served or model.folder.versions or model.seen.versions)


def _shadow(settings: ModelSettings) -> set[int]:
    """Return the version that is the shadow, if there is one."""
    version = settings.shadow.version if settings.shadow else None
    return set() if version is None else {version}


def _default(served: set[int], settings: ModelSettings) -> int:
    """Return the version that answers requests without a version; 0 if there is none."""
    return max(served - _shadow(settings), default=0)
