"""A model repository that is not there: folders, the copies that operators make, and what a look finds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from tamiz_server.config.model_settings import ModelSettings
from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.repository import repository
from tamiz_server.repository.lifecycle import MISSING, Disk, Stamp

SETTINGS = "settings.toml"
ALWAYS = 99


class Bundle(NamedTuple):
    """What a version's file holds: which columns it reads, and how often it fails before it loads."""

    number: int
    columns: str = "ab"
    fails: int = 0


class Wish(NamedTuple):
    """What a settings file says, and how often it cannot be read before it can."""

    serve: str = ""
    stable: int = 0
    shadow: int = 0
    batch: int = 0
    fails: int = 0

    @cache  # noqa: B019  a handful of them
    def settings(self) -> ModelSettings:
        """Return what it means, once it can be read; without it, if it never can."""
        if self.fails == ALWAYS:
            return ModelSettings()
        return ModelSettings(
            VersionPolicy.parse(self.serve) if self.serve else None,
            MappingProxyType({"stable": self.stable} if self.stable else {}),
            MappingProxyType({"max_batch_size": self.batch} if self.batch else {}),
            ShadowSettings(self.shadow) if self.shadow else None,
        )


class Release(NamedTuple):
    """What an operator means to have in a model's folder."""

    versions: tuple[tuple[int, Bundle], ...] = ()
    wish: Wish | None = None

    def files(self) -> dict[str, Bundle | Wish]:
        """Return its files by their names in the model's folder."""
        files: dict[str, Bundle | Wish] = {str(version): bundle for version, bundle in self.versions}
        return files | ({SETTINGS: self.wish} if self.wish else {})


HALF = Bundle(-1, "", ALWAYS)
"""What a file holds as long as it is being copied."""


class Folders:
    """The repository. Whatever is written has a stamp of its own."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], tuple[Stamp, Bundle | Wish]] = {}
        self.written: list[Bundle | Wish] = [Wish()]
        self.away: set[str] = set()

    def write(self, folder: str, file: str, content: Bundle | Wish) -> None:
        stamp = Stamp(len(self.written), 1000, 0, 0)
        self.written.append(content)
        self.files[folder, file] = (stamp, content)

    def remove(self, folder: str, *files: str) -> None:
        for file in files or self.names(folder):
            del self.files[folder, file]

    def names(self, folder: str) -> list[str]:
        return [file for each, file in self.files if each == folder]

    def get(self, folder: str, file: str) -> tuple[Stamp, Bundle | Wish]:
        return self.files.get((folder, file), (MISSING, Wish()))

    def look(self) -> Disk:
        """Return what `repository.look` would find, by its own rules for names."""
        found: dict[tuple[str, int], Stamp] = {}
        for (folder, file), (stamp, _) in self.files.items():
            if repository._no_model(folder) is None and repository._VERSION.fullmatch(file):
                found[folder, int(file)] = stamp
        settings = {name: self.get(name, SETTINGS)[0] for name, _ in found}
        return Disk(found, settings, frozenset(self.away - {""}), readable="" not in self.away)

    def put(self, name: str, release: Release, style: str) -> Iterator[None]:
        """Put a release in a model's folder, step by step.

        - swap: in one step, as a renamed symlink does.
        - recopy: rm -rf m; cp -r new m.
        - stage: copied to a folder of another name, which is renamed.
        - edit, edit-last: what differs is changed in place, settings first or last; versions that are new are
          copied under a hidden name, and renamed.
        """
        files = release.files()
        if style == "swap":
            self._replace(name, files)
        elif style == "recopy":
            self.remove(name)
            for file, content in files.items():
                yield
                yield from self._copy(name, file, content)
        elif style == "stage":
            for file, content in files.items():
                yield from self._copy(f".{name}.tmp", file, content)
                yield
            for _ in range(4):  # long enough to settle
                yield
            self.remove(f".{name}.tmp")
            self._replace(name, files)
        else:
            yield from self._edit(name, files, last=style == "edit-last")

    def _edit(self, name: str, files: dict[str, Bundle | Wish], *, last: bool) -> Iterator[None]:
        old = {file: self.files[name, file][1] for file in self.names(name)}
        changed = [file for file in files if files[file] != old.get(file)]
        new = [file for file in changed if file not in old and file != SETTINGS]
        for file in new:
            yield from self._copy(name, f".{file}.tmp", files[file])
            yield
        steps = sorted({*changed, *(old.keys() - files.keys())}, key=lambda file: (file == SETTINGS) is last)
        for n, file in enumerate(steps):
            if n:
                yield
            if file not in files:
                self.remove(name, file)
            elif file in new:
                self.remove(name, f".{file}.tmp")
                self.write(name, file, files[file])
            else:
                yield from self._copy(name, file, files[file])

    def _replace(self, name: str, files: dict[str, Bundle | Wish]) -> None:
        self.remove(name)
        for file, content in files.items():
            self.write(name, file, content)

    def _copy(self, folder: str, file: str, content: Bundle | Wish) -> Iterator[None]:
        if isinstance(content, Bundle):
            self.write(folder, file, HALF)
            yield
        self.write(folder, file, content)
