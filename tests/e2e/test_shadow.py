"""A shadow in a real server, under load: no request knows of it, and every row that it was to see is
accounted for.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import promql_parser
import pytest
from grpc import aio
from tests.asking import page, samples

from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, Tensor
from tamiz_client import Client, RetryPolicy

PREDICT = "/tamiz.v1.PredictionService/Predict"
DOCUMENT = (Path(__file__).parents[2] / "docs/reload.md").read_text()
ROWS = np.array([[0, 3], [0, 1]], "<f4")
EVERY_LOOK = ("--model-poll-interval-s", "0.1")


def body() -> bytes:
    features = Tensor(name="features", dtype=11, shape=[2, 2], raw=ROWS.tobytes())
    return PredictRequest(model_name="m", inputs=[features]).SerializeToString()


def counts(server) -> Counter[str]:
    """Return the sums of the shadow's counters, by the last part of their names, and of its reasons and
    outcomes.
    """
    found: Counter[str] = Counter()
    for sample in samples(server):
        if match := re.fullmatch(r"tamiz_shadow_rows_(\w+)_total", sample.name):
            found[match[1]] += int(sample.value)
            found[sample.labels.get("reason", sample.labels.get("accepted_by", ""))] += int(sample.value)
    return found


def decided(server, within_s: float = 30.0) -> Counter[str]:
    """Return the counts once nothing waits for the shadow any more."""
    until_s = time.monotonic() + within_s
    while True:
        found = counts(server)
        if found["received"] == found["compared"] + found["dropped"]:
            return found
        assert time.monotonic() < until_s, found
        time.sleep(0.05)


class Load:
    """Callers that ask without a pause and without retries; each answer must come from version 1."""

    def __init__(self, target: str, n_callers: int = 6) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._channel = aio.insecure_channel(target, options=[("grpc.enable_retries", 0)])
        self._stop = False
        self._callers = [asyncio.ensure_future(self._caller()) for _ in range(n_callers)]

    async def _caller(self) -> None:
        call = self._channel.unary_unary(PREDICT)
        while not self._stop:
            try:
                answer = PredictResponse.FromString(await call(body(), timeout=60))
            except grpc.RpcError as error:
                self.failures.append(f"{error.code().name}: {error.details()}")
                await asyncio.sleep(0.01)
                continue
            self.answered += 1
            if (answer.model_version, *answer.accepted) != (1, True, False):
                self.failures.append(str(answer))

    async def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        until_s = time.monotonic() + within_s
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < until_s, self.failures[:3]
            await asyncio.sleep(0.02)

    async def finish(self) -> None:
        self._stop = True
        await asyncio.gather(*self._callers)
        await self._channel.close()


@asynccontextmanager
async def under_load(server) -> AsyncIterator[Load]:
    load = Load(server.target)
    try:
        yield load
    finally:
        await load.finish()


@pytest.fixture
def set_shadow(tmp_path) -> Callable[[str], None]:
    """`set_shadow("version = 2")` puts settings in place; version 1 is the only one that the policy names."""

    def set_(text: str) -> None:
        new = tmp_path / "models/m/.settings.toml"
        new.write_text(f"[versions]\nserve = [1]\n[shadow]\n{text}\n")
        new.replace(tmp_path / "models/m/settings.toml")

    return set_


async def test_shadows_come_change_and_go_under_load_and_their_rows_add_up(
    make_bundle, start_server, set_shadow, tmp_path
):
    make_bundle("m/1")
    set_shadow("version = 2")
    server = start_server(*EVERY_LOOK)
    ended = re.compile(r"its shadow has ended \((.*)\): (\d+) rows received, (\d+) compared, (\d+) dropped")

    def logged() -> list[tuple[str, ...]]:
        return ended.findall("".join(server.log))

    async with under_load(server) as load:
        await load.until(lambda: load.answered > 50)
        new = make_bundle("../staging/1", change=lambda m: setattr(m.threshold, "value", 0.5))
        new.parent.rename(tmp_path / "models/m/2")
        await load.until(lambda: counts(server)["shadow"] > 200)
        for k, text in enumerate(
            ("version = 2\nthreshold = 0.99", "threshold = 0.7\nshare = 0.5", "version = 2")
        ):
            set_shadow(text)
            await load.until(lambda k=k: len(logged()) == k + 1)
            await load.until(lambda: counts(server)["compared"] > 200)
    assert load.failures == []
    last = decided(server)
    assert last["dropped"] == last["stopped"] == 0
    # Where the shadow's threshold is 0.5, it accepts the second row of every request besides; where it is
    # 0.99, none.
    assert last["both"] == last["shadow"] == last["received"] // 2
    assert [what.partition(",")[0] for what, *_ in logged()] == [
        "version 2 with its own threshold",
        "version 2 with threshold 0.99",
        "the version that answers with threshold 0.7",
    ]
    for _, received, compared, dropped in logged():
        assert int(received) == int(compared) + int(dropped)
        assert int(compared) > 200
    received = last["received"] + sum(int(received) for _, received, *_ in logged())
    assert received < 2 * load.answered
    assert f"tamiz_requests_received_total {load.answered}.0" in page(server)
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)


async def test_all_rows_are_received_when_the_shadow_sees_all_requests(make_bundle, start_server, set_shadow):
    make_bundle("m/1")
    make_bundle("m/2")
    set_shadow("version = 2")
    server = start_server()
    async with under_load(server) as load:
        await load.until(lambda: load.answered > 500)
    assert load.failures == []
    found = decided(server)
    assert found["received"] == found["compared"] == 2 * load.answered
    assert found["both"] == found["neither"] == load.answered
    assert server.stop() == 0


async def test_a_slow_shadow_drops_rows_and_delays_no_answer_and_no_stop(
    make_bundle, start_server, set_shadow
):
    make_bundle("m/1")
    make_bundle("m/2", "slow")
    set_shadow("version = 2")
    server = start_server("--max-queue-size", "64", "--max-batch-size", "4")
    async with under_load(server) as load:
        await load.until(lambda: counts(server)["queue_full"] > 200)
    assert load.failures == []
    found = decided(server)
    assert found["compared"] > 0
    async with under_load(server) as load:
        await load.until(lambda: load.answered > 100)
    started_s = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started_s < 20
    assert "Traceback" not in "".join(server.log)
    assert re.search(r"stopped: (\d+) requests received, \1 answered", "".join(server.log))


def test_a_shadow_that_fails_on_rows_leaves_live_answers_alone(
    make_bundle, start_server, tmp_path, set_shadow
):
    # Of the live version, all rows are good; of the shadow, those above 3 make onnxruntime fail.
    make_bundle("m/1", "lenient")
    make_bundle("m/2", "failing")
    set_shadow("version = 2")
    server = start_server("--max-failures", "5")
    n_asked = 20
    with Client(server.target, retry=RetryPolicy(max_attempts=1)) as client:
        for _ in range(n_asked):
            assert client.predict("m", {"row": np.array([[50]])}).model_version == 1
            assert client.health("m")
    found = decided(server)
    assert found["received"] == found["dropped"] == found["failed"] == n_asked
    assert 'tamiz_shadow_circuit_open{model="m",shadow="2"} 0.0' in page(server)
    assert f'tamiz_requests_total{{code="OK",model="m",version="1"}} {n_asked}.0' in page(server)
    assert server.stop() == 0


def test_the_documents_name_metrics_and_labels_that_are_there(make_bundle, start_server, set_shadow):
    make_bundle("m/1")
    make_bundle("m/2")
    set_shadow("version = 2\nthreshold = 0.7")
    server = start_server()
    with Client(server.target) as client:
        client.predict("m", ROWS)
    decided(server)
    labels_of = {}
    for sample in samples(server):
        labels_of.setdefault(sample.name, []).append(sample.labels)
    (block,) = re.findall(r"```promql\n(.*?)```", DOCUMENT, re.DOTALL)
    queries = [query for query in block.split("\n\n") if promql_parser.parse(query)]
    assert len(queries) >= 6
    for query in queries:
        for name, matchers in re.findall(r"(tamiz_shadow_\w+)(?:\{(.*?)\})?", query):
            have = labels_of[name]
            for label, operator, value in re.findall(r'(\w+)(=~|=)"(.*?)"', matchers):
                pattern = value if operator == "=~" else re.escape(value)
                have = [labels for labels in have if re.fullmatch(pattern, labels[label])]
            assert have, query
    assert set(re.findall(r"tamiz_shadow_\w+", DOCUMENT)) == {
        name for name in labels_of if name.startswith("tamiz_shadow") and not name.endswith(("bucket",))
    }
    assert server.stop() == 0
