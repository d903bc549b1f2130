"""Calibrators against the libraries that have them."""

from __future__ import annotations

import time
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tamiz_convert.calibrators.dirichlet import fit_affine
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.calibrators.scores import LOG_FLOOR
from tamiz_convert.calibrators.softmax_regression import smoothed_targets
from tamiz_convert.calibrators.vector import fit_scaling

with warnings.catch_warnings(action="ignore"):
    import betacal.beta_calibration
    from betacal import BetaCalibration
    from venn_abers import VennAbers


def made(n: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores with labels drawn from probabilities that are less sure, and not equally so."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 2, (n, 1 if n_classes == 2 else n_classes))
    logits = np.concatenate([-scores, scores], axis=1) / 2 if n_classes == 2 else scores
    w, b = random.uniform(0.4, 1.0, n_classes), random.normal(0, 0.3, n_classes)
    p = softmax(logits * w + b, axis=1)
    y = (p.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return scores, y


def within(p: np.ndarray, n_rows: int, n_classes: int = 2) -> np.ndarray:
    """Keep a formula's probabilities away from what that many rows do not support."""
    floor = 1 / (n_rows + 2) / (n_classes - 1)
    return (1 - n_classes * floor) * p + floor


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_sigmoid_is_scikit_learns(scale, seed):
    scores, y = made(300, 2, seed)
    ours = fit("sigmoid", scores * scale, y, kind="margins", n_classes=2).predict(scores * scale)[:, 1]
    theirs = within(_SigmoidCalibration().fit(scores[:, 0] * scale, y).predict(scores[:, 0] * scale), 300)
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


def converged(features: np.ndarray, y: np.ndarray, **options) -> LogisticRegression:
    """scikit-learn's logistic regression without a penalty, to the last digits."""
    return LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-10, max_iter=1_000, **options).fit(
        features, y
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_sigmoid_of_logits_is_the_sigmoid_of_the_scores_they_came_from(seed):
    scores, y = made(300, 2, seed)
    of_p = fit("sigmoid-logit", expit(scores), y, kind="probabilities", n_classes=2)
    of_z = fit("sigmoid", scores, y, kind="logits", n_classes=2)
    np.testing.assert_allclose(of_p.predict(expit(scores)), of_z.predict(scores), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [60, 2_000])
def test_beta_is_the_authors_with_smoothed_targets(n, seed, monkeypatch):
    scores, y = made(n, 2, seed)
    p, target = expit(scores), np.clip(y, 1 / (n + 2), 1 - 1 / (n + 2))
    exact = partial(LogisticRegression, solver="newton-cholesky", tol=1e-12, max_iter=1_000)
    monkeypatch.setattr(betacal.beta_calibration, "LogisticRegression", exact)
    with warnings.catch_warnings(action="ignore"):  # it turns them all off, for good
        both = np.append(p[:, 0], p[:, 0])
        theirs = BetaCalibration("abm").fit(both, np.repeat([1, 0], n), np.append(target, 1 - target))
        expected = within(theirs.predict(p[:, 0]), n)
    ours = fit("beta", p, y, kind="probabilities", n_classes=2)
    np.testing.assert_allclose(ours.predict(p)[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose([ours.a[0], ours.b[0]], theirs.calibrator_.map_[:2], atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_beta_of_scores_that_point_the_wrong_way_is_the_best_with_a_and_b_at_least_0(seed):
    scores, y = made(40, 2, seed)
    p, target = expit(scores if seed % 2 else -scores), np.clip(y, 1 / 42, 41 / 42)
    ours = fit("beta", p, y, kind="probabilities", n_classes=2)
    features = np.column_stack([np.log(p), -np.log(1 - p), np.ones(40)])

    def loss(w: np.ndarray) -> float:
        return (np.logaddexp(0, features @ w) - target * (features @ w)).sum()

    found = loss(np.array([ours.a[0], ours.b[0], ours.c[0]]))
    random = np.random.default_rng(seed)
    around = np.array([ours.a[0], ours.b[0], ours.c[0]]) + random.normal(0, 0.3, (3_000, 3))
    around[:, :2] = np.maximum(around[:, :2], 0) * (random.random((3_000, 2)) < 0.7)
    assert ours.a[0] >= 0
    assert ours.b[0] >= 0
    assert found <= min(map(loss, around)) + 1e-9


@settings(deadline=None)  # an example takes up to 20 isotonic regressions of scikit-learn's
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=25),
    st.lists(st.integers(-10, 10), min_size=1, max_size=5),
)
def test_venn_abers_is_isotonic_regression_with_the_row_among_the_others(rows, asked):
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    y = np.array([positive for _, positive in rows], dtype=np.int64)
    y[:2] = 0, 1
    fitted = fit("venn-abers", scores[:, None], y, kind="margins", n_classes=2)
    for x in np.array(asked) / 2.0:
        step = np.searchsorted(fitted.x[0], x)
        for label, table in ((0, fitted.p0[0]), (1, fitted.p1[0])):
            joined = IsotonicRegression(out_of_bounds="clip").fit(np.append(scores, x), np.append(y, label))
            assert table[step] == pytest.approx(joined.predict([x])[0], abs=1e-9)
        p0, p1 = fitted.p0[0][step], fitted.p1[0][step]
        assert fitted.predict(np.array([[x]]))[0, 1] == pytest.approx(p1 / (1 - p0 + p1), abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_venn_abers_is_the_authors(decimals, seed):
    scores, y = made(700, 2, seed)
    scores = scores.round(decimals)
    reach = 1e-6 * np.ptp(scores)
    asked = np.append(scores[:, 0], np.random.default_rng(seed).normal(0, 3, 500))
    nearest = np.abs(asked[:, None] - scores[:, 0]).min(axis=1)
    asked = asked[(nearest == 0) | (nearest > reach)]
    theirs = VennAbers()
    theirs.fit(np.column_stack([-scores, scores]), y)
    expected = theirs.predict_proba(np.column_stack([-asked, asked]))[0][:, 1]
    found = fit("venn-abers", scores, y, kind="margins", n_classes=2).predict(asked[:, None])[:, 1]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_calibration_row_stays_on_its_step_of_venn_abers_through_the_rounding_of_float32():
    scores, y = made(2_000, 2)
    fitted = fit("venn-abers", scores, y, kind="margins", n_classes=2)
    rounded = scores.astype(np.float32).astype(np.float64)
    assert (rounded != scores).all()
    np.testing.assert_array_equal(fitted.predict(rounded), fitted.predict(scores))


def test_scores_that_would_be_equal_but_for_their_last_digit_are_one_place_of_venn_abers():
    equal = np.repeat([0.1, 0.3, 1.0], 40)[:, None]
    y = (np.arange(120) * 7919 % 120 < np.repeat([30, 60, 90], 40)).astype(np.int64)
    noisy = equal - 1.1e-16 * (np.arange(120) % 3)[:, None]
    assert len(np.unique(noisy)) > 3
    for scores in (equal, noisy):
        p = fit("venn-abers", scores, y, kind="probabilities", n_classes=2).predict(noisy)[:, 1]
        np.testing.assert_array_equal(p, np.repeat(p[::40], 40))


def test_venn_abers_takes_time_in_proportion_to_its_rows():
    scores, y = made(20_000, 2)
    start = time.thread_time()
    fit("venn-abers", scores, y, kind="margins", n_classes=2)
    assert time.thread_time() - start < 10.0  # it takes 0.05 s; comparing all pairs takes minutes


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_vector_scaling_of_two_classes_is_logistic_regression(kind):
    scores, y = made(500, 2)
    p = expit(scores)
    if kind == "probabilities":
        scores, features = p, np.log(np.column_stack([1 - p, p]) + LOG_FLOOR)
    else:
        features = scores
    z = features if kind == "probabilities" else np.concatenate([-scores, scores], axis=1)
    w, b = fit_scaling(z, np.eye(2)[y], np.ones(500))
    expected = converged(features, y).predict_proba(features)
    np.testing.assert_allclose(softmax(w * z + b, axis=1), expected, atol=1e-6)
    ours = fit("vector", scores, y, kind=kind, n_classes=2).predict(scores)
    np.testing.assert_allclose(ours, expected, atol=0.02)  # its targets are smoothed


@pytest.mark.parametrize("n_classes", [3, 10])
@pytest.mark.parametrize("kind", ["logits", "margins", "probabilities"])
def test_vector_scaling_ends_where_the_gradient_of_its_convex_loss_is_0(kind, n_classes):
    scores, y = made(500, n_classes)
    z = log_softmax(scores, axis=1) if kind == "probabilities" else scores
    given_scores = np.exp(z) if kind == "probabilities" else z
    p = fit("vector", given_scores, y, kind=kind, n_classes=n_classes).stated(given_scores)
    residuals = p - smoothed_targets(y, n_classes, 500)
    np.testing.assert_allclose((residuals * z).mean(axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(residuals.mean(axis=0), 0, atol=1e-7)


def test_temperature_and_vector_scaling_are_netcals():
    with warnings.catch_warnings(action="ignore"):
        scaling = pytest.importorskip("netcal.scaling")
        scores, y = made(1_000, 3)
        p = softmax(scores, axis=1)
        expected = scaling.TemperatureScaling().fit(p, y).transform(p)
        ours = fit("temperature", p, y, kind="probabilities", n_classes=3).stated(p)
        np.testing.assert_allclose(ours, expected, atol=1e-5)
        expected = scaling.LogisticCalibration().fit(p, y).transform(p)
        logs = np.log(p + LOG_FLOOR)
        w, b = fit_scaling(logs, np.eye(3)[y], np.ones(1_000))
        np.testing.assert_allclose(softmax(w * logs + b, axis=1), expected, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_dirichlet_without_a_penalty_is_multinomial_logistic_regression(n_classes):
    scores, y = made(2_000, n_classes)
    z = np.concatenate([-scores, scores], axis=1) / 2 if n_classes == 2 else scores
    logs = log_softmax(z, axis=1)
    penalties = np.full((n_classes, n_classes), 1e-12), np.full(n_classes, 1e-12)
    w, b = fit_affine(logs, np.eye(n_classes)[y], np.ones(2_000), *penalties)
    ours = softmax(logs @ w.T + b, axis=1)
    np.testing.assert_allclose(ours, converged(logs, y).predict_proba(logs), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_dirichlet_ends_where_the_gradient_of_its_penalized_loss_is_0(n_classes):
    scores, y = made(300, n_classes)
    p = np.column_stack([1 - expit(scores), expit(scores)]) if n_classes == 2 else softmax(scores, axis=1)
    fitted = fit("dirichlet", p[:, 1:] if n_classes == 2 else p, y, kind="probabilities", n_classes=n_classes)
    logs = np.log(p + LOG_FLOOR)
    residuals = softmax(logs @ fitted.w.T + fitted.b, axis=1) - smoothed_targets(y, n_classes, 300)
    off_diagonal = 1 - np.eye(n_classes)
    gradient = residuals.T @ logs / 300 + off_diagonal * fitted.w / (0.1**2 * 300)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)
    np.testing.assert_allclose(residuals.mean(axis=0) + fitted.b / 300, 0, atol=1e-7)
