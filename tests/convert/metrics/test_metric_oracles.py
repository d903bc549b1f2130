"""Metrics against the libraries that have them."""

from __future__ import annotations

import calibration
import numpy as np
import pytest
import sklearn.metrics
import torch
from mapie.metrics.calibration import spiegelhalter_p_value, spiegelhalter_statistic
from netcal.metrics import ECE, MCE
from scipy.stats import binomtest
from torchmetrics.functional.classification import multiclass_calibration_error

from tamiz_convert.metrics.calibration_error import classwise_ece, debiased_l2, ece, ece_equal_mass, mce
from tamiz_convert.metrics.losses import accuracy, brier, log_loss
from tamiz_convert.metrics.reliability import reliability_diagram
from tamiz_convert.metrics.spiegelhalter import spiegelhalter

NEAR = 1e-6


@pytest.fixture(scope="module", params=[2, 4, 10])
def rows(request) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a model that is too sure; no probability is near an edge, where conventions differ."""
    random = np.random.default_rng(request.param)
    p = random.dirichlet(np.ones(request.param), 3_000)
    y = np.array([random.choice(request.param, p=row) for row in p])
    sharp = p**1.7 / (p**1.7).sum(axis=1, keepdims=True)
    away = (np.abs(sharp * 15 - np.round(sharp * 15)) > 1e-4).all(axis=1)
    return sharp[away], y[away]


def test_accuracy_log_loss_and_brier_are_scikit_learns(rows):
    p, y = rows
    classes = list(range(p.shape[1]))
    assert accuracy(p, y) == sklearn.metrics.accuracy_score(y, p.argmax(axis=1))
    assert log_loss(p, y) == pytest.approx(sklearn.metrics.log_loss(y, p, labels=classes), abs=1e-12)
    theirs = sklearn.metrics.brier_score_loss(y, p, labels=classes, scale_by_half=False)
    assert brier(p, y) == pytest.approx(theirs, abs=1e-12)


def test_the_calibration_error_is_theirs(rows):
    p, y = rows
    ours = ece(p, y)
    confidence, correct = p.max(axis=1), (p.argmax(axis=1) == y).astype(int)
    assert ours == pytest.approx(ECE(bins=15).measure(confidence, correct), abs=NEAR)
    assert ours == pytest.approx(calibration.get_ece(p, y, num_bins=15, mode="top-label"), abs=NEAR)
    theirs = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), p.shape[1], 15, "l1")
    assert ours == pytest.approx(float(theirs), abs=NEAR)


def test_the_largest_gap_is_theirs(rows):
    p, y = rows
    confidence, correct = p.max(axis=1), (p.argmax(axis=1) == y).astype(int)
    assert mce(p, y) == pytest.approx(MCE(bins=15).measure(confidence, correct), abs=NEAR)
    theirs = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), p.shape[1], 15, "max")
    assert mce(p, y) == pytest.approx(float(theirs), abs=NEAR)


def test_the_calibration_error_over_equal_mass_is_theirs(rows):
    p, y = rows
    theirs = calibration.get_ece_em(p, y, num_bins=15, mode="top-label")
    assert ece_equal_mass(p, y) == pytest.approx(theirs, abs=NEAR)


def test_the_calibration_error_over_equal_mass_is_theirs_where_confidences_repeat():
    random = np.random.default_rng(0)
    confidence = random.integers(26, 50, 700) / 50
    p = np.stack([1 - confidence, confidence], axis=1)
    y = (random.random(700) < confidence).astype(int)
    assert ece_equal_mass(p, y) == pytest.approx(calibration.get_ece_em(p, y, num_bins=15), abs=NEAR)


@pytest.mark.parametrize("n_bins", [5, 15, 100])
def test_the_debiased_error_is_theirs(rows, n_bins):
    p, y = rows
    theirs = calibration.lower_bound_scaling_top_ce(p, y, p=2, debias=True, num_bins=n_bins)
    assert debiased_l2(p, y, n_bins) == pytest.approx(theirs, abs=NEAR)


def test_the_classwise_error_is_the_mean_of_theirs(rows):
    p, y = rows
    marginal = calibration.get_ece(p, y, num_bins=15, mode="marginal")
    assert classwise_ece(p, y) == pytest.approx(marginal, abs=NEAR)
    each = [ECE(bins=15, detection=True).measure(p[:, k], (y == k).astype(int)) for k in range(p.shape[1])]
    assert classwise_ece(p, y) == pytest.approx(np.mean(each), abs=NEAR)


@pytest.mark.parametrize("seed", range(5))
def test_the_test_of_calibration_is_theirs_for_two_classes(seed):
    random = np.random.default_rng(seed)
    positive = random.random(400)
    y = (random.random(400) < positive).astype(int)
    ours = spiegelhalter(np.stack([1 - positive, positive], axis=1), y)
    assert ours.z == pytest.approx(spiegelhalter_statistic(y, positive), abs=1e-9)
    one_sided = spiegelhalter_p_value(y, positive)
    assert ours.p_value == pytest.approx(2 * min(one_sided, 1 - one_sided), abs=1e-9)


def test_the_intervals_of_the_diagram_are_scipys(rows):
    diagram = reliability_diagram(*rows, level=0.9)
    for k in np.flatnonzero(diagram.n_rows):
        n = int(diagram.n_rows[k])
        theirs = binomtest(round(diagram.accuracy[k] * n), n).proportion_ci(0.9, "exact")
        assert (diagram.low[k], diagram.high[k]) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
