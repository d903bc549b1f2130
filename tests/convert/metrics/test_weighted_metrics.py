"""Weights: against scikit-learn, and against rows that are repeated."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from tamiz_convert.metrics.bins import equal_mass
from tamiz_convert.metrics.bootstrap import bootstrap
from tamiz_convert.metrics.calibration_error import ece_equal_mass
from tamiz_convert.metrics.if_calibrated import if_calibrated
from tamiz_convert.metrics.losses import accuracy, brier, log_loss
from tamiz_convert.metrics.paired import aurc_difference
from tamiz_convert.metrics.ranking import aurc
from tamiz_convert.metrics.reliability import reliability_diagram
from tamiz_convert.metrics.summary import METRICS

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=[2, 3, 7])
def rows(request) -> Rows:
    """Probabilities of which some repeat, labels, and weights of 0 to 4."""
    random = np.random.default_rng(request.param)
    p = random.integers(0, 4, (120, request.param)) + 0.1
    p /= p.sum(axis=1, keepdims=True)
    y = np.array([random.choice(request.param, p=row) for row in p])
    return p, y, random.integers(0, 5, len(y)).astype(np.float64)


def test_they_are_scikit_learns(rows):
    p, y, _ = rows
    w = np.random.default_rng(1).exponential(size=len(y))
    classes = list(range(p.shape[1]))
    assert accuracy(p, y, weights=w) == pytest.approx(
        sklearn.metrics.accuracy_score(y, p.argmax(axis=1), sample_weight=w), abs=1e-12
    )
    assert log_loss(p, y, weights=w) == pytest.approx(
        sklearn.metrics.log_loss(y, p, labels=classes, sample_weight=w), abs=1e-12
    )
    assert brier(p, y, weights=w) == pytest.approx(
        sklearn.metrics.brier_score_loss(y, p, labels=classes, scale_by_half=False, sample_weight=w)
    )


@pytest.mark.parametrize("name", METRICS)
def test_whole_weights_are_repeated_rows(rows, name):
    p, y, w = rows
    again = np.repeat(np.arange(len(y)), w.astype(int))
    assert METRICS[name](p, y, weights=w) == pytest.approx(METRICS[name](p[again], y[again]), abs=1e-10)
    assert METRICS[name](p, y, weights=np.ones(len(y))) == pytest.approx(METRICS[name](p, y), abs=1e-10)


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "brier", "ece_15", "mce_15", "classwise_ece_15"])
@pytest.mark.parametrize("scale", [1e-6, 0.37, 1e6])
def test_means_do_not_depend_on_the_scale(rows, name, scale):
    p, y, w = rows
    assert METRICS[name](p, y, weights=scale * w) == pytest.approx(METRICS[name](p, y, weights=w), abs=1e-10)


def test_bins_of_equal_mass_hold_equal_weight():
    values, weights = np.array([0.1, 0.2, 0.3, 0.4]), np.array([3.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(equal_mass(values, 2, weights), [0.15, 1.0])
    np.testing.assert_allclose(equal_mass(values, 2, np.array([0.5, 0.5, 0.5, 2.5])), [0.4, 1.0])


@pytest.mark.parametrize("small", [1e-3, 1e-6, 1e-9])
def test_the_area_changes_little_with_a_little_weight(small):
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    y = np.array([0, 1, 0, 1])
    w = np.array([1.0, 2.0, 1.5, 1.0])
    less = w + np.array([0.0, 0.0, 0.0, small])
    assert aurc(p, y, weights=less) == pytest.approx(aurc(p, y, weights=w), abs=2 * small)


def test_a_diagram_has_wider_intervals_where_few_rows_weigh_much():
    p = np.tile([[0.8, 0.2]], (100, 1))
    y = (np.arange(100) % 5 == 0).astype(int)
    plain, same = reliability_diagram(p, y, 1), reliability_diagram(p, y, 1, weights=np.full(100, 7.0))
    assert (same.low[0], same.high[0]) == pytest.approx((plain.low[0], plain.high[0]))
    uneven = reliability_diagram(p, y, 1, weights=np.where(np.arange(100) < 10, 50.0, 1.0))
    assert uneven.high[0] - uneven.low[0] > 2 * (plain.high[0] - plain.low[0])
    assert uneven.n_rows.tolist() == [100]


def test_draws_count_with_their_weights(rows):
    p, y, w = rows
    several = {"accuracy": accuracy, "aurc": aurc, "ece": ece_equal_mass}
    found = bootstrap(p, y, several, weights=w, n_resamples=60)
    for name, metric in several.items():
        assert found[name].value == metric(p, y, weights=w)
    assert found["accuracy"].low <= found["accuracy"].value <= found["accuracy"].high
    kept = w > 0
    assert np.isfinite(if_calibrated(p[kept], weights=w[kept], n_resamples=5).mean)
    apart = aurc_difference(p, p[:, ::-1].copy(), y, weights=w, n_resamples=20)
    assert apart.difference == pytest.approx(aurc(p, y, weights=w) - aurc(p[:, ::-1], y, weights=w))
