"""Models loaded and unloaded through the protocol, with real engines: what is served, said and refused."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests import following
from tests.serving_parts import predict_request

from tamiz.oip.inference import (
    ModelReadyRequest,
    ModelReadyResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
)
from tamiz.v1.prediction_pb2 import PredictResponse
from tamiz_server.engine.shedding import REQUESTS_AHEAD
from tamiz_server.errors import InvalidRequest, ModelFailed, ModelNotFound, NotLoaded, Unavailable
from tamiz_server.repository.lifecycle import Disk
from tamiz_server.repository.repository import load, look

NOT_LOADED, FAILED = "it is not loaded", "it could not be loaded; the server's log says why"


class Server(following.Server):
    """A server whose models are loaded and unloaded through the Open Inference Protocol."""

    def __init__(self, repository: Path, **settings: Any) -> None:
        super().__init__(repository, model_control_mode="explicit", **settings)
        self.oip = self.serving.make_oip(self.reloader)

    async def call(self, method: str, message: Any, answer: Any) -> Any:
        body = await self.oip.methods[method](message.SerializeToString(), math.inf, lambda: ())
        return answer.FromString(body)

    async def load(self, name: str, **fields: Any) -> None:
        request = RepositoryModelLoadRequest(model_name=name, **fields)
        await self.call("RepositoryModelLoad", request, RepositoryModelLoadResponse)

    async def unload(self, name: str, **fields: Any) -> None:
        request = RepositoryModelUnloadRequest(model_name=name, **fields)
        await self.call("RepositoryModelUnload", request, RepositoryModelUnloadResponse)

    async def index(self, **fields: Any) -> dict[str, str]:
        """Return the reason of every version that is listed; it is empty of those that are ready."""
        answer = await self.call("RepositoryIndex", RepositoryIndexRequest(**fields), RepositoryIndexResponse)
        for each in answer.models:
            assert each.state == ("UNAVAILABLE" if each.reason else "READY")
        return {f"{each.name}/{each.version}": each.reason for each in answer.models}

    async def model_ready(self, name: str) -> bool:
        return (await self.call("ModelReady", ModelReadyRequest(name=name), ModelReadyResponse)).ready

    async def ask(self, name: str = "m", version: int = 0) -> PredictResponse:
        return await self.serving.predict(predict_request(3.0, model_name=name, model_version=version))

    def served(self) -> list[str]:
        """Return what is served, after checking that all parts of the server agree."""
        served = self.reloader.served()
        by_service = [f"{each.name}/{each.version}" for each in self.serving.registry.versions()]
        engines = [f"{name}/{version}" for name, version in sorted(self.reloader._publisher.engines)]
        digests = [f"{name}/{version}" for name, version in sorted(self.reloader._in_force)]
        healthy = sorted(name for name, serving in self.health.items() if serving and "/" in name)
        assert served == by_service == engines == digests == healthy
        return served


@pytest.fixture
def models(tmp_path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def running(models) -> Callable[..., AbstractAsyncContextManager[Server]]:
    """`async with running(load_model="*") as server` begins after the server's first look at the disk."""

    @asynccontextmanager
    async def running_(**settings: object) -> AsyncIterator[Server]:
        async with following.running(Server(models, **settings)) as server:
            await server.look()
            yield server

    return running_


async def test_nothing_is_loaded_at_the_start_and_the_server_is_ready(running, make_bundle):
    make_bundle("m/1")
    make_bundle("other/3")

    async with running() as server:
        assert server.served() == []
        assert server.readiness.ready
        assert server.health == {"": True}
        assert await server.index() == {"m/1": NOT_LOADED, "other/3": NOT_LOADED}
        assert await server.index(ready=True) == {}
        assert not await server.model_ready("m")
        with pytest.raises(ModelNotFound, match="no model 'm'; served: none"):
            await server.ask()
        described = await server.call("ServerMetadata", ServerMetadataRequest(), ServerMetadataResponse)
        assert "model_repository" in described.extensions


async def test_a_model_is_served_when_the_call_returns_and_no_more_after_the_other(running, make_bundle):
    for where in ("m/1", "m/2", "other/3"):
        make_bundle(where)

    async with running() as server:
        await server.load("m")
        assert server.served() == ["m/1", "m/2"]
        assert (await server.ask()).model_version == 2
        assert await server.model_ready("m")
        assert await server.index() == {"m/1": "", "m/2": "", "other/3": NOT_LOADED}
        await server.load("other")
        await server.unload("m")
        assert server.served() == ["other/3"]
        assert await server.index() == {"m/1": NOT_LOADED, "m/2": NOT_LOADED, "other/3": ""}
        assert server.health == {
            "": True,
            "m": None,
            "m/1": None,
            "m/2": None,
            "other": True,
            "other/3": True,
        }
        assert 'model="m"' not in server.metrics.text().decode()
        await server.unload("m")  # again: it is so already
        await server.unload("other")
        assert server.served() == []
        assert server.readiness.ready
        assert not server.reloader._leaving
        await server.load("m")
        assert server.served() == ["m/1", "m/2"]


async def test_what_changes_on_disk_waits_until_it_is_asked_for(running, make_bundle, replace, models):
    make_bundle("m/1")
    make_bundle("other/1")

    async with running() as server:
        await server.load("m")
        await server.load("other")
        replace("m/1", 0.9)
        replace("other/1", 0.95)
        make_bundle("m/2")
        await server.load("other")
        assert (await server.ask("other")).threshold == 0.95
        assert (await server.ask()).threshold == 0.8
        await server.load("m")
        assert server.served() == ["m/1", "m/2", "other/1"]
        assert (await server.ask(version=1)).threshold == 0.9
        engine = server.reloader._publisher.engines["m", 1]
        shutil.rmtree(models / "m/2")
        await server.load("m")
        assert server.served() == ["m/1", "other/1"]
        assert server.reloader._publisher.engines["m", 1] is engine, (
            "what has not changed is not loaded again"
        )


async def test_a_look_after_a_signal_is_at_what_is_loaded_and_undoes_no_unload(running, make_bundle):
    for where in ("m/1", "other/1", "third/1"):
        make_bundle(where)

    async with running() as server:
        await server.load("m")
        await server.load("other")
        await server.unload("other")
        make_bundle("m/2")
        make_bundle("other/2")
        await server.look()
        assert server.served() == ["m/1", "m/2"]


async def test_a_load_that_fails_says_why_and_leaves_what_was_served(running, make_bundle, models):
    path = make_bundle("m/1")
    whole = path.read_bytes()

    async with running() as server:
        await server.load("m")
        path.write_bytes(whole[:100])
        make_bundle("m/2")
        for _ in range(2):  # it is tried again, and says it again
            with pytest.raises(NotLoaded, match=r"m/1/model\.onnx.*; served of model 'm': 1, 2"):
                await server.load("m")
        assert server.served() == ["m/1", "m/2"]
        assert (await server.ask(version=1)).threshold == 0.8
        path.write_bytes(whole)
        await server.load("m")
        assert server.reloader._publisher.problems == {}


async def test_a_model_that_fails_leaves_the_others_and_a_server_that_was_ready_stays_ready(
    running, make_bundle
):
    make_bundle("m/1")
    path = make_bundle("broken/1")
    whole = path.read_bytes()
    path.write_bytes(b"no bundle")

    async with running() as server:
        with pytest.raises(NotLoaded, match=r"broken/1/model\.onnx.*; served of model 'broken': nothing"):
            await server.load("broken")
        assert server.readiness.ready
        assert server.health == {"": True, "broken": False, "broken/1": False}
        assert await server.index() == {"broken/1": FAILED, "m/1": NOT_LOADED}
        await server.load("m")
        assert server.served() == ["m/1"]
        await server.unload("broken")
        assert await server.index() == {"broken/1": NOT_LOADED, "m/1": ""}
        path.write_bytes(whole)
        await server.load("broken")
        assert server.served() == ["broken/1", "m/1"]


async def test_a_load_that_failed_for_want_of_memory_is_tried_again_without_a_change(
    running, make_bundle, monkeypatch
):
    make_bundle("m/1")
    n_left = 1

    def short_of_memory(*arguments: Any) -> object:
        nonlocal n_left
        n_left -= 1
        if n_left >= 0:
            raise MemoryError
        return load(*arguments)

    async with running() as server:
        monkeypatch.setattr("tamiz_server.repository.reloader.load", short_of_memory)
        await server.load("m")
        assert n_left < 0, "it was not tried again"
        assert server.served() == ["m/1"]


async def test_settings_with_a_mistake_change_nothing(running, make_bundle, models):
    make_bundle("m/1")
    make_bundle("m/2")

    async with running() as server:
        (models / "m/settings.toml").write_text("[versions]\nserve = 'some'")
        with pytest.raises(NotLoaded, match=r"model 'm' stays as it was: .*serve in \[versions\] is 'some'"):
            await server.load("m")
        assert server.served() == []
        (models / "m/settings.toml").write_text("[versions]\nserve = [1]")
        await server.load("m")
        assert server.served() == ["m/1"]
        (models / "m/settings.toml").write_text("[versions]\nserve = [7]")
        with pytest.raises(
            NotLoaded, match="no version that its settings or --version-policy allow to be served"
        ):
            await server.load("m")


async def test_a_model_that_is_not_there_is_not_found_and_what_is_served_of_it_stays(
    running, make_bundle, models
):
    make_bundle("m/1")
    make_bundle("other/1")

    async with running() as server:
        for name in ("nobody", "", ".", "../models/m", "m/1"):
            for call in (server.load, server.unload):
                with pytest.raises(ModelNotFound, match="in the repository; there are: m, other"):
                    await call(name)
        await server.load("m")
        shutil.rmtree(models / "m")
        with pytest.raises(ModelNotFound, match="no model 'm' in the repository; there are: other"):
            await server.load("m")
        assert server.served() == ["m/1"]
        await server.unload("m")
        assert server.served() == []
        with pytest.raises(ModelNotFound):
            await server.unload("m")


async def test_a_repository_that_cannot_be_read_changes_nothing(running, make_bundle, models):
    make_bundle("m/1")

    async with running() as server:
        await server.load("m")
        models.rename(models.with_name("away"))
        with pytest.raises(NotLoaded, match="cannot be read; what is served stays"):
            await server.load("m")
        await server.look()
        assert server.served() == ["m/1"]
        await server.unload("m")
        assert server.served() == []


async def test_models_do_not_come_with_the_request(running, make_bundle):
    make_bundle("m/1")

    async with running() as server:
        for name in ("config", "file:1/model.onnx"):
            with pytest.raises(
                InvalidRequest, match=f"parameter '{name}' .* come from the server's model repo"
            ):
                await server.load("m", parameters={name: {"bytes_param": b"x"}})
        with pytest.raises(InvalidRequest, match="unknown parameter 'version': expected none"):
            await server.load("m", parameters={"version": {"string_param": "1"}})
        for call in (server.load, server.unload):
            with pytest.raises(ModelNotFound, match="no repository 'else' here"):
                await call("m", repository_name="else")
        assert server.served() == []
        await server.load("m")
        with pytest.raises(InvalidRequest, match="unknown parameter 'now': expected unload_dependents"):
            await server.unload("m", parameters={"now": {"bool_param": True}})
        assert server.served() == ["m/1"]
        await server.unload("m", parameters={"unload_dependents": {"bool_param": True}})
        assert server.served() == []


async def test_what_was_accepted_before_an_unload_is_answered_before_the_call_returns(running, make_bundle):
    make_bundle("m/1", "slow")
    make_bundle("other/1")

    async with running(inline_limit_us=0, max_batch_size=1) as server:
        await server.load("m")
        # Not more: however slow the machine is, so few are never refused for the time that they would wait.
        accepted = [asyncio.ensure_future(server.ask()) for _ in range(REQUESTS_AHEAD)]
        await asyncio.sleep(0)
        unloading = asyncio.ensure_future(server.unload("m"))
        await server.load("other")  # what drains holds up nobody
        assert not unloading.done()
        with pytest.raises(ModelNotFound, match="no model 'm'"):
            await server.ask()
        await unloading
        await asyncio.sleep(0)  # futures tell those who wait in the next turn of the loop
        assert all(each.done() for each in accepted)
        assert len(await asyncio.gather(*accepted)) == REQUESTS_AHEAD
        assert not server.reloader._leaving


async def test_a_load_is_done_to_its_end_when_the_caller_goes_away(running, make_bundle):
    make_bundle("m/1")
    make_bundle("other/1")

    async with running() as server:
        calls = [asyncio.ensure_future(server.load(name)) for name in ("m", "other")]
        await asyncio.sleep(0.001)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(call.cancelled() for call in calls)
        await server.unload("other")  # in its turn: after both
        assert server.served() == ["m/1"]


async def test_a_bug_is_logged_and_the_next_call_is_answered(running, make_bundle, monkeypatch, caplog):
    make_bundle("m/1")

    async with running() as server:
        with monkeypatch.context() as patch:
            patch.setattr(server.reloader._publisher, "serve", lambda *_: 1 / 0)
            with pytest.raises(ModelFailed, match="its log says why"):
                await server.load("m")
        assert "ZeroDivisionError" in caplog.text
        await server.load("m")
        assert server.served() == ["m/1"]


async def test_a_stopping_server_changes_nothing_any_more(running, make_bundle):
    make_bundle("m/1")

    async with running() as server:
        await server.load("m")
        server.readiness.stop()
        for call in (server.load, server.unload):
            with pytest.raises(Unavailable, match="the server is stopping"):
                await call("m")
        assert server.served() == ["m/1"]


async def test_models_that_are_named_are_loaded_at_the_start(running, make_bundle, caplog):
    for where in ("a/1", "b/1", "c/1"):
        make_bundle(where)

    async with running(load_model="a,c,nobody") as server:
        assert server.served() == ["a/1", "c/1"]
        assert "model nobody is not in the repository" in caplog.text
        assert server.health["nobody"] is False
        assert server.readiness.ready

    async with running(load_model="*") as server:
        assert server.served() == ["a/1", "b/1", "c/1"]
        make_bundle("d/1")
        await server.look()
        assert server.served() == ["a/1", "b/1", "c/1"], "all was what was there at the start"


async def test_a_server_that_could_load_nothing_of_what_was_named_is_not_ready_until_it_serves(
    running, make_bundle
):
    make_bundle("m/1")
    make_bundle("broken/1").write_bytes(b"")

    async with running(load_model="broken") as server:
        assert not server.readiness.ready
        assert server.health == {"": False, "broken": False, "broken/1": False}
        with pytest.raises(Unavailable):
            await server.ask()
        await server.load("m")
        assert server.health[""]
        await server.unload("m")
        assert server.health[""], "it was asked to serve nothing"

    async with running(load_model="broken") as server:
        await server.unload("broken")
        assert server.readiness.ready
        assert server.health == {"": True, "broken": None, "broken/1": None}


async def test_all_are_loaded_once_a_repository_that_was_away_at_the_start_is_back(
    running, make_bundle, monkeypatch
):
    make_bundle("m/1")
    disks = [Disk(readable=False)]
    monkeypatch.setattr(
        "tamiz_server.repository.reloader.look", lambda path: disks.pop() if disks else look(path)
    )

    async with running(load_model="*") as server:
        assert server.served() == []
        await server.look()
        assert server.served() == ["m/1"]


async def test_an_unload_waits_for_a_look_that_is_under_way(running, make_bundle, monkeypatch):
    make_bundle("m/1")
    began, go_on = threading.Event(), threading.Event()

    def held_up(*arguments: Any) -> object:
        began.set()
        assert go_on.wait(20)
        return load(*arguments)

    async with running() as server:
        await server.load("m")
        monkeypatch.setattr("tamiz_server.repository.reloader.load", held_up)
        make_bundle("m/2")
        looking = asyncio.ensure_future(server.look())
        await asyncio.to_thread(began.wait, 20)
        unloading = asyncio.ensure_future(server.unload("m"))
        await asyncio.sleep(0.05)
        assert server.served() == ["m/1"]
        go_on.set()
        await asyncio.gather(looking, unloading)
        assert server.served() == []


@pytest.mark.parametrize("seed", range(4))
async def test_calls_and_looks_at_once_leave_a_state_that_agrees_with_the_last_of_each(
    running, make_bundle, replace, models, seed
):
    dice = random.Random(seed)
    names = ("a", "b")
    for name in names:
        make_bundle(f"{name}/1")

    async with running() as server:
        last: dict[str, str] = {}
        calls: list[asyncio.Future[None]] = []
        for k in range(40):
            name = dice.choice(names)
            match dice.choice(["load", "load", "unload", "unload", "look", "write"]):
                case "look":
                    calls.append(asyncio.ensure_future(server.look()))
                case "write":
                    replace(f"{name}/{dice.choice([1, 2])}", 0.5 + k / 1000)
                case what:
                    calls.append(asyncio.ensure_future(getattr(server, what)(name)))
                    last[name] = what
            if dice.random() < 0.3:
                await asyncio.sleep(dice.choice([0, 0.001, 0.01]))
        await asyncio.gather(*calls)
        expected = [
            f"{name}/{version.name}"
            for name in names
            if last.get(name) == "load"
            for version in sorted((models / name).iterdir())
        ]
        assert {each[0] for each in server.served()} == {each[0] for each in expected}
        await server.look()
        assert server.served() == expected
        for each in expected:
            name, version = each.split("/")
            assert (await server.ask(name, int(version))).model_version == int(version)
        assert not server.reloader._leaving
