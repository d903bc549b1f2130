"""A small model of what may be served: after each release, and before the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from tests.simulation.disk import ALWAYS, Bundle, Release, Wish

from tamiz_server.config.model_settings import ModelSettings
from tamiz_server.config.version_policy import VersionPolicy


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
        self._without: set[Wish] = set()

    def check(self, state: State) -> None:
        """Require that a state is that of a complete release, as far as that could be loaded."""
        if state == self.state:
            return
        reasons = {
            at: "; ".join(self._misfits(self.releases[at], state, self.failed))
            for at in range(self._at, len(self.releases))
        }
        fits = [at for at, reason in reasons.items() if not reason]
        assert fits, f"{state} is no release: {reasons}"
        self._at, self.state = fits[0], state
        wishes = [self.releases[at].wish for at in fits]
        self._without = {wish for wish in wishes if wish and wish.fails == ALWAYS}

    def check_at_rest(self) -> None:
        """Require that the last release is in force, now that all that may pass has passed."""
        last = self.releases[-1]
        if last.wish is None or last.wish.fails != ALWAYS or not last.versions:
            bad = {bundle for _, bundle in last.versions if bundle.fails == ALWAYS}
            reasons = [*self._misfits(last, self.state, bad)]
            assert not reasons, f"{last} is not in force: {'; '.join(reasons)}; {self.state} is"

    def _misfits(self, release: Release, state: State, failed: set[Bundle]) -> Iterator[str]:
        """Say why a state is not that of a release of which some versions may have failed to load."""
        before, wish, wanted = self.state, release.wish, dict(release.versions)
        settings = wish.settings() if wish and wanted else ModelSettings()
        if wish and wish.fails == ALWAYS and before.served and wish not in self._without and wanted:
            yield "its settings have a mistake, so all of it waits"
        if wanted and state.settings != settings:
            yield f"the settings are {state.settings}"
        may_lack = {version for version, bundle in wanted.items() if bundle in failed}
        yield from self._wrong_versions(settings, wanted, state, may_lack)
        yield from self._wrong_names(settings, state)

    def _wrong_versions(
        self, settings: ModelSettings, wanted: dict[int, Bundle], state: State, may_lack: set[int]
    ) -> Iterator[str]:
        before, shadow = self.state, _shadow(settings)
        policy = settings.versions or VersionPolicy()
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

    def _wrong_names(self, settings: ModelSettings, state: State) -> Iterator[str]:
        if state.default != max(state.served.keys() - {_shadow(settings)}, default=0):
            yield f"version {state.default} answers by default"
        for label, version in settings.labels.items():
            old = self.state.labels.get(label)
            expected = version if version in state.served else old if old in state.served else None
            if state.labels.get(label) != expected:
                yield f"{label} is version {state.labels.get(label)}"
        if extra := state.labels.keys() - settings.labels.keys():
            yield f"there are labels {extra}"


def _shadow(settings: ModelSettings) -> int | None:
    return settings.shadow.version if settings.shadow else None


def _subsets(items: set[int]) -> list[set[int]]:
    return [set(some) for n in range(len(items) + 1) for some in combinations(sorted(items), n)]
