"""A shadow in one process, with real engines: what it counts, what it drops; no answer depends on it."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests import following
from tests.serving_parts import predict_request

from tamiz.v1.manifest_pb2 import DataType
from tamiz.v1.prediction_pb2 import PredictRequest, PredictResponse, Tensor
from tamiz_server.errors import ModelFailed, ModelNotFound, QueueFull

MARGINS = (4.0, 2.0, 1.0, 0.5)
"""Confidences of 0.98, 0.88, 0.73, 0.62; the bundles' threshold is 0.8."""


class Server(following.Server):
    """A server of which one sets the shadow, and asks what it has counted."""

    async def set(self, text: str) -> None:
        new = self.repository / "m/.settings.toml"
        new.write_text(text)
        new.replace(self.repository / "m/settings.toml")
        await self.look()

    async def ask(self, *margins: float, **fields: object) -> PredictResponse:
        return await self.serving.predict(predict_request(*margins or MARGINS, **fields))

    async def ask_row(self, number: int = 0) -> PredictResponse:
        row = Tensor(name="row", dtype=DataType.DATA_TYPE_INT64, shape=[1, 1], raw=np.int64(number).tobytes())
        body = PredictRequest(model_name="m", inputs=[row]).SerializeToString()
        return await self.serving.predict(body)

    def counts(self, version: str = "1", shadow: str = "2") -> dict[str, int]:
        """Return the counts above 0 from the metrics: received, compared by outcome, dropped by reason."""
        self.metrics.flush()
        found = {}
        for family in text_string_to_metric_families(self.metrics.text().decode()):
            for sample in family.samples:
                labels = dict(sample.labels)
                if not sample.name.startswith("tamiz_shadow_rows") or labels.pop("model") != "m":
                    continue
                if (labels.pop("version"), labels.pop("shadow")) == (version, shadow) and sample.value:
                    found["/".join(filter(None, labels.values())) or "received"] = int(sample.value)
        return found

    async def decided(self, **which: str) -> dict[str, int]:
        """Return the counts once nothing waits for the shadow any more."""
        while True:
            counts = self.counts(**which)
            received = counts.get("received", 0)
            if 2 * received == sum(counts.values()):
                return counts
            await asyncio.sleep(0.005)

    async def ended(self) -> None:
        """Return when nothing that left computes any more."""
        while self.reloader._publisher._shadows._ending or self.reloader._leaving:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
def running(tmp_path) -> Callable[..., AbstractAsyncContextManager[Server]]:
    """`async with running(max_batch_size=4) as server` ends the server's shadows and engines at the end."""

    return lambda **settings: following.running(Server(tmp_path / "models", **settings))


def with_threshold(value: float):
    return lambda manifest: setattr(manifest.threshold, "value", value)


async def test_another_threshold_is_compared_without_an_engine(running, make_bundle):
    make_bundle("m/1")

    async with running() as server:
        await server.set("[shadow]\nthreshold = 0.7")
        n_threads = threading.active_count()
        answer = await server.ask()
        assert list(answer.accepted) == [True, True, False, False]
        assert await server.decided(shadow="1") == {"received": 4, "both/same": 2, "shadow": 1, "neither": 1}
        assert server.metrics.shadows["m"].engine is None
        assert threading.active_count() <= n_threads
        # A request may be stricter, for the shadow as for the live version.
        await server.ask(threshold=0.9)
        assert await server.decided(shadow="1") == {
            "received": 8,
            "both/same": 3,
            "shadow": 1,
            "neither": 4,
        }


async def test_another_version_is_computed_and_compared_row_by_row(running, make_bundle):
    make_bundle("m/1")
    make_bundle("m/2", change=with_threshold(0.95))

    async with running() as server:
        await server.set("[shadow]\nversion = 2")
        answer = await server.ask(return_probabilities=True)
        assert answer.model_version == 1
        assert list(answer.accepted) == [True, True, False, False]
        assert await server.decided() == {"received": 4, "both/same": 1, "live": 1, "neither": 2}
        assert server.metrics.shadows["m"].engine.inference_duration.totals()[0] == 1
        # What the shadow computes is not counted as if it had been asked.
        assert server.registry.find("m", 2).engine.metrics.rows.total() == 0
        assert server.health["m"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"received": 4, "both/other": 2, "neither": 2}),
        ("threshold = 0.7", {"received": 4, "both/other": 2, "shadow": 1, "neither": 1}),
        ("threshold = 1", {"received": 4, "live": 2, "neither": 2}),
    ],
)
async def test_labels_are_compared_by_name_and_a_threshold_takes_the_versions_place(
    running, make_bundle, text, expected
):
    make_bundle("m/1")

    def turned(manifest):
        manifest.classes.strings[:] = ["yes", "no"]

    make_bundle("m/2", change=turned)

    async with running() as server:
        await server.set(f"[shadow]\nversion = 2\n{text}")
        await server.ask()
        assert await server.decided() == expected


async def test_thresholds_by_class_are_the_shadows_own(running, make_bundle, by_class):
    make_bundle("m/1")
    make_bundle("m/2", change=by_class)

    async with running() as server:
        await server.reloader.look(patient=False)
        own = await server.ask(4.0, 2.0, 1.0, -4.0, -2.0, -1.0)
        assert own.model_version == 2
        await server.set("[shadow]\nversion = 2")
        live = await server.ask(4.0, 2.0, 1.0, -4.0, -2.0, -1.0)
        assert live.model_version == 1
        counts = await server.decided()
        both = [a and b for a, b in zip(live.accepted, own.accepted, strict=True)]
        assert counts.get("both/same", 0) == sum(both)
        assert counts.get("live", 0) == sum(live.accepted) - sum(both)
        assert counts.get("shadow", 0) == sum(own.accepted) - sum(both)


async def test_it_answers_those_who_name_it_and_is_not_compared_with_itself(running, make_bundle):
    make_bundle("m/1")
    make_bundle("m/2")

    async with running() as server:
        await server.set("[labels]\ncanary = 2\n[shadow]\nversion = 2")
        assert (await server.ask()).model_version == 1
        assert (await server.ask(model_version=2)).model_version == 2
        assert (await server.ask(model_label="canary")).model_version == 2
        assert (await server.decided())["received"] == 4
        assert server.counts(version="2") == {}
        await server.set("")
        assert (await server.ask()).model_version == 2


async def test_a_model_that_is_only_a_shadow_answers_nobody(running, make_bundle):
    make_bundle("m/2")

    async with running() as server:
        await server.set("[shadow]\nversion = 2")
        with pytest.raises(ModelNotFound, match="2 is its shadow, and no other is served"):
            await server.ask()
        assert server.health["m"] is False
        assert server.health["m/2"] is True
        make_bundle("m/1")
        await server.reloader.look(patient=False)
        assert (await server.ask()).model_version == 1
        assert server.health["m"] is True


async def test_a_share_is_a_seeded_sample_of_the_requests(running, make_bundle):
    make_bundle("m/1")

    async with running() as server:
        await server.set("[shadow]\nthreshold = 0.7\nshare = 0.3")
        for _ in range(200):
            await server.ask(4.0, 2.0)
        draw = random.Random(0)
        expected = 2 * sum(draw.random() < 0.3 for _ in range(200))
        assert (await server.decided(shadow="1"))["received"] == expected
        assert 60 < expected < 180


async def test_rows_of_other_inputs_are_dropped_and_it_is_said_once(running, make_bundle, caplog):
    make_bundle("m/1")
    make_bundle("m/2", "failing")

    async with running() as server:
        await server.set("[shadow]\nversion = 2")
        for _ in range(3):
            assert list((await server.ask()).accepted) == [True, True, False, False]
        assert await server.decided() == {"received": 12, "inputs_differ": 12}
        await server.reloader.look(patient=False)
    assert caplog.text.count("reads other inputs than version 1 (input 'features' is gone; input 'row'") == 1


def with_columns(*names: str):
    return lambda manifest: manifest.inputs[0].column_names.extend(names)


@pytest.mark.parametrize(
    ("live", "shadow", "said"),
    [
        (("a", "b"), ("b", "a"), "input 'features': column 1 is 'b', was 'a'"),
        (("a", "b"), ("a", "c"), "input 'features': column 2 is 'c', was 'b'"),
        (("a", "b"), (), "column 1 is none, was 'a'"),
        ((), ("a", "b"), "column 1 is 'a', was none"),
        (("a", "b"), ("a", "b"), None),
    ],
)
async def test_it_sees_only_rows_whose_columns_mean_the_same(
    running, make_bundle, caplog, live, shadow, said
):
    make_bundle("m/1", change=with_columns(*live))
    make_bundle("m/2", change=with_columns(*shadow))

    async with running() as server:
        await server.set("[shadow]\nversion = 2")
        for _ in range(2):
            await server.ask()
        counts = await server.decided()
    assert counts.get("inputs_differ", 0) == (8 if said else 0)
    assert (said or "") in caplog.text
    assert caplog.text.count("reads other inputs") == (1 if said else 0)


async def test_a_shadow_that_fails_rests_and_only_its_own_rows_are_dropped(running, make_bundle, caplog):
    make_bundle("m/1", "failing")
    make_bundle("m/2", "failing")

    async with running(max_failures=3, failure_cooldown_s=600) as server:
        await server.set("[shadow]\nversion = 2")
        engine = server.reloader._publisher._shadows._shadows["m"]._engine
        run_ = engine.model.run

        def fail(*_):
            raise ModelFailed("on purpose")

        engine.model.run = fail
        for _ in range(3):
            assert (await server.ask_row()).accepted == [True]
            await server.decided()
        assert server.counts() == {"received": 3, "failed": 3}
        assert server.metrics.shadows["m"].engine.circuit_open
        for _ in range(5):
            assert (await server.ask_row()).accepted == [True]
        assert await server.decided() == {"received": 8, "failed": 3, "resting": 5}
        assert not server.registry.find("m", 1).engine.metrics.circuit_open
        assert server.health["m"] is True
        engine.model.run = run_
        engine._circuit._refuses_until_s = 0.0  # the cool-down is over
        await server.ask_row()
        assert (await server.decided())["both/same"] == 1
        assert not server.metrics.shadows["m"].engine.circuit_open
    assert (
        "model m version 2 as shadow failed on 3 batches in a row: rows are dropped, and some are"
        in caplog.text
    )
    assert "requests" not in "".join(line for line in caplog.messages if "as shadow" in line)


async def test_what_finds_no_room_is_dropped(running, make_bundle):
    make_bundle("m/1")
    make_bundle("m/2", "slow")

    async with running(max_queue_size=16, max_batch_size=4) as server:
        await server.set("[shadow]\nversion = 2")
        for _ in range(100):
            await server.ask()
        counts = await server.decided()
        assert counts["received"] == 400
        assert counts["queue_full"] > 0
        assert counts["both/same"] > 0


async def test_what_waits_for_the_shadow_is_limited_in_bytes_too(running, make_bundle):
    make_bundle("m/1")
    make_bundle("m/2", "slow")

    async with running(max_queue_bytes=300, max_batch_size=4) as server:
        await server.set("[shadow]\nversion = 2")
        for _ in range(100):
            await server.ask()
        counts = await server.decided()
        assert counts["queue_full"] > 0
        assert counts["both/same"] > 0


async def test_while_the_live_queue_holds_half_a_burst_nothing_is_shown(running, make_bundle):
    make_bundle("m/1")
    make_bundle("m/2")

    async with running(max_queue_size=3200, max_batch_size=4) as server:
        await server.set("[shadow]\nversion = 2")
        live = server.registry.find("m", 1).engine
        answered = await asyncio.gather(*(server.ask() for _ in range(100)))
        assert len(answered) == 100
        counts = await server.decided()
        assert counts["received"] == 400
        assert counts["live_busy"] > 0
        assert live.metrics.rows.total() == 400


async def test_while_live_requests_are_refused_nothing_is_shown(running, make_bundle, monkeypatch):
    monkeypatch.setattr("tamiz_server.engine.shedding.CALM_AFTER_S", 600.0)
    make_bundle("m/1")
    make_bundle("m/2")

    async with running(max_batch_size=1, max_queue_size=1000) as server:
        await server.set("[shadow]\nversion = 2")
        answers = await asyncio.gather(*(server.ask(1.0) for _ in range(400)), return_exceptions=True)
        refused = sum(isinstance(each, QueueFull) for each in answers)
        assert 0 < refused < 400
        await server.ask(1.0)
        counts = await server.decided()
        assert counts == {"received": 401 - refused, "live_busy": 401 - refused}


async def test_a_shadow_that_computes_on_and_on_does_not_hold_up_the_stop_of_the_server(running, make_bundle):
    make_bundle("m/1")
    make_bundle("m/2")
    computing, may_end = threading.Event(), threading.Event()

    async with running() as server:
        await server.set("[shadow]\nversion = 2")
        model = server.reloader._publisher._shadows._shadows["m"].model
        run_ = model.run

        def hang(*arguments):
            computing.set()
            assert may_end.wait(60)
            return run_(*arguments)

        model.run = hang
        await server.ask()
        await asyncio.to_thread(computing.wait, 30)
        try:
            await asyncio.wait_for(server.reloader.end_shadows(), 20)
        finally:
            may_end.set()


async def test_it_follows_its_version_and_leaves_nothing_behind(running, make_bundle, tmp_path):
    make_bundle("m/1")
    make_bundle("m/2")

    async with running() as server:
        await server.set("[shadow]\nversion = 2")
        await server.ask()
        await server.decided()
        first = weakref.ref(server.reloader._publisher._shadows._shadows["m"]._engine)
        new = make_bundle("../staging/1", change=with_threshold(0.95))
        new.replace(tmp_path / "models/m/2/model.onnx")
        await server.reloader.look(patient=False)
        await server.ask()
        # The counts of the same version go on.
        assert await server.decided() == {"received": 8, "both/same": 3, "live": 1, "neither": 4}
        n_threads = threading.active_count()
        shutil.rmtree(tmp_path / "models/m/2")
        await server.reloader.look(patient=False)
        await server.ask()
        assert server.counts() == {}
        assert "shadow" not in "".join(
            line for line in server.metrics.text().decode().splitlines() if not line.startswith("#")
        )
        await server.ended()
        await asyncio.sleep(0.05)
        gc.collect()
        assert first() is None
        assert threading.active_count() < n_threads
        make_bundle("m/2")
        await server.reloader.look(patient=False)
        await server.ask()
        assert await server.decided() == {"received": 4, "both/same": 2, "neither": 2}


async def test_what_waits_when_it_ends_is_dropped_and_the_log_says_how_many(running, make_bundle, caplog):
    caplog.set_level("INFO")
    make_bundle("m/1")
    make_bundle("m/2", "slow")

    async with running(max_batch_size=4) as server:
        await server.set("[shadow]\nversion = 2")
        metrics = server.metrics.shadows["m"]
        for _ in range(50):
            await server.ask()
        await server.set("")
        await server.ask()
        await server.ended()
        received, compared, dropped = metrics.totals()
        assert (received, compared + dropped) == (200, 200)
        assert metrics.pairs[1].dropped["stopped"] > 0
        assert f"200 rows received, {compared} compared, {dropped} dropped" in caplog.text


async def test_a_bug_in_the_shadow_costs_no_answer(running, make_bundle, monkeypatch, caplog):
    make_bundle("m/1")

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("tamiz_server.serving.shadow.compare_threshold", broken)

    async with running() as server:
        await server.set("[shadow]\nthreshold = 0.7")
        assert list((await server.ask()).accepted) == [True, True, False, False]
        assert await server.decided(shadow="1") == {"received": 4, "failed": 4}
    assert "this is a bug" in caplog.text
