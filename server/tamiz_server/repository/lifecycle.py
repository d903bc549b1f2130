"""Decides what to load and unload, and where labels point, from what is on disk and what is served.

    look(disk) ──► to_read() ──► settings_read, settings_failed
                   to_load() ──► loaded, unchanged, failed
                   to_unload() ─► unloaded

This module is pure policy. The caller owns the disk, the clock and the engines: it looks, asks what to do,
does it, and reports the result. Nothing is unloaded before its replacement is served (TF Serving calls this
availability-preserving). What failed to load is tried again only after it has changed.

A file that is still being written changes; a broken file does not. The digest of a bundle shows when it is
complete. So a bundle is tried as soon as it is seen, and a failure is final once the file has stayed the same
for `SETTLE_S`. Settings have no digest, so they are read only after that time.

A lifecycle follows every model on disk. An explicit one follows only the models that were asked for and not
released since, and knows nothing about the others. A look for one model takes in only that model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from tamiz_server.config.model_settings import ModelSettings
from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.config.version_policy import VersionPolicy

SETTLE_S: Final = 1.0
"""A file that has stayed the same for this long, in seconds, counts as complete."""

Key = tuple[str, int]
"""A model's name and a version."""

K_ = TypeVar("K_", Key, str)


class Stamp(NamedTuple):
    """What shows that a file has changed, without reading it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


MISSING: Final = Stamp(0, -1, 0, 0)
"""The stamp of a file that is not there."""


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


@dataclass
class _File:
    """A file that is watched.

    Attributes:
        stamp: its stamp at the last look.
        since_s: when this stamp was first seen.
        settled: whether it counts as complete.
        taken: the stamp of the content that is in force, or None.
        tried: the stamp of the content that failed last.
        final: whether that failure stands until the file changes.
    """

    stamp: Stamp
    since_s: float
    settled: bool
    taken: Stamp | None = None
    tried: Stamp | None = None
    final: bool = False

    def see(self, stamp: Stamp, now_s: float, *, patient: bool) -> None:
        if stamp != self.stamp:
            self.stamp, self.since_s = stamp, now_s
        self.settled = not patient or now_s - self.since_s >= SETTLE_S

    def failed(self) -> bool:
        """Note a failure; return whether it is final."""
        self.tried, self.final = self.stamp, self.settled
        return self.final

    def try_again(self) -> None:
        """Forget that it failed."""
        self.tried, self.final = None, False

    @property
    def bad(self) -> bool:
        return self.final and self.tried == self.stamp

    @property
    def pending(self) -> bool:
        return self.taken != self.stamp and not self.bad

    @property
    def due(self) -> bool:
        return self.pending and (self.settled or self.tried != self.stamp)


class Lifecycle:
    """Which versions exist, which of them are served, and what to do next.

    Attributes:
        served: the versions that are served.
        asked: the models that it follows, whether they exist or not; None: all that exist.
    """

    def __init__(self, policy: VersionPolicy, *, explicit: bool = False) -> None:
        self.served: set[Key] = set()
        self.asked: set[str] | None = set() if explicit else None
        self._policy = policy
        self._bundles: dict[Key, _File] = {}
        self._settings_files: dict[str, _File] = {}
        self._settings: dict[str, ModelSettings] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._stands_in: set[str] = set()

    def ask(self, name: str) -> None:
        """Follow a model (if explicit) from the next look on, and retry its failures even if unchanged."""
        if self.asked is not None:
            self.asked.add(name)
        for file in self._files_of(name):
            file.try_again()

    def try_again(self) -> None:
        """Retry all failures at the next look, even if the files are unchanged: the cause may be gone."""
        for file in (*self._bundles.values(), *self._settings_files.values()):
            file.try_again()

    def release(self, name: str) -> None:
        """Stop following a model, so that all its versions are unloaded (if explicit)."""
        if self.asked is not None:
            self.asked.discard(name)
        for version in self._on_disk(name):
            del self._bundles[name, version]
        self._settings_files.pop(name, None)
        self._forget()

    def look(self, disk: Disk, now_s: float, *, patient: bool = True, only: str | None = None) -> None:
        """Take in what is on disk.

        Args:
            disk: what was found there. A repository that cannot be read, or suddenly holds no version at all,
                has gone away (an unmounted volume), and changes nothing.
            now_s: the time, in seconds on any monotonic clock.
            patient: whether to wait until files have settled; False at the start, or when an operator says
                that they have.
            only: the one model to take in; None: all that are followed.
        """
        if not disk.readable or (self.served and not disk.versions):
            return
        followed = disk.models() | self._names() if self.asked is None else self.asked
        names = followed if only is None else followed & {only}
        versions = {key: stamp for key, stamp in disk.versions.items() if key[0] in names}
        settings = {name: stamp for name, stamp in disk.settings.items() if name in names}
        for key in self._bundles.keys() - versions.keys():
            if key[0] in names - disk.unreadable:
                del self._bundles[key]
        for name in (self._settings_files.keys() & names) - settings.keys() - disk.unreadable:
            del self._settings_files[name]
        _see(self._bundles, versions, now_s, patient=patient)
        _see(self._settings_files, settings, now_s, patient=patient)
        self._forget()

    def to_read(self) -> list[str]:
        """Return the models whose settings are to be read."""
        return [name for name, file in self._settings_files.items() if file.due and file.settled]

    def settings_read(self, name: str, settings: ModelSettings) -> None:
        """Put a model's settings in force; if its batching has changed, its versions are loaded again."""
        file = self._settings_files[name]
        file.taken = file.stamp
        if settings.batching != self.settings(name).batching:
            for key in self.served:
                if key[0] == name and key in self._bundles:
                    self._bundles[key].taken = None
            for file in self._files_of(name):
                file.try_again()
        was_shadow = self.shadow(name)
        self._settings[name] = settings
        self._stands_in.discard(name)
        version = self._shadow_version(name)
        if self._versions_served(name) == {version} and not (was_shadow and was_shadow.version == version):
            self._stands_in.add(name)
        self._move_labels(name)

    def settings_failed(self, name: str) -> None:
        """Keep the old settings until the file changes."""
        self._settings_files[name].failed()

    def settings(self, name: str) -> ModelSettings:
        """Return the settings of a model that are in force."""
        return self._settings.get(name, ModelSettings())

    def to_load(self) -> list[Key]:
        """Return the versions to load, ascending; the result of one may change the answer."""
        return sorted(
            (name, version)
            for name in self._names()
            for version in self._wanted(name)
            if self._bundles[name, version].due
        )

    def loaded(self, key: Key) -> None:
        """Note that a version is served with the content that it had at the last look."""
        self._bundles[key].taken = self._bundles[key].stamp
        self.served.add(key)
        if self._versions_served(key[0]) - {self._shadow_version(key[0])}:
            self._stands_in.discard(key[0])
        self._move_labels(key[0])

    def failed(self, key: Key) -> bool:
        """Note that a version cannot be loaded; return whether that is final: its file does not change."""
        return self._bundles[key].failed()

    def to_unload(self) -> list[Key]:
        """Return the versions that are served but need not be."""
        return sorted(
            (name, version)
            for name in {name for name, _ in self.served}
            for version in self._versions_served(name) - self._needed(name)
        )

    def unloaded(self, key: Key) -> None:
        """Note that a version is no longer served."""
        self.served.discard(key)
        if key in self._bundles:
            self._bundles[key].taken = None
        self._move_labels(key[0])
        self._forget()

    def labels(self, name: str) -> dict[str, int]:
        """Return a model's labels, each with its version, which is served.

        A label keeps its old version until its new one is served.
        """
        return self._labels.get(name, {})

    def waiting_labels(self, name: str) -> dict[str, int]:
        """Return the labels whose version in the settings is not in force yet, each with that version."""
        in_force = self.labels(name)
        return {label: v for label, v in self.settings(name).labels.items() if in_force.get(label) != v}

    def shadow(self, name: str) -> ShadowSettings | None:
        """Return the settings of a model's shadow; None if it has none.

        A version that answered before it became the shadow goes on answering until its replacement is served.
        """
        version = self._shadow_version(name)
        if (
            name in self._stands_in
            and self._versions_served(name) == {version}
            and any(self._bundles[name, other].pending for other in self._chosen(name))
        ):
            return None
        return self.settings(name).shadow

    def default(self, name: str) -> Key | None:
        """Return the version that answers requests without a version; None if there is none."""
        shadow = self.shadow(name)
        others = self._versions_served(name) - {shadow.version if shadow else None}
        return (name, max(others)) if others else None

    def failures(self) -> list[Key]:
        """Return the versions on disk whose content cannot be loaded; older content may be served instead."""
        return sorted(key for key, file in self._bundles.items() if file.bad)

    def knows(self, name: str) -> bool:
        """Return whether a model is on disk or served."""
        return name in self._settings_files or name in self._names()

    def is_unsettled(self) -> bool:
        """Return whether a file has yet to settle; if so, look again in `SETTLE_S`."""
        files = (*self._bundles.values(), *self._settings_files.values())
        return any(file.pending and not file.settled for file in files)

    def _files_of(self, name: str) -> list[_File]:
        files = [file for key, file in self._bundles.items() if key[0] == name]
        return [*files, self._settings_files[name]] if name in self._settings_files else files

    def _names(self) -> set[str]:
        return {name for name, _ in self._bundles} | {name for name, _ in self.served}

    def _on_disk(self, name: str) -> set[int]:
        return {version for each, version in self._bundles if each == name}

    def _versions_served(self, name: str) -> set[int]:
        return {version for each, version in self.served if each == name}

    def _shadow_version(self, name: str) -> int | None:
        shadow = self.settings(name).shadow
        return shadow.version if shadow else None

    def _chosen(self, name: str) -> set[int]:
        """Return the policy's choice among the versions that are served or may be; not the shadow."""
        policy = self.settings(name).versions or self._policy
        return policy.choose(
            {
                version
                for version in self._on_disk(name) - {self._shadow_version(name)}
                if (name, version) in self.served or not self._bundles[name, version].bad
            }
        )

    def _wanted(self, name: str) -> set[int]:
        """Return the versions on disk that the policy, an old or new label or the shadow asks for."""
        settings = self.settings(name).labels
        named = {*settings.values(), *self.labels(name).values(), self._shadow_version(name)}
        return self._chosen(name) | (self._on_disk(name) & named)

    def _needed(self, name: str) -> set[int]:
        """Return the versions that must stay: wanted ones, and those whose replacement may still come."""
        served, chosen = self._versions_served(name), self._chosen(name)
        if name in self._settings_files and self._settings_files[name].pending:
            return served  # the new settings may move a label away from a version that is already gone
        if not chosen & served and any(self._bundles[name, version].pending for version in chosen):
            return served
        predecessors = {
            self.labels(name)[label]
            for label, version in self.waiting_labels(name).items()
            if label in self.labels(name) and self._is_pending((name, version))
        }
        return self._wanted(name) | predecessors

    def _is_pending(self, key: Key) -> bool:
        return key in self._bundles and self._bundles[key].pending

    def _move_labels(self, name: str) -> None:
        old, served = self.labels(name), self._versions_served(name)
        staying = served & self._on_disk(name)  # a label must not move to a version that is about to go
        new = {}
        for label, version in self.settings(name).labels.items():
            target = version if version in staying else old.get(label)
            if target in served:
                new[label] = target
        self._labels[name] = new

    def _forget(self) -> None:
        """Forget the models that are neither on disk nor served."""
        names = self._names()
        self._stands_in &= names
        for kept in (self._settings_files, self._settings, self._labels):
            for name in [name for name in kept if name not in names]:
                del kept[name]


def _see(files: dict[K_, _File], stamps: Mapping[K_, Stamp], now_s: float, *, patient: bool) -> None:
    for key, stamp in stamps.items():
        file = files.setdefault(key, _File(stamp, now_s, settled=False))
        file.see(stamp, now_s, patient=patient)
