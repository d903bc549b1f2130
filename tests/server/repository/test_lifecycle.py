"""The plan: what is on disk × what is served → what to load, unload and label. No files, clock or engines."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tamiz_server.config.model_settings import ModelSettings
from tamiz_server.config.shadow_settings import ShadowSettings
from tamiz_server.config.version_policy import VersionPolicy
from tamiz_server.repository.lifecycle import (
    LONGEST_PAUSE_S,
    MISSING,
    RESTLESS_S,
    SETTLE_S,
    Disk,
    Lifecycle,
    Stamp,
)

ALL, LATEST = VersionPolicy.parse("all"), VersionPolicy.parse("latest")
TRANSIENT, PASSING, BROKEN = -2, "passing", "broken"
NAMES = st.sampled_from(["a", "b"])


class World:
    """A disk, a clock and an obedient server. Content fails to load if its stamp's inode is negative; for now
    only if it is TRANSIENT.
    """

    def __init__(self, policy: VersionPolicy = ALL, *, explicit: bool = False) -> None:
        self.lifecycle = Lifecycle(policy, explicit=explicit)
        self.now_s = 0.0
        self.versions: dict[tuple[str, int], Stamp] = {}
        self.wishes: dict[str, ModelSettings | str] = {}
        self.settings: dict[str, Stamp] = {}
        self.did: list[tuple[str, object]] = []
        self._times = itertools.count(1)

    def write(self, version: int, *, good: bool = True, inode: int = 0) -> None:
        self.versions["m", version] = Stamp(inode or (1 if good else -1), 1, next(self._times), 0)

    def remove(self, version: int) -> None:
        del self.versions["m", version]

    def label(self, **labels: int) -> None:
        self.set(ModelSettings(labels=labels))

    def set(self, wish: ModelSettings | str) -> None:
        self.wishes["m"] = wish
        self.settings["m"] = Stamp(1, 1, next(self._times), 0)

    def load(self, name: str = "m") -> list[tuple[str, object]]:
        self.lifecycle.ask(name)
        return self.look(0.0, patient=False, only=name)

    def unload(self, name: str = "m") -> list[tuple[str, object]]:
        self.lifecycle.release(name)
        self.did = []
        self._commit()
        return self.did

    def look(
        self, after_s: float | None = None, *, patient: bool = True, only: str | None = None, **disk: object
    ) -> list[tuple[str, object]]:
        """Look, do what is to be done, and return it: what is loaded, and what is unloaded.

        Without a time, look until all has settled.
        """
        if after_s is None:
            first = self.look(SETTLE_S, patient=patient, only=only, **disk)
            return [*first, *self.look(SETTLE_S, patient=patient, only=only, **disk)]
        self.now_s += after_s
        models = {name for name, _ in self.versions}
        stamps = {name: self.settings.get(name, MISSING) for name in models}
        lifecycle = self.lifecycle
        lifecycle.look(Disk(dict(self.versions), stamps, **disk), self.now_s, patient=patient, only=only)
        return self.settle()

    def settle(self) -> list[tuple[str, object]]:
        """Do what is to be done now, and return it."""
        self.did = []
        for name in self.lifecycle.to_read(self.now_s):
            self._read(name)
        while keys := self.lifecycle.to_load(self.now_s):
            self._load(keys[-1])
        self._commit()
        return self.did

    def _read(self, name: str) -> None:
        wish = self.wishes.get(name, ModelSettings())
        if isinstance(wish, ModelSettings):
            self.lifecycle.settings_read(name, wish)
        else:
            self.lifecycle.settings_failed(name, self.now_s, may_pass=wish == PASSING)
            self.did.append(("settings failed", name))

    def _commit(self) -> None:
        for name in self.lifecycle.to_commit(self.now_s):
            change = self.lifecycle.change(name, self.now_s)
            self.lifecycle.commit(name, self.now_s)
            self.did += [("unload", version) for _, version in change.withdraw]

    def _load(self, key: tuple[str, int]) -> None:
        content = self.lifecycle.content(key)
        if content.stamp == MISSING or content.stamp.inode < 0:
            may_pass = content.stamp.inode == TRANSIENT
            self.lifecycle.failed(key, content, self.now_s, may_pass=may_pass)
            self.did.append(("not yet" if may_pass else "failed", key[1]))
        else:
            self.lifecycle.loaded(key, content)
            self.did.append(("load", key[1]))

    @property
    def served(self) -> set[int]:
        return {version for _, version in self.lifecycle.served}

    @property
    def labels(self) -> dict[str, int]:
        return self.lifecycle.labels("m")


def test_what_failed_is_tried_again_with_other_settings_of_batches_and_when_an_operator_says_so():
    world = World()
    world.write(1, good=False)
    assert world.look(patient=False) == [("failed", 1)]
    assert world.look() == []
    world.set(ModelSettings(batching={"max_batch_size": 8}))
    assert world.look(patient=False) == [("failed", 1)]
    assert world.look() == []
    world.lifecycle.try_again()
    assert world.look() == [("failed", 1)]
    assert world.look() == []


def test_settings_that_are_removed_after_a_mistake_and_a_second_try_are_gone():
    world = World()
    world.write(1)
    world.label(stable=1)
    world.look()
    world.set(BROKEN)
    assert world.look() == [("settings failed", "m")]
    world.lifecycle.try_again()
    assert world.look(0.0, patient=False) == [("settings failed", "m")]
    assert world.labels == {"stable": 1}
    del world.wishes["m"], world.settings["m"]
    assert world.look() == []
    assert world.labels == {}


def test_a_model_that_is_not_served_yet_does_without_settings_that_are_wrong_whatever_they_were_before():
    world = World()
    world.write(1, good=False)
    world.set(ModelSettings(labels={"stable": 2}, shadow=ShadowSettings(2)))
    world.look()
    world.set(BROKEN)
    world.write(1)
    world.write(2)
    assert world.look() == [("settings failed", "m"), ("load", 2), ("load", 1)]
    assert world.lifecycle.settings("m") == ModelSettings()
    assert world.lifecycle.default("m") == ("m", 2)


def test_a_folder_that_does_not_settle_is_said_after_a_minute_and_an_operator_can_put_it_in_force():
    world = World()
    world.write(1)
    world.write(2)
    world.look()
    world.remove(2)  # a rollback, while a copy into the same folder is under way
    for _ in range(int(RESTLESS_S)):
        world.write(3)
        assert world.look(1.0) == []
        assert world.lifecycle.restless(world.now_s) == set()
    world.write(3)
    assert world.look(1.0) == []
    assert world.lifecycle.restless(world.now_s) == {"m"}
    assert world.look(0.0, patient=False) == [("load", 3), ("unload", 2)]
    assert world.lifecycle.restless(world.now_s) == set()
    world.write(3)
    world.look(3 * RESTLESS_S)  # looks are rare: the change was seen just now
    assert world.lifecycle.restless(world.now_s) == set()


def test_what_is_new_is_loaded_what_changed_is_loaded_again_and_what_is_gone_is_unloaded():
    world = World()
    world.write(1)
    assert world.look() == [("load", 1)]
    world.write(2)
    assert world.look() == [("load", 2)]
    assert world.look() == []
    world.write(1)
    assert world.look() == [("load", 1)]
    world.remove(2)
    assert world.look() == [("unload", 2)]


def test_a_version_that_fails_leaves_the_old_one_and_is_tried_once_per_change():
    world = World()
    world.write(1)
    world.look()
    world.write(1, good=False)
    assert world.look() == [("failed", 1)]
    assert [world.look() for _ in range(3)] == [[], [], []]
    assert world.served == {1}
    assert world.lifecycle.failures() == [("m", 1)]
    world.write(1)
    assert world.look() == [("load", 1)]
    assert world.lifecycle.failures() == []


def test_a_folder_that_still_changes_is_not_followed_and_all_of_it_comes_in_force_once_it_has_settled():
    world = World()
    world.write(1)
    world.look()
    for _ in range(5):
        world.write(2, good=False)
        world.label(stable=2)
        assert world.look(SETTLE_S / 2) == []
        assert world.lifecycle.is_unsettled()
    world.write(2)
    assert world.look(SETTLE_S / 2) == []
    assert world.look(SETTLE_S / 2) == []
    assert world.look(SETTLE_S / 2) == [("load", 2)]
    assert world.labels == {"stable": 2}
    assert not world.lifecycle.is_unsettled()


@pytest.mark.parametrize("gap_s", [0.0, 0.1, SETTLE_S - 0.1])
def test_a_model_that_is_removed_and_copied_back_stays(gap_s):
    world = World()
    world.versions["other", 7] = Stamp(1, 1, 1, 1)
    for version in (1, 2):
        world.write(version)
    world.label(stable=1)
    world.look()
    for version in (1, 2):
        world.remove(version)
    assert world.look(0.1) == []
    world.write(2)  # copied in any order
    assert world.look(gap_s) == []
    world.write(1)
    assert world.look(gap_s) == []
    assert (world.served, world.labels) == ({1, 2, 7}, {"stable": 1})
    assert world.look() == [("load", 2), ("load", 1)]


def test_a_release_comes_in_force_in_one_step_and_so_does_its_withdrawal():
    world = World()
    lifecycle = world.lifecycle
    world.write(1)
    world.look()
    for make, did in (
        (lambda: (world.write(2), world.set(ModelSettings(shadow=ShadowSettings(version=2)))), [("load", 2)]),
        (lambda: (world.remove(2), world.set(ModelSettings())), [("unload", 2)]),
    ):
        make()
        for _ in range(2):
            assert world.look(SETTLE_S / 2) == []
            assert lifecycle.default("m") == ("m", 1)
        assert world.look(SETTLE_S / 2) == did
        assert lifecycle.default("m") == ("m", 1)


def test_what_failed_for_a_reason_that_may_pass_is_tried_again_with_growing_pauses():
    world = World()
    world.write(1, inode=TRANSIENT)
    assert world.look(0.0, patient=False) == [("not yet", 1)]
    assert world.lifecycle.failures() == [("m", 1)]
    assert world.lifecycle.awaited() == {("m", 1)}
    pauses = []
    for _ in range(14):
        pauses.append(world.lifecycle.again_s() - world.now_s)
        assert world.look(pauses[-1] / 2, patient=False) == []
        assert world.look(pauses[-1] / 2, patient=False) == [("not yet", 1)]
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LONGEST_PAUSE_S
    world.write(1)
    assert world.look(0.0, patient=False) == [("load", 1)]
    assert world.lifecycle.again_s() == math.inf


def test_a_model_goes_on_as_it_was_while_its_only_successor_may_come():
    world = World(LATEST)
    world.write(1)
    world.label(stable=1)
    world.look()
    world.remove(1)
    world.write(2, inode=TRANSIENT)
    world.label(stable=2)
    assert world.look() == [("not yet", 2)]
    assert (world.served, world.labels) == ({1}, {"stable": 1})
    world.write(2)
    assert world.look(0.0, patient=False) == [("load", 2), ("unload", 1)]
    assert (world.served, world.labels) == ({2}, {"stable": 2})


def test_what_is_served_waits_for_settings_with_a_mistake_to_be_mended():
    world = World()
    world.write(1)
    world.look()
    world.write(2)
    world.set(BROKEN)
    assert world.look() == [("settings failed", "m")]
    assert world.look() == []
    assert world.served == {1}
    world.label(stable=2)
    assert world.look() == [("load", 2)]
    assert world.labels == {"stable": 2}


def test_a_model_whose_settings_have_a_mistake_at_the_start_does_without_and_one_that_cannot_be_read_waits():
    world = World()
    world.write(1)
    world.set(BROKEN)
    assert world.look(patient=False) == [("settings failed", "m"), ("load", 1)]
    world.lifecycle.try_again()
    world.write(2)
    assert world.look() == [("settings failed", "m"), ("load", 2)]
    world = World()
    world.write(1)
    world.set(PASSING)
    assert world.look(patient=False) == [("settings failed", "m"), ("settings failed", "m")]
    assert world.served == set()
    world.wishes["m"] = ModelSettings(shadow=ShadowSettings(version=1))
    assert world.look() == [("load", 1)]
    assert world.lifecycle.default("m") is None


def test_a_retry_that_nobody_wants_any_more_is_not_waited_for():
    world = World()
    world.write(1)
    world.write(2, inode=TRANSIENT)
    world.look()
    assert world.lifecycle.again_s() < math.inf
    world.set(ModelSettings(versions=VersionPolicy(named=frozenset({1}))))
    world.look()
    assert world.lifecycle.again_s() == math.inf


def test_what_has_changed_while_it_was_loaded_is_not_served():
    world = World()
    world.write(1)
    lifecycle = world.lifecycle
    lifecycle.look(Disk(dict(world.versions)), 0.0, patient=False)
    old = lifecycle.content(("m", 1))
    world.write(1, good=False)
    lifecycle.look(Disk(dict(world.versions)), 0.0, patient=False)
    lifecycle.loaded(("m", 1), old)
    assert world.settle() == [("failed", 1)]
    assert world.served == set()


def test_an_impatient_look_takes_what_is_there_as_finished():
    world = World()
    world.write(1, good=False)
    world.write(2)
    world.label(stable=2)
    assert world.look(patient=False) == [("load", 2), ("failed", 1)]
    assert world.labels == {"stable": 2}


def test_settings_that_are_being_written_wait():
    world = World()
    world.write(1)
    world.look(patient=False)
    for _ in range(3):
        world.label(stable=1)
        world.look(SETTLE_S / 2)
        assert world.labels == {}
    world.look(SETTLE_S)
    assert world.labels == {"stable": 1}


def test_with_latest_the_old_version_stays_until_the_new_one_is_served():
    world = World(LATEST)
    world.write(1)
    world.look()
    world.write(2, good=False)
    assert world.look() == [("failed", 2)]
    assert world.served == {1}
    world.write(2)
    assert world.look() == [("load", 2), ("unload", 1)]


def test_with_latest_a_version_that_fails_is_passed_over_for_the_next_lower_one():
    world = World(LATEST)
    world.write(1)
    world.write(2)
    world.write(3, good=False)
    assert world.look(patient=False) == [("failed", 3), ("load", 2)]
    world.write(3)
    assert world.look() == [("load", 3), ("unload", 2)]


def test_removing_the_latest_version_rolls_back_and_the_lower_one_is_loaded_first():
    world = World(LATEST)
    world.write(1)
    world.write(2)
    world.look()
    assert world.served == {2}
    world.remove(2)
    assert world.look() == [("load", 1), ("unload", 2)]


def test_named_versions_are_served_and_no_others():
    world = World()
    for version in (1, 2, 3):
        world.write(version)
    world.set(ModelSettings(versions=VersionPolicy(named=frozenset({1, 3, 9}))))
    world.look(patient=False)
    assert world.served == {1, 3}


def test_a_version_that_left_and_is_wanted_again_is_loaded_again():
    world = World()
    world.write(1)
    world.write(2)
    for version, did in (
        (1, [("load", 1)]),
        (2, [("load", 2), ("unload", 1)]),
        (1, [("load", 1), ("unload", 2)]),
    ):
        world.set(ModelSettings(versions=VersionPolicy(named=frozenset({version}))))
        assert world.look(patient=False) == did


def test_a_removed_version_does_not_outlive_a_successor_that_failed():
    world = World()
    world.write(1)
    world.write(3)
    world.label(stable=1)
    world.look(patient=False)
    world.write(2, good=False)
    world.label(stable=2)
    world.remove(1)
    assert world.look(patient=False) == [("failed", 2), ("unload", 1)]
    assert world.labels == {}


def test_a_labelled_version_is_served_whatever_the_policy():
    world = World(LATEST)
    for version in (1, 2, 3):
        world.write(version)
    world.label(stable=1)
    world.look(patient=False)
    assert world.served == {1, 3}
    assert world.labels == {"stable": 1}


def test_a_label_moves_only_once_its_new_version_is_served():
    world = World(LATEST)
    world.write(1)
    world.write(3)
    world.label(stable=1)
    world.look(patient=False)
    world.write(2, good=False)
    world.label(stable=2)
    world.look(patient=False)
    assert world.labels == {"stable": 1}
    assert world.lifecycle.waiting_labels("m") == {"stable": 2}
    assert world.served == {1, 3}
    world.write(2)
    assert world.look() == [("load", 2), ("unload", 1)]
    assert world.labels == {"stable": 2}


def test_rollback_is_moving_a_label_back():
    world = World()
    world.write(1)
    world.write(2)
    for version in (2, 1):
        world.label(stable=version)
        world.look(patient=False)
        assert world.labels == {"stable": version}
    assert world.served == {1, 2}


def test_the_old_version_of_a_label_outlives_its_folder_while_the_new_one_may_come():
    world = World(LATEST)
    world.write(1)
    world.write(3)
    world.label(stable=1)
    world.look(patient=False)
    world.label(stable=2)
    world.write(2, inode=TRANSIENT)
    world.remove(1)
    assert world.look() == [("not yet", 2)]
    assert world.labels == {"stable": 1}
    world.write(2)
    assert world.look(0.0, patient=False) == [("load", 2), ("unload", 1)]
    assert world.labels == {"stable": 2}
    assert world.served == {2, 3}


def test_a_version_that_is_removed_right_after_its_label_was_moved_stays_until_the_settings_are_read():
    world = World()
    world.write(1)
    world.write(2)
    world.label(stable=1)
    world.look(patient=False)
    world.label(stable=2)
    world.remove(1)
    assert world.look(0.1) == []
    assert world.labels == {"stable": 1}
    assert world.look(SETTLE_S) == [("unload", 1)]
    assert world.labels == {"stable": 2}


def test_a_label_that_is_moved_to_a_version_that_was_just_removed_stays_where_it_was():
    world = World()
    world.write(1)
    world.write(2)
    world.label(stable=2)
    world.look(patient=False)
    world.label(stable=1)
    world.remove(1)
    assert world.look(patient=False) == [("unload", 1)]
    assert world.labels == {"stable": 2}


def test_a_label_of_a_version_that_was_removed_names_nothing():
    world = World()
    world.write(1)
    world.write(2)
    world.label(stable=1)
    world.look(patient=False)
    world.remove(1)
    world.look()
    assert world.labels == {}
    assert world.lifecycle.waiting_labels("m") == {"stable": 1}


@pytest.mark.parametrize("readable", [True, False])
def test_a_repository_that_went_away_changes_nothing(readable):
    world = World()
    world.write(1)
    world.look()
    world.versions.clear()
    assert world.look(readable=readable) == []
    assert world.served == {1}


def test_a_model_folder_that_cannot_be_read_changes_nothing_for_this_model():
    world = World()
    world.write(1)
    world.versions["other", 7] = Stamp(1, 1, 1, 1)
    world.look(patient=False)
    del world.versions["m", 1]
    assert world.look(unreadable=frozenset({"m"})) == []
    assert world.served == {1, 7}
    assert world.look() == [("unload", 1)]


def test_a_bundle_that_vanished_from_its_folder_is_a_failure_not_a_removal():
    world = World()
    world.write(1)
    world.look()
    world.versions["m", 1] = MISSING
    assert world.look() == [("failed", 1)]
    assert world.served == {1}


def test_nothing_is_remembered_of_a_model_that_is_gone():
    world = World()
    world.write(1)
    world.label(stable=1)
    world.versions["other", 7] = Stamp(1, 1, 1, 1)
    world.look(patient=False)
    world.remove(1)
    world.look()
    assert not world.lifecycle.knows("m")
    assert world.labels == {}
    assert list(world.lifecycle._models) == ["other"]


def explicit_world() -> World:
    world = World(explicit=True)
    world.write(1)
    world.versions["other", 7] = Stamp(1, 1, 1, 1)
    return world


def test_an_explicit_one_loads_what_it_is_asked_for_and_nothing_else():
    world = explicit_world()
    assert world.look(patient=False) == []
    assert not world.lifecycle.knows("m")
    assert world.load() == [("load", 1)]
    world.write(2)
    world.versions["other", 8] = Stamp(1, 1, 1, 1)
    assert world.load("other") == [("load", 8), ("load", 7)]
    assert world.served == {1, 7, 8}
    assert world.load() == [("load", 2)]


def test_an_explicit_one_looks_again_at_all_that_it_was_asked_for_when_an_operator_says_so():
    world = explicit_world()
    world.load()
    world.write(2)
    assert world.look(patient=False) == [("load", 2)]


def test_what_was_released_is_unloaded_and_stays_so_until_it_is_asked_for_again():
    world = explicit_world()
    world.label(stable=1)
    world.load()
    world.load("other")
    assert world.unload() == [("unload", 1)]
    assert world.labels == {}
    assert not world.lifecycle.knows("m")
    assert world.look(patient=False) == []
    world.write(1)
    assert world.load("other") == []
    assert world.load() == [("load", 1)]
    assert world.labels == {"stable": 1}


def test_settings_that_are_being_written_keep_nothing_that_was_released():
    world = explicit_world()
    world.load()
    world.label(stable=1)
    assert world.look(0.1) == []
    assert world.lifecycle.is_unsettled()
    assert world.unload() == [("unload", 1)]
    assert not world.lifecycle.is_unsettled()


def test_asking_again_tries_again_what_failed_without_a_change():
    world = explicit_world()
    world.write(2, good=False)
    assert world.load() == [("failed", 2), ("load", 1)]
    assert world.look(patient=False) == []
    assert world.load() == [("failed", 2)]
    assert world.served == {1}
    assert world.unload() == [("unload", 1)]
    assert world.lifecycle.failures() == []


@pytest.mark.parametrize("policy", [ALL, LATEST])
def test_a_shadow_is_served_whatever_the_policy_and_answers_only_by_name(policy):
    world = World(policy)
    world.set(ModelSettings(shadow=ShadowSettings(version=2)))
    for version in (1, 2):
        world.write(version)
    assert sorted(world.look(patient=False)) == [("load", 1), ("load", 2)]
    assert world.lifecycle.default("m") == ("m", 1)
    world.set(ModelSettings())
    world.look(patient=False)
    assert world.lifecycle.shadow("m") is None
    assert world.lifecycle.default("m") == ("m", 2)


def test_a_shadow_alone_answers_nobody():
    world = World()
    world.set(ModelSettings(shadow=ShadowSettings(version=2)))
    world.write(2)
    world.look(patient=False)
    assert world.served == {2}
    assert world.lifecycle.default("m") is None


def test_a_version_that_becomes_the_shadow_answers_until_its_successor_is_served():
    world = World(LATEST)
    world.write(1, inode=TRANSIENT)
    world.write(2)
    world.look(patient=False)
    assert world.served == {2}
    world.set(ModelSettings(shadow=ShadowSettings(version=2)))
    assert world.look() == [("not yet", 1)]
    assert world.lifecycle.shadow("m") is None
    assert world.lifecycle.default("m") == ("m", 2)
    world.write(1)
    assert world.look(0.0, patient=False) == [("load", 1)]
    assert world.lifecycle.shadow("m") == ShadowSettings(version=2)
    assert world.lifecycle.default("m") == ("m", 1)


def test_a_shadow_whose_predecessor_cannot_be_loaded_answers_nobody_all_the_same():
    world = World(LATEST)
    world.write(1, good=False)
    world.write(2)
    world.look(patient=False)
    world.set(ModelSettings(shadow=ShadowSettings(version=2)))
    world.look(patient=False)
    assert world.served == {2}
    assert world.lifecycle.default("m") is None


class Operator(RuleBasedStateMachine):
    """Anything that an operator may do, in any order, between looks at any distance."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.ever_served = False

    @precondition(lambda self: self.world is None)
    @rule(policy=st.sampled_from(["all", "latest", "latest:2"]))
    def start(self, policy):
        self.world = World(VersionPolicy.parse(policy))

    @precondition(lambda self: self.world is not None)
    @rule(version=st.integers(1, 4), good=st.booleans())
    def write(self, version, good):
        self.world.write(version, good=good)

    @precondition(lambda self: self.world is not None and len(self.world.versions) > 1)
    @rule(data=st.data())
    def remove(self, data):
        self.world.remove(data.draw(st.sampled_from(sorted(self.world.versions)))[1])

    @precondition(lambda self: self.world is not None)
    @rule(labels=st.dictionaries(st.sampled_from(["stable", "canary"]), st.integers(1, 4)))
    def label(self, labels):
        self.world.label(**labels)

    @precondition(lambda self: self.world is not None)
    @rule(versions=st.none() | st.sets(st.integers(1, 4), min_size=1))
    def name_versions(self, versions):
        policy = None if versions is None else VersionPolicy(named=frozenset(versions))
        self.world.set(ModelSettings(versions=policy))

    @precondition(lambda self: self.world is not None)
    @rule(version=st.none() | st.integers(1, 4))
    def shadow(self, version):
        self.world.set(ModelSettings(shadow=ShadowSettings(version=version, threshold=0.5)))

    @precondition(lambda self: self.world is not None)
    @rule(after_s=st.sampled_from([0.1, SETTLE_S, 5.0]), patient=st.booleans())
    def look(self, after_s, patient):
        before, labels = self.world.served, dict(self.world.labels)
        shadow, answered = self.world.lifecycle.shadow("m"), self.world.lifecycle.default("m")
        did = self.world.look(after_s, patient=patient)
        unloaded = {version for verb, version in did if verb == "unload"}
        on_disk = {version for _, version in self.world.versions}
        # A served version that is neither gone nor unwanted stays; none is unloaded and loaded in one look.
        assert self.world.served >= before - unloaded
        assert not unloaded & {version for verb, version in did if verb in {"load", "failed"}}
        # A model with a good version on disk that its policy allows does not lose its last version by a look.
        allowed = self.world.lifecycle.settings("m").versions
        if before & (on_disk if allowed is None else allowed.choose(on_disk)):
            assert self.world.served
        # The version that answers is not the shadow, and a shadow that stays one does not replace it.
        lifecycle = self.world.lifecycle
        if lifecycle.default("m") and lifecycle.shadow("m"):
            assert lifecycle.default("m")[1] != lifecycle.shadow("m").version
        if answered and lifecycle.shadow("m") == shadow and answered[1] in self.world.served:
            assert lifecycle.default("m")
        # A label that is still set and named what is still there names something still.
        for label in labels.keys() & self.world.lifecycle.settings("m").labels.keys():
            assert label in self.world.labels or labels[label] not in on_disk

    @precondition(lambda self: self.world is not None)
    @rule()
    def at_rest_all_that_can_be_served_is(self):
        """After two looks, some time apart and without a change: exactly the policy's versions and labels."""
        world = self.world
        for _ in range(2):
            world.look(5.0)
        assert world.look(5.0) == []
        wish = world.lifecycle.settings("m")
        good = {v for (_, v), stamp in world.versions.items() if stamp.inode > 0}
        on_disk = {version for _, version in world.versions}
        # Older content may be served where the file went bad.
        servable = good | (world.served & on_disk)
        shadow = {wish.shadow.version} if wish.shadow else set()
        expected = (wish.versions or world.lifecycle._policy).choose(servable - shadow) | (servable & shadow)
        expected |= {v for v in wish.labels.values() if v in servable}
        expected |= {v for v in world.labels.values() if v in on_disk}
        assert world.served == expected
        for label, version in wish.labels.items():
            if version in servable:
                assert world.labels[label] == version

    @invariant()
    def labels_name_what_is_served(self):
        if self.world is not None:
            assert set(self.world.labels.values()) <= self.world.served


TestOperator = Operator.TestCase
TestOperator.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


class Caller(RuleBasedStateMachine):
    """Any requests of callers to an explicit server with two models, in any order, while the disk changes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(explicit=True)
        self.asked: set[str] = set()
        self.times = itertools.count(1)

    @rule(name=NAMES, version=st.integers(1, 3), good=st.booleans())
    def write(self, name, version, good):
        self.world.versions[name, version] = Stamp(1 if good else -1, 1, next(self.times), 0)

    @precondition(lambda self: self.world.versions)
    @rule(data=st.data())
    def remove(self, data):
        del self.world.versions[data.draw(st.sampled_from(sorted(self.world.versions)))]

    @rule(name=NAMES, stable=st.none() | st.integers(1, 3))
    def label(self, name, stable):
        self.world.wishes[name] = ModelSettings(labels={} if stable is None else {"stable": stable})
        self.world.settings[name] = Stamp(1, 1, next(self.times), 0)

    def on_disk(self, name: str) -> dict[int, bool]:
        """Return its versions, each with whether it is good."""
        return {
            version: stamp.inode > 0 for (each, version), stamp in self.world.versions.items() if each == name
        }

    def served(self) -> dict[str, set[int]]:
        return {name: {v for each, v in self.world.lifecycle.served if each == name} for name in ("a", "b")}

    def expected(self, name: str, before: set[int]) -> set[int]:
        """Return what is served after a look at a model: good files, and older content if a file went bad."""
        return {version for version, good in self.on_disk(name).items() if good or version in before}

    @rule(name=NAMES)
    def load(self, name):
        if not self.on_disk(name):  # the server says that there is no such model
            return
        before = self.served()
        did = self.world.load(name)
        self.asked.add(name)
        after = self.served()
        assert after == before | {name: self.expected(name, before[name])}
        # Whatever failed before or just now, is said now.
        bad = {version for version, good in self.on_disk(name).items() if not good}
        assert {version for verb, version in did if verb == "failed"} == bad
        assert {v for each, v in self.world.lifecycle.failures() if each == name} == bad
        stable = self.world.wishes.get(name, ModelSettings()).labels.get("stable")
        if stable in after[name]:
            assert self.world.lifecycle.labels(name) == {"stable": stable}

    @rule(name=NAMES)
    def unload(self, name):
        before = self.served()
        self.world.unload(name)
        self.asked.discard(name)
        assert self.served() == before | {name: set()}
        assert not self.world.lifecycle.knows(name)

    @rule()
    def hang_up(self):
        before = self.served()
        self.world.look(0.0, patient=False)
        went_away = self.world.lifecycle.served and not self.world.versions
        for name, served in self.served().items():
            if name not in self.asked:
                assert not served
            elif not went_away:
                assert served == self.expected(name, before[name])

    @invariant()
    def what_is_served_was_asked_for(self):
        lifecycle = self.world.lifecycle
        assert lifecycle.asked == self.asked
        assert {name for name, _ in lifecycle.served} <= self.asked
        assert {name for name in ("a", "b") if lifecycle.knows(name)} <= self.asked
        assert not lifecycle.is_unsettled()
        now_s = self.world.now_s
        assert lifecycle.to_load(now_s) == lifecycle.to_commit(now_s) == lifecycle.to_read(now_s) == []
        for name in ("a", "b"):
            assert set(lifecycle.labels(name).values()) <= self.served()[name]


TestCaller = Caller.TestCase
TestCaller.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
