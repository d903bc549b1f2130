"""How chance moves a metric: bootstrap, paired differences, and metrics of a calibrated model."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tamiz_convert.metrics.bootstrap import bootstrap
from tamiz_convert.metrics.calibration_error import debiased_l2, ece
from tamiz_convert.metrics.counted import counted
from tamiz_convert.metrics.if_calibrated import if_calibrated
from tamiz_convert.metrics.losses import accuracy, brier, log_loss
from tamiz_convert.metrics.paired import aurc_difference
from tamiz_convert.metrics.ranking import aurc
from tamiz_convert.metrics.resample import resamples
from tamiz_convert.metrics.summary import METRICS


def made(n: int, n_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(n_classes), n)
    return p, (p.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    p, y = made(2_000)
    found = bootstrap(p, y, {"accuracy": accuracy}, n_resamples=2_000)["accuracy"]
    deviation = np.sqrt(found.value * (1 - found.value) / len(y))
    assert found.value == accuracy(p, y)
    assert found.low == pytest.approx(found.value - 1.96 * deviation, abs=0.15 * deviation)
    assert found.high == pytest.approx(found.value + 1.96 * deviation, abs=0.15 * deviation)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = 0
    for seed in range(200):
        found = bootstrap(*made(200, seed=seed), {"brier": brier}, level=0.9, n_resamples=100, seed=seed)[
            "brier"
        ]
        held += found.low <= 0.5 <= found.high  # 1 − E Σ p² = 1 − 3 · 1/6
    assert 0.83 < held / 200 < 0.96  # standard deviation 0.021


def test_a_seed_gives_the_same_interval_again_and_another_one_another():
    p, y = made(100)
    assert bootstrap(p, y, n_resamples=20, seed=3) == bootstrap(p, y, n_resamples=20, seed=3)
    assert bootstrap(p, y, n_resamples=20, seed=3) != bootstrap(p, y, n_resamples=20, seed=4)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("decimals", [1, 12])
def test_a_row_that_counts_twice_is_a_row_that_is_there_twice(name, decimals):
    p, y = made(300)
    p = p.round(decimals)  # with one decimal, many rows tie
    times = np.random.default_rng(1).integers(0, 4, 300)
    repeated = np.repeat(np.arange(300), times)
    expected = METRICS[name](p[repeated], y[repeated])
    assert counted(METRICS[name], p, y)(times) == pytest.approx(expected, rel=1e-12)


def test_intervals_of_many_rows_take_no_time_to_speak_of():
    p, y = made(10_000, 10)
    started = time.thread_time()
    bootstrap(p, y, {"brier": brier, "log_loss": log_loss, "accuracy": accuracy, "aurc": aurc})
    assert time.thread_time() - started < 1.5  # 0.2 s here; 5 s if the rows were copied


def test_every_summary_metric_gets_an_interval_around_or_above_its_value():
    found = bootstrap(*made(400), n_resamples=100)
    assert list(found) == list(METRICS)
    for interval in found.values():
        assert interval.low < interval.high
        assert interval.value < interval.high


def test_groups_are_drawn_whole():
    groups = np.array(["a", "a", "a", "b", "c", "c"])
    for times in resamples(6, 50, 0, groups):
        assert times[0] == times[1] == times[2]
        assert times[4] == times[5]
        assert times[0] + times[3] + times[4] == 3


def test_copies_widen_the_interval_only_if_it_is_told_of_them():
    p, y = made(200)
    many = np.repeat(p, 10, axis=0), np.repeat(y, 10)
    width = {}
    for name, rows, groups in (
        ("once", (p, y), None),
        ("told", many, np.repeat(np.arange(200), 10)),
        ("untold", many, None),
    ):
        found = bootstrap(*rows, {"log_loss": log_loss}, groups=groups, n_resamples=400)["log_loss"]
        width[name] = found.high - found.low
    assert width["told"] == pytest.approx(width["once"], rel=1e-9)
    assert width["untold"] < 0.5 * width["once"]


@pytest.mark.parametrize("steps", [None, 10])
def test_the_paired_difference_is_that_of_resampled_rows(steps):
    p, y = made(300)
    other = np.random.default_rng(1).dirichlet(np.ones(3), 300)
    if steps:
        p, other = np.round(p * steps) / steps, np.round(other * steps) / steps
    found = aurc_difference(p, other, y, n_resamples=40, seed=5)
    naive = []
    for times in resamples(300, 40, 5):
        rows = np.repeat(np.arange(300), times)
        naive.append(aurc(p[rows], y[rows]) - aurc(other[rows], y[rows]))
    assert found.difference == pytest.approx(aurc(p, y) - aurc(other, y), abs=1e-12)
    assert found.standard_error == pytest.approx(np.std(naive), abs=1e-12)


def test_the_paired_difference_of_groups_is_that_of_resampled_groups():
    p, y = made(300)
    other, groups = np.random.default_rng(1).dirichlet(np.ones(3), 300), np.arange(300) // 7
    found = aurc_difference(p, other, y, groups=groups, n_resamples=40, seed=5)
    naive = []
    for times in resamples(300, 40, 5, groups):
        rows = np.repeat(np.arange(300), times)
        naive.append(aurc(p[rows], y[rows]) - aurc(other[rows], y[rows]))
    assert found.standard_error == pytest.approx(np.std(naive), abs=1e-12)


def test_equal_rankings_do_not_differ():
    p, y = made(300, 2)
    cooler = p**0.5 / (p**0.5).sum(axis=1, keepdims=True)
    found = aurc_difference(cooler, p, y, n_resamples=20)
    assert (found.difference, found.standard_error) == pytest.approx((0.0, 0.0), abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_calibrated_model_is_within_what_a_calibrated_model_shows(n_classes):
    beyond = 0
    for seed in range(100):
        p, y = made(300, n_classes, seed)
        beyond += ece(p, y) > if_calibrated(p, seed=seed).quantile_95
    assert 0 <= beyond <= 12  # 5 expected, standard deviation 2.2


def test_a_model_that_is_too_sure_is_beyond_it():
    p, y = made(2_000)
    sharp = p**2 / (p**2).sum(axis=1, keepdims=True)
    assert ece(sharp, y) > 2 * if_calibrated(sharp).quantile_95


def test_the_error_of_a_calibrated_model_shrinks_with_the_root_of_the_rows():
    few, many = (if_calibrated(made(n)[0], n_resamples=100) for n in (200, 20_000))
    assert 0.02 < few.mean < 0.08
    assert few.mean / many.mean == pytest.approx(10, rel=0.2)
    assert few.mean < few.quantile_95


def test_any_metric_has_its_value_under_calibration_and_the_debiased_one_is_lower():
    p, _ = made(1_000)
    assert if_calibrated(p, brier).mean == pytest.approx(float((1 - (p**2).sum(axis=1)).mean()), abs=0.01)
    assert if_calibrated(p, debiased_l2).mean < if_calibrated(p).mean
    assert if_calibrated(p, seed=1) == if_calibrated(p, seed=1)


def test_two_hundred_resamples_of_ten_thousand_rows_take_seconds():
    p, y = made(10_000, 2)
    begun = time.process_time()
    bootstrap(p, y)
    assert time.process_time() - begun < 10.0
