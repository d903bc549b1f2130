"""Thousands of histories of operators, callers and bad luck: what answers is always what may answer.

Each history is a list of events, drawn from a seed. If one goes wrong, it is shrunk: events are left out as
long as it still does, and the rest is printed. To see it again: `misfit(history(seed))`.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.simulation.histories import history
from tests.simulation.world import World, misfit, shrunk

from tamiz_server.engine.batching import BatchQueue
from tamiz_server.engine.circuit import Circuit
from tamiz_server.engine.shedding import Shedding
from tamiz_server.repository import lifecycle, repository
from tamiz_server.repository.lifecycle import Lifecycle
from tamiz_server.serving.served import Registry, Served

N_HISTORIES = 500
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_each_answer_comes_from_a_version_that_may_answer_with_the_columns_meant(part, pytestconfig):
    every = 20 if pytestconfig.getoption("quick") else 1
    for seed in range(part, N_HISTORIES * PARTS, PARTS * every):
        events = history(seed)
        if misfit(events):
            least = shrunk(events)
            pytest.fail("\n".join([f"history({seed}): {misfit(least)}", *map(str, least)]))


def test_the_histories_have_all_kinds_of_ends():
    """Without this, a simulation in which nothing happens would pass."""
    ends: Counter[str] = Counter()
    for seed in range(60):
        world = World()
        world.run(history(seed))
        ends.update(end for ask in world.asks for end in ask.ends)
    assert ends.keys() == {
        "OK",
        "DEADLINE_EXCEEDED",
        "INTERNAL",
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
    }
    assert ends["OK"] > 300


# Each takes one mending out; the simulation has to notice.


def transient_is_final(patch):
    failed = Lifecycle.failed

    def for_good(*given, may_pass=False):
        failed(*given)

    patch.setattr(Lifecycle, "failed", for_good)


def removals_do_not_settle(patch):
    see = lifecycle._Model.see

    def at_once(self, folder, now_s, *, patient):
        gone = self.folder.versions.keys() - folder.versions.keys()
        see(self, folder, now_s, patient=patient and not gone)

    patch.setattr(lifecycle._Model, "see", at_once)


def nothing_settles(patch):
    patch.setattr(lifecycle, "SETTLE_S", 0.0)


def settings_come_in_force_when_they_are_read(patch):
    settings_read = Lifecycle.settings_read

    def at_once(self, name, settings):
        settings_read(self, name, settings)
        self._models[name].settings = settings

    patch.setattr(Lifecycle, "settings_read", at_once)


def settings_settle_after_bundles(patch):
    see = lifecycle._Model.see

    def bundles_first(self, folder, now_s, *, patient):
        see(self, folder, now_s, patient=patient)
        self.folder = lifecycle._Folder(folder.versions, self.folder.settings)
        self.failures = {v: self.failures.get(v, lifecycle._Failures()) for v in folder.versions}

    patch.setattr(lifecycle._Model, "see", bundles_first)


def a_mistake_in_settings_holds_nothing_back(patch):
    settings_failed = Lifecycle.settings_failed

    def go_on(self, name, now_s, *, may_pass=False):
        settings_failed(self, name, now_s, may_pass=may_pass)
        self._models[name].read = self._models[name].folder.settings

    patch.setattr(Lifecycle, "settings_failed", go_on)


def hidden_folders_are_models(patch):
    patch.setattr(repository, "_no_model", {}.get)


def columns_are_not_compared(patch):
    patch.setattr(Served, "require_inputs", lambda *_: None)


def the_shadow_is_not_passed_over(patch):
    patch.setattr(Registry, "set_shadow", lambda *_: None)


def expired_requests_are_kept(patch):
    patch.setattr(BatchQueue, "expire", lambda *_: [])


def the_queue_has_no_end(patch):
    patch.setattr(BatchQueue, "_require_room", lambda *_: None)
    patch.setattr(Shedding, "refuses", lambda *_: False)


def an_empty_queue_is_full(patch):
    patch.setattr(BatchQueue, "drop", lambda self, request: setattr(request, "dropped", True) or True)


def a_success_does_not_close_the_circuit(patch):
    patch.setattr(Circuit, "succeeded", lambda _: None)


def one_failure_opens_the_circuit(patch):
    failed = Circuit.failed

    def hastily(self, now_s):
        self._failures = self._max_failures
        failed(self, now_s)

    patch.setattr(Circuit, "failed", hastily)


MENDINGS = (
    transient_is_final,
    removals_do_not_settle,
    nothing_settles,
    settings_come_in_force_when_they_are_read,
    settings_settle_after_bundles,
    a_mistake_in_settings_holds_nothing_back,
    hidden_folders_are_models,
    columns_are_not_compared,
    the_shadow_is_not_passed_over,
    expired_requests_are_kept,
    the_queue_has_no_end,
    an_empty_queue_is_full,
    a_success_does_not_close_the_circuit,
    one_failure_opens_the_circuit,
)


@pytest.mark.parametrize("take_out", MENDINGS, ids=lambda mending: mending.__name__)
def test_the_simulation_notices_when_a_mending_is_taken_out(take_out, monkeypatch):
    take_out(monkeypatch)
    events = next((events for events in map(history, range(200)) if misfit(events)), None)
    assert events is not None, "nothing went wrong in 200 histories"
    least = shrunk(events)
    assert misfit(least)
    assert len(least) <= 8
