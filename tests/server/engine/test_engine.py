"""The engine on a real event loop with real models: who is answered, who is not, and with what."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamiz.gate import NO_CLASS
from tamiz.v1.prediction_pb2 import Reason
from tamiz_server.config.config import Config
from tamiz_server.engine import engine as engine_module
from tamiz_server.engine.engine import Engine
from tamiz_server.engine.request import Request
from tamiz_server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelFailed,
    QueueFull,
    RowsFailed,
    Unavailable,
)
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.model import Model
from tamiz_server.telemetry.model_metrics import ModelMetrics


@pytest.fixture
def make_engine(make_bundle, tmp_path):
    """Makes an engine in the running loop; `in_thread` forces the model out of the loop."""

    def make(
        graph: str = "softmax",
        *,
        in_thread: bool = False,
        max_run_s: float = 0.0,
        on_rest: Callable[[Engine, bool], None] | None = None,
        **settings_: object,
    ) -> Engine:
        given = {"inline_limit_us": 0 if in_thread else 10_000_000, "allow_looser_thresholds": True}
        config = Config(model_repository=tmp_path, **(given | settings_))
        path = tmp_path / "models/m/1/model.onnx"
        path = path if path.exists() else make_bundle("m/1", graph)
        model = Model(
            read_bundle(path),
            max_batch_size=config.max_batch_size,
            n_threads=1,
            cpus=1,
            slow_above_s=9.0,
            max_run_s=max_run_s,
        )
        return Engine(model, ModelMetrics("m", 1, model.manifest), config, on_rest=on_rest)

    return make


def features(*margins: float) -> dict[str, np.ndarray]:
    """Rows whose second class leads by a margin of its log-odds."""
    return {"features": np.array([[0.0, margin] for margin in margins], dtype=np.float32)}


NEVER_US = 2_000_000_000
"""A delay after which no test looks: a batch begins when it is full, and however slow the machine is."""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what changes is a plain list
            await asyncio.sleep(0.01)


def request(*margins: float, **options: Any) -> Request:
    return Request(features(*margins), len(margins), **options)


def failing_request(*rows: int, **options: Any) -> Request:
    """For `failing_graph`: rows 0 and 1 are fine."""
    return Request({"row": np.array([[row] for row in rows])}, len(rows), **options)


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_request_is_answered_row_by_row(make_engine, in_thread):
    engine = make_engine(in_thread=in_thread)
    assert engine.inline is not in_thread
    answer = await engine.predict(request(3.0, 0.5, -3.0))
    assert answer.accepted == [True, False, True]
    assert answer.class_index == [1, NO_CLASS, 0]
    assert answer.reasons == [Reason.REASON_NONE, Reason.REASON_LOW_CONFIDENCE, Reason.REASON_NONE]
    np.testing.assert_allclose(answer.confidence, [1 / (1 + np.exp(-m)) for m in (3.0, 0.5, 3.0)])
    assert answer.queue_s >= 0
    assert answer.compute_s > 0
    engine.close()


async def test_requests_that_share_a_batch_keep_their_own_thresholds(make_engine):
    engine = make_engine(max_batch_size=3, max_queue_delay_us=NEVER_US)
    answers = await asyncio.gather(*(engine.predict(request(1.0, wanted=t)) for t in (0.5, 0.9, 0.7)))
    assert [answer.accepted for answer in answers] == [[True], [False], [True]]
    engine.metrics.batch_rows.flush()
    assert engine.metrics.batch_rows.buckets()[1] == 3
    assert engine.metrics.batch_rows.buckets()[0][-1] == ("+Inf", 1)


async def test_a_lone_request_is_computed_at_once_and_a_crowd_together(make_engine):
    engine = make_engine()
    for _ in range(5):
        await engine.predict(request(1.0))
    engine.metrics.batch_rows.flush()
    assert engine.metrics.batch_rows.buckets()[0][-1] == ("+Inf", 5)
    for _ in range(20):
        await asyncio.gather(*(engine.predict(request(1.0)) for _ in range(10)))
    engine.metrics.batch_rows.flush()
    n_batches = engine.metrics.batch_rows.buckets()[0][-1][1] - 5
    assert n_batches < 100, "200 requests, ten at a time, hardly shared batches"


async def test_a_request_larger_than_a_batch_is_split_and_joined_again(make_engine):
    engine = make_engine(max_batch_size=4)
    margins = np.linspace(-4, 4, 19)
    answer = await engine.predict(request(*margins, wanted=0.0, wants_probabilities=True))
    assert answer.class_index == (margins > 0).astype(int).tolist()
    np.testing.assert_allclose(
        np.concatenate(answer.probabilities)[:, 1], 1 / (1 + np.exp(-margins)), atol=1e-7
    )


@pytest.mark.parametrize("reveal", [False, True])
async def test_probabilities_of_abstained_rows_are_withheld_unless_revealed(make_engine, reveal):
    engine = make_engine(reveal_abstained=reveal)
    answer = await engine.predict(request(3.0, 0.5, wants_probabilities=True))
    shown = np.isfinite(np.concatenate(answer.probabilities)).all(axis=1).tolist()
    assert shown == [True, reveal]
    assert answer.accepted == [True, False]
    assert answer.class_index == [1, 1 if reveal else NO_CLASS]


def break_for_all(engine: Engine) -> None:
    """Let failures be the model's own, not those of the rows: it seems to compute no others either."""
    engine.model._computes_others = lambda _: False


@pytest.mark.parametrize("in_thread", [False, True])
async def test_one_bad_request_fails_alone(make_engine, in_thread):
    engine = make_engine("failing", in_thread=in_thread)
    requests = [failing_request(row) for row in (0, 99, 1, -99, 2)]
    answers = await asyncio.gather(*map(engine.predict, requests), return_exceptions=True)
    assert [isinstance(answer, RowsFailed) for answer in answers] == [False, True, False, True, False]
    assert answers[0].class_index == [0]
    assert answers[2].class_index == [1]
    assert answers[4].accepted == [False]
    again = await engine.predict(failing_request(0))
    assert again.class_index == [0]
    engine.close()


async def test_of_a_batch_that_fails_nothing_is_computed_alone_for_which_nobody_waits(make_engine):
    engine = make_engine("failing", in_thread=True, max_batch_size=4, max_queue_delay_us=NEVER_US)
    ran = []
    run, begun, go_on = engine.model.run, threading.Event(), threading.Event()

    def spy(inputs, max_run_s):
        ran.append(inputs["row"].ravel().tolist())
        begun.set()
        assert go_on.wait(60)  # meanwhile one expires, and one is given up
        return run(inputs, max_run_s)

    engine.model.run = spy

    deadline_s = time.monotonic() + 1.0
    asked = [failing_request(row) for row in (1, 9)]
    asked += [failing_request(2, deadline_s=deadline_s), failing_request(3)]
    good, bad, late, given_up = (asyncio.create_task(engine.predict(each)) for each in asked)
    await asyncio.to_thread(begun.wait, 60)
    given_up.cancel()
    await asyncio.sleep(deadline_s - time.monotonic())
    go_on.set()
    assert (await good).class_index == [1]
    with pytest.raises(ModelFailed):
        await bad
    with pytest.raises(DeadlineExceeded):
        await late
    assert ran == [[1, 9, 2, 3], [1], [9]]
    engine.close()


async def test_a_batch_that_was_stopped_because_it_took_too_long_is_not_computed_again(make_engine):
    engine = make_engine(in_thread=True, max_batch_size=3, max_queue_delay_us=NEVER_US)
    ran = []

    def stopped(inputs, _):
        ran.append(len(inputs["features"]))
        raise ModelFailed("it took too long", overdue=True)

    engine.model.run = stopped
    ended = await asyncio.gather(*(engine.predict(request(1.0)) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in ended] == [ModelFailed] * 3
    assert ran == [3]
    engine.close()


async def test_a_lone_request_that_fails_leaves_the_count_of_waiting_rows_alone(make_engine):
    engine = make_engine("failing", max_failures=0)
    for _ in range(20):
        with pytest.raises(ModelFailed):
            await engine.predict(failing_request(99))
    assert engine._queue.n_rows == 0
    await engine.predict(failing_request(0))
    assert engine.metrics.queue_rows == 0


@pytest.mark.parametrize("in_thread", [False, True])
async def test_rows_that_the_model_cannot_compute_never_make_it_rest(make_engine, in_thread):
    engine = make_engine("failing", in_thread=in_thread, max_failures=3, failure_cooldown_s=600)
    for _ in range(20):
        with pytest.raises(RowsFailed) as caught:
            await engine.predict(failing_request(99))
        assert caught.value.code == "INVALID_ARGUMENT"
    assert (await engine.predict(failing_request(0))).accepted == [True]
    engine.close()


async def test_rows_that_fail_alone_end_the_rest_of_a_model_that_failed_for_all(make_engine):
    engine = make_engine("failing", max_failures=1, failure_cooldown_s=0.05)
    break_for_all(engine)
    with pytest.raises(ModelFailed):
        await engine.predict(failing_request(99))
    assert engine.rests
    del engine.model._computes_others
    await asyncio.sleep(0.1)
    with pytest.raises(RowsFailed):
        await engine.predict(failing_request(99))
    assert not engine.metrics.circuit_open
    engine.close()


async def test_a_model_that_fails_again_and_again_rests_until_a_probe_succeeds(make_engine):
    said: list[bool] = []
    engine = make_engine(
        "failing", max_failures=3, failure_cooldown_s=1.0, on_rest=lambda _, rests: said.append(rests)
    )
    break_for_all(engine)
    for _ in range(3):
        with pytest.raises(ModelFailed):
            await engine.predict(failing_request(99))
    with pytest.raises(Unavailable, match="another replica"):
        await engine.predict(failing_request(0))
    assert engine.metrics.circuit_open
    await until(lambda: not said[-1])
    assert said == [True, False], "health is back when a probe may come, or none would"
    with pytest.raises(ModelFailed):
        await engine.predict(failing_request(99))
    with pytest.raises(Unavailable):
        await engine.predict(failing_request(0))
    await until(lambda: not said[-1])
    for _ in range(3):
        assert (await engine.predict(failing_request(0))).accepted == [True]
    assert not engine.metrics.circuit_open
    assert said == [True, False, True, False]


async def test_a_probe_that_comes_before_the_timer_does_not_leave_the_model_resting(make_engine):
    said: list[bool] = []
    engine = make_engine(
        "failing", max_failures=3, failure_cooldown_s=0.05, on_rest=lambda _, rests: said.append(rests)
    )
    break_for_all(engine)
    for _ in range(3):
        with pytest.raises(ModelFailed):
            await engine.predict(failing_request(99))
    assert engine.rests
    time.sleep(0.1)  # noqa: ASYNC251  the loop is busy, and its timer late
    await engine.predict(failing_request(0))
    await asyncio.sleep(0.1)
    assert said == [True, False]
    assert not engine.rests
    engine.close()


async def test_a_probe_that_comes_to_nothing_before_the_timer_does_not_leave_the_model_resting(make_engine):
    said: list[bool] = []
    engine = make_engine(
        "failing", max_failures=3, failure_cooldown_s=0.05, on_rest=lambda _, rests: said.append(rests)
    )
    break_for_all(engine)
    for _ in range(3):
        with pytest.raises(ModelFailed):
            await engine.predict(failing_request(99))
    time.sleep(0.1)  # noqa: ASYNC251  as above
    with pytest.raises(DeadlineExceeded):
        await engine.predict(failing_request(99, deadline_s=0.0))
    await asyncio.sleep(0.1)
    assert said == [True, False]
    engine.close()


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_where_no_thread_can_be_started_requests_are_told_and_later_ones_answered(
    make_engine, no_more_threads, max_concurrency
):
    engine = make_engine(in_thread=True, max_concurrency=max_concurrency, max_batch_size=1)
    with no_more_threads():
        asked = [asyncio.create_task(engine.predict(request(3.0))) for _ in range(2 * max_concurrency)]
        for error in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(error, Unavailable)
            assert "no thread could be started" in str(error)
    answers = await asyncio.gather(*[engine.predict(request(3.0)) for _ in range(2 * max_concurrency)])
    assert [answer.accepted for answer in answers] == [[True]] * 2 * max_concurrency
    await engine.drain()
    assert not engine.queue_rows
    engine.close()


@pytest.mark.parametrize("max_failures", [0, 1, 10])
async def test_a_model_rests_for_as_long_as_a_batch_cannot_be_stopped(make_engine, monkeypatch, max_failures):
    """onnxruntime stops between two nodes of a graph only. Whoever asks meanwhile is told at once."""
    monkeypatch.setattr(engine_module, "OVERSTAY_S", 0.0)
    said = []
    engine = make_engine(
        in_thread=True,
        max_run_s=0.05,
        max_batch_size=1,
        max_failures=max_failures,
        failure_cooldown_s=0.1,
        on_rest=lambda _, rests: said.append(rests),
    )
    run, ends = engine._runner.run, threading.Event()
    engine._runner.run = lambda batch: (ends.wait(60), run(batch))[1]
    stuck = asyncio.create_task(engine.predict(request(3.0)))
    await until(lambda: engine.rests)
    with pytest.raises(Unavailable, match="rests for a while"):
        await engine.predict(request(3.0))
    await asyncio.sleep(0.3)  # three times the cool-down: the rest is renewed
    await until(lambda: engine.rests)
    ends.set()
    assert (await stuck).accepted == [True]
    assert (await engine.predict(request(3.0))).accepted == [True]
    await until(lambda: not engine.rests)
    assert said[0] is True
    assert said[-1] is False
    assert not engine._computing
    engine.close()


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_as_many_batches_are_computed_at_once_as_allowed(make_engine, max_concurrency):
    """Each batch waits until as many are under way as may be, and then a moment for one too many."""
    engine = make_engine(in_thread=True, max_batch_size=1, max_concurrency=max_concurrency)
    run, now, most = engine._runner.run, 0, 0
    lock, reached = threading.Lock(), threading.Event()

    def counted(batch):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now >= max_concurrency:
                reached.set()
        reached.wait(20)
        time.sleep(0.02)
        try:
            return run(batch)
        finally:
            with lock:
                now -= 1

    engine._runner.run = counted
    answers = await asyncio.gather(*(engine.predict(request(3.0)) for _ in range(12)))
    assert all(answer.accepted == [True] for answer in answers)
    engine.close()
    assert most == max_concurrency


async def test_parts_of_a_request_that_end_in_another_order_are_joined_in_the_order_of_its_rows(make_engine):
    engine = make_engine(in_thread=True, max_batch_size=2, max_concurrency=3)
    run, last_part_ran = engine._runner.run, threading.Event()

    def first_part_last(batch):
        if batch.slices[0].start == 0:
            last_part_ran.wait(timeout=1.0)
            time.sleep(0.05)  # until what came of the last part is delivered
        outcomes = run(batch)
        if batch.slices[-1].stop == batch.slices[-1].request.n_rows:
            last_part_ran.set()
        return outcomes

    engine._runner.run = first_part_last
    margins = np.linspace(-4, 4, 5)
    answer = await engine.predict(request(*margins, wanted=0.0, wants_probabilities=True))
    assert answer.class_index == (margins > 0).astype(int).tolist()
    np.testing.assert_allclose(
        np.concatenate(answer.probabilities)[:, 1], 1 / (1 + np.exp(-margins)), atol=1e-7
    )
    engine.close()


async def test_low_priority_is_computed_after_who_came_later(make_engine):
    engine = make_engine("slow", in_thread=True, max_batch_size=1)
    order: list[str] = []

    async def ask(name: str, *, low_priority: bool) -> None:
        await engine.predict(request(1.0, low_priority=low_priority))
        order.append(name)

    names = ["first", "low", "normal", "normal"]
    await asyncio.gather(*(ask(name, low_priority=name == "low") for name in names))
    assert order == ["first", "normal", "normal", "low"]
    engine.close()


async def test_a_split_request_that_fails_in_the_middle_fails_once_and_whole(make_engine):
    engine = make_engine("failing", max_batch_size=2)
    with pytest.raises(ModelFailed):
        await engine.predict(failing_request(0, 1, 99, 1, 0))
    assert engine.metrics.queue_rows == 0
    answer = await engine.predict(failing_request(0, 1))
    assert answer.class_index == [0, 1]


async def test_a_full_queue_refuses_at_once_and_what_was_taken_is_answered(make_engine):
    engine = make_engine(max_queue_size=4, max_queue_delay_us=200_000)
    tasks = [asyncio.ensure_future(engine.predict(request(2.0, 2.0))) for _ in range(3)]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], QueueFull)
    assert [answer.accepted for answer in answers[:2]] == [[True, True]] * 2
    with pytest.raises(InvalidRequest):
        await engine.predict(request(*[1.0] * 5))


async def test_what_expires_in_the_queue_is_told_in_time_while_the_model_is_busy(make_engine):
    engine = make_engine(in_thread=True)
    run, begun, go_on = engine.model.run, threading.Event(), threading.Event()

    def held(inputs, max_run_s):
        begun.set()
        assert go_on.wait(60)
        return run(inputs, max_run_s)

    engine.model.run = held
    busy = asyncio.ensure_future(engine.predict(request(1.0)))
    await asyncio.to_thread(begun.wait, 60)
    computed_before = engine.metrics.rows.total()
    started_s = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="not computed"):
        await engine.predict(request(1.0, deadline_s=started_s + 0.002))
    assert engine.metrics.rows.total() == computed_before
    go_on.set()
    await busy
    assert engine.metrics.rows.total() == 1
    engine.close()


async def test_a_request_that_arrives_expired_is_not_computed(make_engine):
    engine = make_engine()
    with pytest.raises(DeadlineExceeded):
        await engine.predict(request(1.0, deadline_s=time.monotonic() - 1))
    assert engine.metrics.rows.total() == 0


async def test_a_lone_request_whose_deadline_has_come_is_refused_and_not_computed(make_engine, monkeypatch):
    engine = make_engine()
    monkeypatch.setattr("tamiz_server.engine.engine._now_s", lambda: 5.0)
    for deadline_s in (4.9, 5.0):
        asked = request(1.0, deadline_s=deadline_s)
        with pytest.raises(DeadlineExceeded, match="it was not computed"):
            await engine.predict(asked)
        assert asked.future is None, "it was to be computed at once, and did not wait"
    assert engine.metrics.rows.total() == 0
    await engine.predict(request(1.0, deadline_s=5.1))
    assert engine.metrics.rows.total() == 1


@pytest.mark.parametrize(("in_thread", "limit_s"), [(False, 1.0), (True, 60.0)])
async def test_in_the_event_loop_a_run_may_take_a_second_and_the_model_is_not_changed(
    make_engine, in_thread, limit_s
):
    engine = make_engine(in_thread=in_thread, max_run_s=60.0)
    run, limits = engine.model.run, []

    def spy(inputs, max_run_s):
        limits.append(max_run_s)
        return run(inputs, max_run_s)

    engine.model.run = spy
    await engine.predict(request(1.0))
    assert limits == [limit_s]
    assert engine.model.max_run_s == 60.0
    engine.close()


@pytest.mark.parametrize("max_queue_delay_us", [0, 1])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_version_that_holds_up_the_event_loop_computes_in_a_thread_from_then_on(
    make_engine, monkeypatch, max_queue_delay_us, fails
):
    """Rows can make a fast model slow. One caller must not stop all others again and again."""
    monkeypatch.setattr(engine_module, "_HOLDS_UP_S", 0.02)
    engine = make_engine(max_run_s=60.0, max_queue_delay_us=max_queue_delay_us)
    run, ran = engine.model.run, []

    def slow(inputs, max_run_s):
        ran.append((threading.current_thread() is threading.main_thread(), max_run_s))
        until_s = time.thread_time() + 0.1
        while time.thread_time() < until_s:
            pass
        if fails:
            raise ModelFailed("it was stopped", overdue=True)
        return run(inputs, max_run_s)

    assert (await engine.predict(request(3.0))).accepted == [True]
    assert engine.inline
    engine.model.run = slow
    for _ in range(3):
        ended = await asyncio.gather(engine.predict(request(3.0)), return_exceptions=True)
        assert [type(each) is ModelFailed for each in ended] == [fails]
    assert ran == [(True, 1.0), (False, 60.0), (False, 60.0)]
    engine.model.run = run
    answers = await asyncio.gather(*(engine.predict(request(margin)) for margin in (3.0, 0.5, -3.0)))
    assert [answer.accepted for answer in answers] == [[True], [False], [True]]
    await engine.drain()
    engine.close()


@pytest.mark.parametrize("paused_s", [0.1, 0.3])
async def test_a_version_whose_process_waits_for_a_processor_stays_in_the_event_loop(
    make_engine, monkeypatch, paused_s
):
    monkeypatch.setattr(engine_module, "_HOLDS_UP_S", 0.05)
    engine = make_engine()
    run = engine.model.run
    engine.model.run = lambda inputs, max_run_s: (time.sleep(paused_s), run(inputs, max_run_s))[1]
    for _ in range(3):
        assert (await engine.predict(request(3.0))).accepted == [True]
    assert engine.inline
    engine.close()


async def test_metrics_show_the_queue_of_the_engine_that_answers_now(make_engine):
    old = make_engine(max_queue_delay_us=10_000_000)
    waiting = asyncio.ensure_future(old.predict(request(1.0, 1.0)))
    await asyncio.sleep(0)
    assert old.metrics.queue_rows == 2
    new = Engine(old.model, old.metrics, old.config)
    assert old.metrics.queue_rows == new.queue_rows == 0
    assert old.queue_rows == 2
    waiting.cancel()
    old.close()


async def test_the_delay_lets_requests_of_different_turns_share_a_batch(make_engine):
    engine = make_engine(max_queue_delay_us=50_000)

    async def ask(after_s: float) -> None:
        await asyncio.sleep(after_s)
        await engine.predict(request(1.0))

    await asyncio.gather(ask(0), ask(0.005), ask(0.01))
    engine.metrics.batch_rows.flush()
    assert engine.metrics.batch_rows.buckets()[0][-1] == ("+Inf", 1)


async def test_an_invalid_row_abstains_and_its_neighbours_do_not(make_engine):
    engine = make_engine()
    answer = await engine.predict(request(3.0, np.nan, np.inf, 3.0))
    assert answer.accepted == [True, False, False, True]
    assert answer.reasons[1:3] == [Reason.REASON_INVALID_INPUT] * 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), in_thread=st.booleans(), max_batch_size=st.integers(1, 7))
async def test_cancelling_any_subset_at_any_time_leaves_every_other_request_answered(
    make_engine, data, in_thread, max_batch_size
):
    sizes = data.draw(st.lists(st.integers(1, 10), min_size=1, max_size=12))
    cancel_after_turns = data.draw(st.dictionaries(st.integers(0, len(sizes) - 1), st.integers(0, 6)))

    engine = make_engine(in_thread=in_thread, max_batch_size=max_batch_size)
    tasks = [
        asyncio.ensure_future(engine.predict(request(*[float(i)] * size, wanted=0.0)))
        for i, size in enumerate(sizes)
    ]
    for turn in range(7):
        for index, when in cancel_after_turns.items():
            if when == turn:
                tasks[index].cancel()
        await asyncio.sleep(0)
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    for index, (size, answer) in enumerate(zip(sizes, answers, strict=True)):
        if isinstance(answer, asyncio.CancelledError):
            assert index in cancel_after_turns
        else:
            np.testing.assert_allclose(answer.confidence, [1 / (1 + np.exp(-index))] * size, atol=1e-7)
    assert engine.metrics.queue_rows == 0
    engine.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(margins=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=30), data=st.data())
async def test_a_rows_answer_does_not_depend_on_how_rows_are_batched(make_engine, margins, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(margins)), max_size=6)) | {0, len(margins)})

    engine = make_engine(max_batch_size=data.draw(st.integers(1, 9)))
    whole = await engine.predict(request(*margins))
    parts = await asyncio.gather(
        *(engine.predict(request(*margins[a:b])) for a, b in itertools.pairwise(cuts))
    )
    for column in ("accepted", "class_index", "reasons"):
        joined = list(itertools.chain.from_iterable(getattr(part, column) for part in parts))
        assert joined == getattr(whole, column)
    joined = list(itertools.chain.from_iterable(part.confidence for part in parts))
    np.testing.assert_allclose(joined, whole.confidence, atol=1e-12)
