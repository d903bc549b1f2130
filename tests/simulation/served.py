"""A small model of what may be served: after each release, and before the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from tamiz_server.config.model_settings import ModelSettings
from tamiz_server.config.version_policy import VersionPolicy
from tests.simulation.disk import ALWAYS, Bundle, Release


@dataclass
class State:
    """What is in force for a model."""

    settings: ModelSettings = field(default_factory=ModelSettings)
    served: dict[int, Bundle] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    default: int = 0


class Expected:
    """What may be served of a model: one of its complete releases, never an older one than before."""

    def __init__(self) -> None:
        self.releases = [Release()]
        self.state = State()
        self.failed: set[Bundle] = set()
        """Those that failed to load at least once."""
        self._at = 0
        self._without: object = None

    def check(self, state: State) -> None:
        """Require that a state is that of a complete release, as far as that could be loaded."""
        if state == self.state:
            return
        reasons = []
        for at in range(self._at, len(self.releases)):
            release = self.releases[at]
            reasons = [*self._misfits(release, state, self.failed)]
            if not reasons:
                self._at, self.state = at, state
                self._without = release.wish if release.wish and release.wish.fails == ALWAYS else None
                return
        raise AssertionError(f"{state} is no release; against the last one: {'; '.join(reasons)}")

    def check_at_rest(self) -> None:
        """Require that the last release is in force, now that all that may pass has passed."""
        last = self.releases[-1]
        if last.wish is None or last.wish.fails != ALWAYS or not last.versions:
            bad = {bundle for _, bundle in last.versions if bundle.fails == ALWAYS}
            reasons = [*self._misfits(last, self.state, bad)]
            assert not reasons, f"{last} is not in force: {'; '.join(reasons)}; {self.state} is"

    def _misfits(self, release: Release, state: State, failed: set[Bundle]) -> Iterator[str]:
        """Say why a state is not that of a release."""
        before, wish, wanted = self.state, release.wish, dict(release.versions)
        settings = wish.settings() if wish and wanted else ModelSettings()
        if wish and wish.fails == ALWAYS and before.served and self._without != wish and wanted:
            yield "its settings have a mistake, so all of it waits"
        if wanted and state.settings != settings:
            yield f"the settings are {state.settings}"
        shadow = settings.shadow.version if settings.shadow else None
        policy = settings.versions or VersionPolicy()
        may_lack = {version for version, bundle in wanted.items() if bundle in failed}
        choices = [policy.choose(wanted.keys() - {shadow} - lacks) for lacks in _subsets(may_lack)]
        named = {*settings.labels.values(), shadow}
        kept = {before.labels.get(label) for label in settings.labels}
        for version, bundle in state.served.items():
            old = before.served.get(version) == bundle
            if bundle.fails == ALWAYS:
                yield f"version {version} can never be loaded"
            if version in wanted and bundle != wanted[version] and not (old and version in may_lack):
                yield f"version {version} is {bundle}"
            if version not in wanted and not (old and version in kept):
                yield f"version {version} is not part of it"
            if version not in named | kept and not any(version in chosen for chosen in choices):
                yield f"version {version} is not asked for"
        must = ((choices[0] if not may_lack else set()) | (named & wanted.keys())) - may_lack
        if lacking := [version for version in must if state.served.get(version) != wanted[version]]:
            yield f"versions {lacking} are not served"
        if state.default != max(state.served.keys() - {shadow}, default=0):
            yield f"version {state.default} answers by default"
        for label, version in settings.labels.items():
            allowed = {version} if version in state.served else {before.labels.get(label)}
            if state.labels.get(label) not in allowed | {None} - state.served.keys():
                yield f"{label} is version {state.labels.get(label)}"
        if extra := state.labels.keys() - settings.labels.keys():
            yield f"there are labels {extra}"


def _subsets(items: set[int]) -> list[set[int]]:
    return [set(some) for n in range(len(items) + 1) for some in combinations(sorted(items), n)]
