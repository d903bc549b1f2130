"""Calibrators against scikit-learn, golden values, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression

from tamiz_convert.calibrators import METHODS, Identity, Sigmoid, fit, one_vs_rest
from tamiz_convert.errors import EstimatorError, RowsError

F = np.array([-2, -1, -0.5, 0.2, 0.7, 1.1, 2, 3])[:, None]
F_Y = np.array([0, 0, 1, 0, 1, 0, 1, 1])
Z = np.array([[2, 0.1, -1], [0.3, 1.2, 0.1], [0, 0.2, 0.5], [1.5, 1.4, 0], [-0.2, 0.3, 2.1], [0.9, 0.1, 0.2]])
Z_Y = np.array([0, 1, 1, 0, 2, 2])


def made(n: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores with labels drawn from their own softmax, twice as sure as they should be."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 3, (n, 1 if n_classes == 2 else n_classes))
    logits = np.concatenate([-scores, scores], axis=1) / 2 if n_classes == 2 else scores
    p = softmax(logits / 2, axis=1)
    return scores, np.array([random.choice(n_classes, p=row) for row in p])


def test_golden_values_of_the_sigmoid():
    fitted = fit("sigmoid", F, F_Y, kind="logits", n_classes=2)
    assert dict(fitted.parameters())["a"][0] == pytest.approx(-0.558198394389136, abs=1e-6)
    assert dict(fitted.parameters())["b"][0] == pytest.approx(0.23999318015178986, abs=1e-6)


def test_golden_values_of_the_temperature():
    binary = fit("temperature", F, F_Y, kind="logits", n_classes=2)
    several = fit("temperature", Z, Z_Y, kind="logits", n_classes=3)
    assert dict(binary.parameters())["beta"][0] == pytest.approx(0.46740603639160894, rel=1e-7)
    assert dict(several.parameters())["beta"][0] == pytest.approx(1.753697632731634, rel=1e-7)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_sigmoid_is_scikit_learns(scale, seed):
    scores, y = made(300, 2, seed)
    ours = fit("sigmoid", scores * scale, y, kind="margins", n_classes=2).predict(scores * scale)[:, 1]
    theirs = _SigmoidCalibration().fit(scores[:, 0] * scale, y).predict(scores[:, 0] * scale)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_sigmoid_is_at_least_as_close_to_the_optimum_as_scikit_learns(seed):
    scores, y = made(300, 2, seed)
    n_positive, n_negative = y.sum(), len(y) - y.sum()
    target = np.where(y == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))

    def loss(a: float, b: float) -> float:
        p = 1 / (1 + np.exp(a * scores[:, 0] + b))
        return -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum()

    ours = fit("sigmoid", scores, y, kind="margins", n_classes=2)
    theirs = _SigmoidCalibration().fit(scores[:, 0], y)
    assert loss(ours.a[0], ours.b[0]) <= loss(theirs.a_, theirs.b_) + 1e-12


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_temperature_is_scikit_learns(n_classes):
    scores, y = made(300, n_classes)
    ours = fit("temperature", scores, y, kind="logits", n_classes=n_classes)
    theirs = _TemperatureScaling().fit(scores[:, 0] if n_classes == 2 else scores, y)
    np.testing.assert_allclose(dict(ours.parameters())["beta"][0], theirs.beta_, rtol=1e-7)


def test_the_temperature_of_probabilities_is_that_of_their_logarithms():
    scores, y = made(300, 4)
    p = softmax(scores, axis=1)
    of_p = fit("temperature", p, y, kind="probabilities", n_classes=4)
    of_z = fit("temperature", scores, y, kind="logits", n_classes=4)
    np.testing.assert_allclose(of_p.predict(p), of_z.predict(scores), atol=1e-6)


def test_the_isotonic_is_scikit_learns_but_for_its_floor():
    scores, y = made(500, 2)
    fitted = fit("isotonic", scores, y, kind="margins", n_classes=2)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores[:, 0], y)
    grid = np.linspace(-12, 12, 1001)
    knots = np.clip(theirs.y_thresholds_, 1 / 502, 1 - 1 / 502)
    found = fitted.predict(grid[:, None])[:, 1]
    np.testing.assert_allclose(found, np.interp(grid, theirs.X_thresholds_, knots), atol=1e-12)
    np.testing.assert_allclose(found, theirs.predict(grid), atol=1 / 502)
    assert fitted.predict(grid[:, None]).min() >= 1 / 502 - 1e-15


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_probabilities(method, n_classes):
    scores, y = made(200, n_classes)
    fitted = fit(method, scores, y, kind="logits", n_classes=n_classes)
    p = fitted.predict(np.concatenate([scores, scores * 1e6]))
    assert p.shape == (400, n_classes)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert fitted.method == method


@pytest.mark.parametrize("method", ["sigmoid", "temperature"])
def test_a_calibrator_improves_the_log_loss_of_scores_that_are_too_sure(method):
    scores, y = made(2_000, 3)
    fitted = fit(method, scores[:1000], y[:1000], kind="logits", n_classes=3)

    def log_loss(p: np.ndarray) -> float:
        return -np.log(p[np.arange(1000), y[1000:]]).mean()

    assert (
        log_loss(fitted.predict(scores[1000:])) < log_loss(Identity("logits").predict(scores[1000:])) - 0.03
    )


@given(st.floats(-1e3, 1e3), st.integers(2, 200))
def test_constant_scores_give_the_share_of_each_class(score, n):
    y = np.arange(n) % 2
    for method in ("sigmoid", "isotonic"):
        p = fit(method, np.full((n, 1), score), y, kind="margins", n_classes=2).predict(np.array([[score]]))
        assert p[0, 1] == pytest.approx(y.mean(), abs=0.26 if n < 5 else 0.1)


def test_separable_scores_stay_away_from_certainty():
    scores = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    y = np.array([0, 0, 1, 1])
    for method in ("sigmoid", "isotonic"):
        p = fit(method, scores, y, kind="margins", n_classes=2).predict(scores)
        assert 0 < p.min() <= p.max() < 1


def test_a_row_that_every_class_denies_becomes_uniform():
    np.testing.assert_allclose(one_vs_rest(np.zeros((1, 4))), np.full((1, 4), 0.25))
    sigmoid = Sigmoid(np.array([-1.0, -1.0, -1.0]), np.zeros(3))
    np.testing.assert_allclose(sigmoid.predict(np.full((1, 3), -1e9)), np.full((1, 3), 1 / 3))


@pytest.mark.parametrize(
    ("method", "kind", "error", "message"),
    [
        (
            "platt",
            "logits",
            EstimatorError,
            "unknown calibrator 'platt'; there are: none, sigmoid, isotonic, temp",
        ),
        ("none", "margins", EstimatorError, "choose sigmoid, isotonic or temperature"),
    ],
)
def test_a_calibrator_that_cannot_be_is_refused(method, kind, error, message):
    with pytest.raises(error, match=message):
        fit(method, F, F_Y, kind=kind, n_classes=2)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(
        RowsError, match=r"no finite score for 2 calibration row\(s\), the first of them row 3"
    ):
        fit(
            "sigmoid",
            np.where(np.isin(np.arange(8), [3, 5])[:, None], np.nan, F),
            F_Y,
            kind="logits",
            n_classes=2,
        )


def test_a_class_without_calibration_rows_is_refused():
    with pytest.raises(RowsError, match="no calibration row of class number 1"):
        fit("isotonic", Z, np.array([0, 0, 2, 2, 0, 2]), kind="logits", n_classes=3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_temperature_makes_no_certainty_of_rows_without_an_error(n_classes):
    rng = np.random.default_rng(0)
    y = np.arange(90) % n_classes
    scores = rng.normal(size=(90, n_classes))
    scores[np.arange(90), y] = scores.max(axis=1) + rng.uniform(0.1, 1.0, 90)
    if n_classes == 2:
        scores = np.diff(scores, axis=1) / 2.0
    confidence = fit("temperature", scores, y, kind="logits", n_classes=n_classes).predict(scores).max(axis=1)
    assert confidence.mean() < 91 / 92
    assert confidence.min() < 0.95
