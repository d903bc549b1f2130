"""Reloading in one process, with real engines: who answers, what is reported, and nothing is left behind."""

from __future__ import annotations

import asyncio
import math
import shutil
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests import following
from tests.serving_parts import predict_request

from tamiz.v1.prediction_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsResponse,
    PredictResponse,
)
from tamiz_server.engine.request import Request
from tamiz_server.errors import InputsChanged, InvalidRequest, ModelFailed, ModelNotFound, Unavailable
from tamiz_server.model.trial import Trial
from tamiz_server.repository import reloader
from tamiz_server.repository.repository import load


class Server(following.Server):
    """A server of which one asks for a prediction of `softmax_graph`, and for its metrics."""

    async def ask(
        self, name: str = "m", *, version: int = 0, label: str = "", inputs_digest: str = ""
    ) -> PredictResponse:
        which = {"model_name": name, "model_version": version, "model_label": label}
        return await self.serving.predict(predict_request(3.0, inputs_digest=inputs_digest, **which))

    def sample(self, name: str, **labels: str) -> float | None:
        """Return the value of a sample, None where there is none."""
        self.metrics.flush()
        for family in text_string_to_metric_families(self.metrics.text().decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    async def settled(self) -> None:
        """Return when all engines that were leaving are closed."""
        while self.reloader._leaving:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
def running(tmp_path) -> Callable[..., AbstractAsyncContextManager[Server]]:
    """`async with running(max_batch_size=1) as server` closes the server's engines at the end."""

    return lambda **settings: following.running(Server(tmp_path / "models", **settings))


def n_threads() -> tuple[int, int]:
    """Return how many threads Python knows, and how many there are."""
    return threading.active_count(), len(list(Path("/proc/self/task").iterdir()))


def write_settings(repository: Path, text: str, name: str = "m") -> None:
    (repository / name / "settings.toml").write_text(text)


async def test_versions_come_change_and_go(running, make_bundle, replace, tmp_path):
    make_bundle("m/1")

    async with running() as server:
        await server.look()
        assert (await server.ask()).model_version == 1
        make_bundle("m/2")
        await server.look()
        assert (await server.ask()).model_version == 2
        replace("m/2", 0.99)
        await server.look()
        assert (await server.ask()).threshold == 0.99
        assert server.sample("tamiz_threshold", model="m", version="2") == 0.99
        shutil.rmtree(tmp_path / "models/m/2")
        await server.look()
        assert (await server.ask()).model_version == 1
        with pytest.raises(ModelNotFound, match="no version 2"):
            await server.ask(version=2)
        assert server.sample("tamiz_model_loads_total", model="m", result="loaded") == 3


async def test_other_inputs_under_the_same_number_are_said_and_shown(running, make_bundle, tmp_path, caplog):
    def columns(*names: str):
        return lambda manifest: manifest.inputs[0].column_names.extend(names)

    path = make_bundle("m/1", change=columns("debt", "income"))
    swapped = "input 'features': column 1 is 'income', was 'debt'"

    async with running() as server:
        await server.look()
        old = server.serving.registry.find("m", 1)
        make_bundle("new/1", change=columns("income", "debt")).replace(path)
        shutil.rmtree(tmp_path / "models/new")
        await server.look()
        new = server.serving.registry.find("m", 1)
        assert old.inputs_digest != new.inputs_digest
        assert new.inputs_changed.startswith(swapped)
        assert caplog.text.count(f"took the place of one with other inputs ({swapped}") == 1
        with pytest.raises(InputsChanged):
            await server.ask(inputs_digest=old.inputs_digest)
        await server.ask(inputs_digest=new.inputs_digest)
        write_settings(tmp_path / "models", "[batching]\nmax_batch_size = 2")
        await server.look()
        assert server.serving.registry.find("m", 1).inputs_changed.startswith(swapped)
        assert caplog.text.count("took the place") == 1


async def test_a_file_that_was_only_touched_is_not_loaded_again(running, make_bundle):
    path = make_bundle("m/1")

    async with running() as server:
        await server.look()
        engine = server.reloader._publisher.engines["m", 1]
        path.touch()
        await server.look()
        assert server.reloader._publisher.engines["m", 1] is engine
        assert server.sample("tamiz_model_loads_total", model="m", result="loaded") == 1


async def test_a_broken_version_leaves_the_old_one_and_is_said_once(running, make_bundle, caplog):
    path = make_bundle("m/1")
    whole = path.read_bytes()

    async with running() as server:
        await server.look()
        path.write_bytes(whole[: len(whole) // 2])
        for _ in range(3):
            await server.look()
        assert (await server.ask()).model_version == 1
        assert server.sample("tamiz_model_loads_total", model="m", result="failed") == 1
        assert server.sample("tamiz_reload_failed", model="m", what="1") == 1
        assert caplog.text.count("m version 1: its new file is not served, the old one stays in use") == 1
        assert server.health == {"": True, "m": True, "m/1": True}
        path.write_bytes(whole)
        await server.look()
        assert server.sample("tamiz_reload_failed", model="m", what="1") is None
        assert server.reloader._publisher.problems == {}


async def test_health_tells_each_version(running, make_bundle, tmp_path):
    make_bundle("m/1")
    make_bundle("m/2").write_bytes(b"")
    make_bundle("broken/1").write_bytes(b"")

    async with running() as server:
        await server.look()
        assert server.health == {
            "": True,
            "m": True,
            "m/1": True,
            "m/2": False,
            "broken": False,
            "broken/1": False,
        }
        shutil.rmtree(tmp_path / "models/broken")
        shutil.rmtree(tmp_path / "models/m/2")
        await server.look()
        assert server.health == {
            "": True,
            "m": True,
            "m/1": True,
            "m/2": None,
            "broken": None,
            "broken/1": None,
        }
        assert server.sample("tamiz_model_loads_total", model="broken", result="failed") is None


async def test_a_request_can_name_a_label_and_an_operator_moves_it(running, make_bundle, tmp_path):
    for version in (1, 2):
        make_bundle(f"m/{version}")

    async with running() as server:
        write_settings(tmp_path / "models", "[labels]\nstable = 1\ncanary = 2")
        await server.look()
        assert (await server.ask(label="stable")).model_version == 1
        assert (await server.ask(label="canary")).model_version == 2
        assert server.sample("tamiz_model_label", model="m", label="stable") == 1
        write_settings(tmp_path / "models", "[labels]\nstable = 2")
        await server.look()
        assert (await server.ask(label="stable")).model_version == 2
        with pytest.raises(ModelNotFound, match="no label 'canary' of model 'm'; its labels: stable"):
            await server.ask(label="canary")
        with pytest.raises(InvalidRequest, match="names version 1 and label 'stable': expected one of them"):
            await server.ask(version=1, label="stable")
        body = GetModelRequest(name="m", model_label="stable").SerializeToString()
        described = GetModelResponse.FromString(await server.serving.v1.get_model(body, math.inf, lambda: ()))
        assert described.version == 2
        listed = ListModelsResponse.FromString(await server.serving.v1.list_models(b"", math.inf, lambda: ()))
        assert dict(listed.models[0].labels) == {"stable": 2}


async def test_bad_settings_leave_the_old_ones_and_are_said_once(running, make_bundle, tmp_path, caplog):
    make_bundle("m/1")

    async with running() as server:
        write_settings(tmp_path / "models", "[labels]\nstable = 1")
        await server.look()
        write_settings(tmp_path / "models", "[labels]\nstable = 'one'")
        for _ in range(3):
            await server.look()
        assert (await server.ask(label="stable")).model_version == 1
        assert server.sample("tamiz_reload_failed", model="m", what="settings") == 1
        assert caplog.text.count("its settings cannot be used") == 1
        assert "expected a version, a positive whole number" in caplog.text
        assert "what is served stays as it was, and all that is new waits until this is mended" in caplog.text
        make_bundle("m/2")
        await server.look()
        assert (await server.ask()).model_version == 1
        write_settings(tmp_path / "models", "[labels]\nstable = 0")
        await server.look()
        assert caplog.text.count("its settings cannot be used") == 2
        assert "stable in [labels] is 0" in caplog.text
        caplog.set_level("INFO")
        write_settings(tmp_path / "models", "")
        await server.look()
        assert server.sample("tamiz_reload_failed", model="m", what="settings") is None
        assert caplog.text.count("model m: its settings could be read again") == 1
        assert (await server.ask()).model_version == 2
        with pytest.raises(ModelNotFound, match="its labels: none"):
            await server.ask(label="stable")


async def test_a_label_of_a_version_that_is_not_there_is_said(running, make_bundle, tmp_path, caplog):
    make_bundle("m/1")
    caplog.set_level("INFO")

    async with running() as server:
        write_settings(tmp_path / "models", "[labels]\nstable = 1\ncanary = 9")
        for _ in range(2):
            await server.look()
        assert caplog.text.count("stable is version 1, canary waits for version 9") == 1


async def test_latest_serves_the_highest_that_can_be_loaded(running, make_bundle):
    for version in (1, 2, 3):
        make_bundle(f"m/{version}")
    make_bundle("m/4").write_bytes(b"")

    async with running(version_policy="latest") as server:
        await server.look()
        assert server.reloader.served() == ["m/3"]


async def test_the_last_model_that_is_removed_leaves_a_server_that_is_not_ready(
    running, make_bundle, tmp_path
):
    make_bundle("m/1")
    make_bundle("other/1")

    async with running() as server:
        await server.look()
        shutil.rmtree(tmp_path / "models/m")
        await server.look()
        with pytest.raises(ModelNotFound, match="served: other"):
            await server.ask()
        assert server.health["m"] is None
        # A repository that is all of a sudden empty is one that went away, and changes nothing.
        shutil.rmtree(tmp_path / "models/other")
        await server.look()
        assert server.serving.readiness.ready


async def test_a_server_that_began_with_nothing_becomes_ready(running, make_bundle, tmp_path):
    (tmp_path / "models").mkdir()

    async with running() as server:
        await server.look()
        with pytest.raises(Unavailable):
            await server.ask()
        make_bundle("m/1")
        await server.look()
        assert (await server.ask()).model_version == 1
        assert server.health[""] is True


async def test_what_an_engine_has_accepted_is_answered_after_it_was_replaced_or_removed(
    running, make_bundle, replace, tmp_path
):
    make_bundle("m/1", "slow")
    make_bundle("other/1")

    async with running(inline_limit_us=0, max_batch_size=1, max_queue_wait_ms=60000) as server:
        await server.look()
        old = [asyncio.ensure_future(server.ask()) for _ in range(60)]
        await asyncio.sleep(0)
        replace("m/1", 0.99)
        await server.look()
        new = await server.ask()
        assert {answer.threshold for answer in await asyncio.gather(*old)} == {0.8}
        assert new.threshold == 0.99
        last = [asyncio.ensure_future(server.ask()) for _ in range(20)]
        await asyncio.sleep(0)
        shutil.rmtree(tmp_path / "models/m")
        await server.look()
        assert {answer.threshold for answer in await asyncio.gather(*last)} == {0.99}
        await server.settled()


async def test_what_takes_the_place_of_a_version_that_rests_does_not_rest(running, make_bundle, tmp_path):
    make_bundle("m/1", "failing")

    async with running(max_failures=1, failure_cooldown_s=60.0) as server:
        await server.look()
        engine = server.registry.find("m", 1).engine
        engine.model._computes_others = lambda _: False  # the model fails, not only these rows
        with pytest.raises(ModelFailed):
            await engine.predict(Request({"row": np.array([[99]])}, 1))
        assert server.sample("tamiz_circuit_open", model="m", version="1") == 1
        shutil.rmtree(tmp_path / "models/m/1")
        make_bundle("m/1")
        await server.look()
        await server.ask()
        assert server.sample("tamiz_circuit_open", model="m", version="1") == 0
        assert not server.registry.find("m", 1).engine.rests


async def test_counts_of_a_version_go_with_it_and_the_sums_stay_right(running, make_bundle, tmp_path):
    make_bundle("m/1", "slow")
    make_bundle("other/1")

    async with running(inline_limit_us=0, max_batch_size=1) as server:
        await server.look()
        await server.ask()
        # So few are never refused for the time that they would wait, however slow the machine is.
        waiting = [asyncio.ensure_future(server.ask()) for _ in range(16)]
        await asyncio.sleep(0)
        shutil.rmtree(tmp_path / "models/m")
        await server.look()
        await asyncio.gather(*waiting)
        await server.ask("other")
        text = server.metrics.text().decode()
        assert 'model="m"' not in text
        assert server.sample("tamiz_requests_received_total") == 18
        assert server.sample("tamiz_requests_total", model="other", version="1", code="OK") == 1
        assert server.sample("tamiz_requests_unloaded_total", code="OK") == 17
        assert server.sample("tamiz_requests_in_flight") == 0
        assert server.metrics.conservation() == (18, 18)


@pytest.mark.parametrize("inline_limit_us", [0, 10_000_000])
async def test_fifty_reloads_leave_nothing_behind(running, replace, inline_limit_us):
    replace("m/1", 0.5)
    replace("other/1", 0.5)

    async with running(inline_limit_us=inline_limit_us, intra_op_threads=2) as server:
        gone, threads = [], []
        for k in range(50):
            replace("m/1", 0.5 + k / 1000)
            await server.look()
            assert (await server.ask()).threshold == 0.5 + k / 1000
            await server.settled()
            gone.append(weakref.ref(server.reloader._publisher.engines["m", 1].model))
            threads.append(n_threads())
        # Without the collector's help: the server freezes what it has loaded.
        assert [model() is None for model in gone] == [True] * 49 + [False]
        # The pool of asyncio.to_thread may still grow by a few; one thread left per reload would make forty.
        grown = [late - early for early, late in zip(max(threads[5:10]), min(threads[-10:]), strict=True)]
        assert max(grown) < 8
        assert len(server.reloader._in_force) == len(server.reloader._publisher.engines) == 2
        assert not server.reloader._staged


async def test_the_process_that_tries_bundles_is_started_once_for_many_loads(
    running, make_bundle, replace, monkeypatch
):
    """Starting it takes far longer than a load: one at a time, loads would take minutes on a busy machine."""
    monkeypatch.setattr(reloader, "_QUIET_S", 60.0)
    make_bundle("m/1")
    pids = set()
    async with running() as server:
        server.reloader._trial = Trial()
        for threshold in (0.6, 0.7, 0.8):
            replace("m/1", threshold)
            await server.look()
            pids.add(server.reloader._trial._process.pid)
        assert len(pids) == 1
        monkeypatch.setattr(reloader, "_QUIET_S", 0.0)
        replace("m/1", 0.9)
        await server.look()
        async with asyncio.timeout(60):
            while server.reloader._trial._process is not None:  # noqa: ASYNC110  another thread ends it
                await asyncio.sleep(0.005)
        assert (await server.ask()).model_version == 1


async def test_a_bug_while_loading_fails_that_version_and_no_other(running, make_bundle, monkeypatch, caplog):
    make_bundle("m/1")
    make_bundle("other/1")
    monkeypatch.setattr("tamiz_server.repository.reloader.load", _load_but_not("other"))

    async with running() as server:
        await server.look()
        assert server.reloader.served() == ["m/1"]
        assert "other version 1 is not served" in caplog.text


def _load_but_not(name: str) -> Callable[..., object]:
    def load_(path: Path, *rest: object) -> object:
        if path.parts[-3] == name:
            raise KeyError
        return load(path, *rest)

    return load_


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "no thread could be started to load it"),
        (MemoryError(), "memory was short"),
    ],
)
async def test_a_shortage_while_loading_passes(running, make_bundle, monkeypatch, caplog, error, said):
    make_bundle("m/1")
    make_bundle("other/1")
    short = True

    def load_(path: Path, *rest: object) -> object:
        if short and path.parts[-3] == "other":
            raise error
        return load(path, *rest)

    monkeypatch.setattr("tamiz_server.repository.reloader.load", load_)
    async with running() as server:
        await server.look()
        assert server.reloader.served() == ["m/1"]
        assert said in caplog.text
        assert "is tried again in" in caplog.text
        assert "bug" not in caplog.text
        short = False
        server.reloader.nudge()
        await server.look()
        assert server.reloader.served() == ["m/1", "other/1"]
