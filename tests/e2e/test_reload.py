"""Models change under load, in a real server: no request fails, and the right versions answer."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import grpc
import numpy as np
import pytest
from grpc import aio
from tests.asking import page, samples

from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, Tensor
from tamiz_client import Client
from tamiz_client.errors import ModelNotFound

PREDICT = "/tamiz.v1.PredictionService/Predict"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"


def body(**which: object) -> bytes:
    features = Tensor(name="features", dtype=11, shape=[1, 2], raw=np.array([[0, 3]], "<f4").tobytes())
    return PredictRequest(model_name="m", inputs=[features], **which).SerializeToString()


class Load:
    """Callers who ask without a pause and without retries, until they are told to stop."""

    KINDS: ClassVar = {"": {}, "1": {"model_version": 1}, "stable": {"model_label": "stable"}}

    def __init__(self, target: str, kinds: Iterable[str], *, each: int = 3) -> None:
        self.failures: list[str] = []
        self.seen: Counter[tuple[str, int, float]] = Counter()
        """Answers by kind of question, version and threshold."""
        self.last: dict[str, tuple[int, float]] = {}
        self._channel = aio.insecure_channel(target, options=[("grpc.enable_retries", 0)])
        self._stop = False
        self._callers = [asyncio.ensure_future(self._caller(kind)) for kind in kinds for _ in range(each)]

    async def _caller(self, kind: str) -> None:
        call = self._channel.unary_unary(PREDICT)
        request = body(**self.KINDS[kind])
        while not self._stop:
            try:
                answer = PredictResponse.FromString(await call(request, timeout=60))
            except grpc.RpcError as error:
                self.failures.append(f"{kind or 'any'}: {error.code().name}: {error.details()}")
                await asyncio.sleep(0.01)
                continue
            assert len(answer.accepted) == 1
            self.last[kind] = (answer.model_version, answer.threshold)
            self.seen[kind, *self.last[kind]] += 1

    async def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        until_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until_s, (self.last, self.failures[:3])
            await asyncio.sleep(0.02)

    async def until_answered_by(self, kind: str, version: int, threshold: float = 0.8) -> None:
        await self.until(lambda: self.last.get(kind) == (version, threshold))

    async def finish(self) -> None:
        self._stop = True
        await asyncio.gather(*self._callers)
        await self._channel.close()


@pytest.fixture
def models(tmp_path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def put(make_bundle, models) -> Callable[..., None]:
    """`put(2, threshold=0.9)` moves a version into its place at once, as `mv` and tamiz-convert do."""

    def put_(version: int, graph: str = "softmax", threshold: float = 0.8) -> None:
        new = make_bundle("../staging/1", graph, change=lambda m: setattr(m.threshold, "value", threshold))
        if (models / f"m/{version}").exists():
            new.replace(models / f"m/{version}/model.onnx")
            shutil.rmtree(new.parent)
        else:
            new.parent.rename(models / f"m/{version}")

    return put_


def set_labels(models: Path, text: str) -> None:
    new = models / "m/.settings.toml"
    new.write_text(text)
    new.replace(models / "m/settings.toml")


def sums(server) -> Counter[str]:
    """Return the sum of all samples of each metric."""
    found: Counter[str] = Counter()
    for sample in samples(server):
        found[sample.name] += sample.value
    return found


async def copy_slowly(content: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        for start in range(0, len(content), len(content) // 8):
            file.write(content[start : start + len(content) // 8])
            file.flush()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def under_load(server, kinds: Iterable[str] = Load.KINDS) -> AsyncIterator[Load]:
    load = Load(server.target, kinds)
    yield load
    await load.finish()


@pytest.mark.parametrize("graph", ["softmax", "slow"])
async def test_models_change_under_load_and_no_request_fails(make_bundle, start_server, models, put, graph):
    make_bundle("m/1", graph)
    (models / "m/settings.toml").write_text("[labels]\nstable = 1\n")
    server = start_server("--model-poll-interval-s", "0.1")

    def logged(text: str) -> int:
        return "".join(server.log).count(text)

    async with under_load(server) as load:
        await load.until_answered_by("stable", 1)
        put(2, graph)
        await load.until_answered_by("", 2)
        put(2, graph, threshold=0.9)
        await load.until_answered_by("", 2, 0.9)

        await copy_slowly((models / "m/2/model.onnx").read_bytes(), models / "m/3/model.onnx")
        await load.until_answered_by("", 3, 0.9)
        assert not logged("version 3 is not served")

        (models / "m/3/model.onnx").write_bytes(b"broken")
        await load.until(lambda: logged("version 3: its new file is not served") == 1)
        await asyncio.sleep(0.5)
        assert logged("version 3: its new file is not served") == 1
        assert load.last[""] == (3, 0.9)
        assert await asyncio.to_thread(page, server, "/healthz") == (
            "SERVING\nnot loaded: m/3; the log says why\n"
        )

        set_labels(models, "[labels]\nstable = 3\n")
        await load.until_answered_by("stable", 3, 0.9)
        set_labels(models, "[labels]\nstable = three\n")
        await load.until(lambda: logged("its settings cannot be used") == 1)
        assert load.last["stable"] == (3, 0.9)

        set_labels(models, "[labels]\nstable = 2\n")
        await load.until_answered_by("stable", 2, 0.9)
        shutil.rmtree(models / "m/3")
        await load.until_answered_by("", 2, 0.9)
    assert load.failures == []
    assert {version for kind, version, _ in load.seen if kind == "1"} == {1}
    assert {version for kind, version, _ in load.seen if kind == "stable"} == {1, 2, 3}
    answered = sum(load.seen.values())
    found = sums(server)
    assert answered > 200
    assert found["tamiz_requests_received_total"] == answered
    assert found["tamiz_requests_total"] + found["tamiz_requests_unloaded_total"] == answered
    assert found["tamiz_requests_in_flight"] == 0
    assert found["tamiz_model_served"] == 2
    assert found["tamiz_reload_failed"] == 0
    assert 'version="3"' not in page(server)
    assert server.stop() == 0


async def test_forty_swaps_under_load_lose_no_request(make_bundle, start_server, put):
    make_bundle("m/1")
    put(2, threshold=0.5)
    server = start_server("--model-poll-interval-s", "0", "--version-policy", "latest:2")

    async with under_load(server, ("", "1")) as load:
        for k in range(1, 41):
            put(2, threshold=0.5 + k / 1000)
            server.process.send_signal(signal.SIGHUP)
            await load.until_answered_by("", 2, 0.5 + k / 1000)
    assert load.failures == []
    assert sums(server)["tamiz_model_loads_total"] == 42
    assert server.stop() == 0


def test_the_client_follows_a_label(make_bundle, start_server, models, put):
    make_bundle("m/1")
    make_bundle("m/2")
    (models / "m/settings.toml").write_text("[labels]\nstable = 1\n")
    server = start_server("--model-poll-interval-s", "0")
    with Client(server.target) as client:
        assert client.predict("m", [[0, 3]], version="stable").model_version == 1
        assert client.model("m", "stable").version == 1
        set_labels(models, "[labels]\nstable = 2\n")
        server.process.send_signal(signal.SIGHUP)
        until_s = time.monotonic() + 60
        while client.model("m", "stable").version != 2 and time.monotonic() < until_s:
            time.sleep(0.02)
        assert client.predict("m", [[0, 3]], version="stable").model_version == 2
        with pytest.raises(ModelNotFound, match="no label 'canary' of model 'm'; its labels: stable"):
            client.predict("m", [[0, 3]], version="canary")
    command = [sys.executable, "-m", "tamiz_client", "predict", "m", "--server", server.target]
    done = subprocess.run(
        [*command, "--input", "-", "--version", "stable", "--output", "-"],
        input="a,b\n0,3\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[1].startswith('"yes",'), done
    assert server.stop() == 0


def test_health_of_the_server_a_model_and_a_version_follow_the_disk(make_bundle, start_server, models):
    make_bundle("m/1")
    make_bundle("other/1")
    server = start_server("--model-poll-interval-s", "0.1")
    with grpc.insecure_channel(server.target) as channel:
        check = channel.unary_unary(HEALTH)

        def health(name: str) -> bytes | None:
            try:
                return check(b"\x0a" + bytes([len(name)]) + name.encode(), timeout=60)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
                return None

        for name in ("", "m", "m/1", "tamiz.v1.PredictionService"):
            assert health(name) == SERVING
        shutil.rmtree(models / "m")
        until_s = time.monotonic() + 60
        while health("m") == SERVING and time.monotonic() < until_s:
            time.sleep(0.05)
        assert health("m") is health("m/1") is None
        assert health("other") == SERVING
    assert server.stop() == 0


def test_without_polling_only_a_signal_looks(make_bundle, start_server, put):
    make_bundle("m/1")
    server = start_server("--model-poll-interval-s", "0")
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(PREDICT)

        def version() -> int:
            return PredictResponse.FromString(call(body(), timeout=60)).model_version

        put(2)
        time.sleep(0.5)
        assert version() == 1
        server.process.send_signal(signal.SIGHUP)
        until_s = time.monotonic() + 60
        while version() != 2 and time.monotonic() < until_s:
            time.sleep(0.02)
        assert version() == 2
    assert server.stop() == 0
