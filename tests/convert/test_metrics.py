"""Metrics against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from tamiz_convert.metrics import accuracy, aurc, brier, ece, log_loss, summarize


@pytest.fixture
def made() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([1, 1, 1, 1], 500)
    return probabilities, np.array([random.choice(4, p=row) for row in probabilities])


def test_log_loss_and_accuracy_are_scikit_learns(made):
    probabilities, y = made
    assert log_loss(probabilities, y) == pytest.approx(sklearn.metrics.log_loss(y, probabilities), abs=1e-12)
    assert accuracy(probabilities, y) == sklearn.metrics.accuracy_score(y, probabilities.argmax(axis=1))


def test_the_brier_score_is_scikit_learns(made):
    probabilities, y = made
    theirs = sklearn.metrics.brier_score_loss(y, probabilities, labels=[0, 1, 2, 3], scale_by_half=False)
    assert brier(probabilities, y) == pytest.approx(theirs, abs=1e-12)


def test_the_calibration_error_counts_a_confidence_on_an_edge_with_the_bin_below():
    sure = np.array([[0.0, 1.0], [1 / 3, 2 / 3], [2 / 5, 3 / 5]])
    y = np.array([1, 0, 1])
    assert ece(sure, y) == pytest.approx((0.0 + 2 / 3 + 2 / 5) / 3)
    together = np.array([[0.34, 0.66], [1 / 3, 2 / 3]])  # both in (0.6, 0.667]
    assert ece(together, np.array([1, 0])) == pytest.approx(abs(1 - (0.66 + 2 / 3)) / 2)


def test_the_area_under_the_risk_coverage_curve_by_hand():
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    assert aurc(probabilities, np.array([1, 0, 1])) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_rows_of_equal_confidence_share_their_errors_in_any_order():
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.2, 0.8]])
    expected = (0 + 0.5 / 2 + 1 / 3) / 3
    assert aurc(probabilities, np.array([1, 0, 1])) == pytest.approx(expected)
    assert aurc(probabilities, np.array([1, 1, 0])) == pytest.approx(expected)


def test_the_summary_names_each_metric(made):
    assert [name for name, _ in summarize(*made)] == ["accuracy", "log_loss", "brier", "ece_15", "aurc"]
