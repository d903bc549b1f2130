"""Calibrators: golden values, what holds for all of them, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from tamiz_convert.__main__ import main
from tamiz_convert.calibrators import METHODS
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.calibrators.one_vs_rest import one_vs_rest, sigmoids
from tamiz_convert.errors import EstimatorError, RowsError

F = np.array([-2, -1, -0.5, 0.2, 0.7, 1.1, 2, 3])[:, None]
F_Y = np.array([0, 0, 1, 0, 1, 0, 1, 1])
Z = np.array([[2, 0.1, -1], [0.3, 1.2, 0.1], [0, 0.2, 0.5], [1.5, 1.4, 0], [-0.2, 0.3, 2.1], [0.9, 0.1, 0.2]])
Z_Y = np.array([0, 1, 1, 0, 2, 2])
KINDS = ["logits", "margins", "probabilities"]
CASES = [
    (method, kind)
    for method in METHODS
    for kind in KINDS
    if not (kind == "margins" and METHODS[method].needs_probabilities)
]


def made(n: int, n_classes: int, seed: int = 0, kind: str = "logits") -> tuple[np.ndarray, np.ndarray]:
    """Scores with labels drawn from their own probabilities, which are surer than they should be."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 3, (n, 1 if n_classes == 2 else n_classes))
    logits = np.concatenate([-scores, scores], axis=1) / 2 if n_classes == 2 else scores
    y = np.array([random.choice(n_classes, p=row) for row in softmax(logits / 2, axis=1)])
    y[:n_classes] = np.arange(n_classes)
    if kind == "probabilities":
        p = softmax(logits, axis=1)
        scores = p[:, 1:] if n_classes == 2 else p
    return scores, y


def test_golden_values_of_the_sigmoid():
    fitted = fit("sigmoid", F, F_Y, kind="logits", n_classes=2)
    assert dict(fitted.parameters())["a"][0] == pytest.approx(-0.558198394389136, abs=1e-6)
    assert dict(fitted.parameters())["b"][0] == pytest.approx(0.23999318015178986, abs=1e-6)


def test_golden_values_of_the_temperature():
    binary = fit("temperature", F, F_Y, kind="logits", n_classes=2)
    several = fit("temperature", Z, Z_Y, kind="logits", n_classes=3)
    assert dict(binary.parameters())["beta"][0] == pytest.approx(0.46740603639160894, rel=1e-7)
    assert dict(several.parameters())["beta"][0] == pytest.approx(1.753697632731634, rel=1e-7)


@pytest.mark.parametrize(("method", "kind"), CASES)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_probabilities_are_probabilities(method, kind, n_classes):
    scores, y = made(200, n_classes, kind=kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    asked = scores if kind == "probabilities" else np.concatenate([scores, scores * 1e6])
    p = fitted.predict(asked)
    assert p.shape == (len(asked), n_classes)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert fitted.method == method


@pytest.mark.parametrize(("method", "kind"), CASES)
@pytest.mark.parametrize("n_classes", [2, 3, 12])
def test_the_parameters_hold_all_that_was_fitted(method, kind, n_classes):
    scores, y = made(200, n_classes, kind=kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    parameters = {name: np.array(values) for name, values in fitted.parameters()}
    again = {}
    for name, value in vars(fitted).items():
        if isinstance(value, tuple):
            again[name] = tuple(parameters.pop(f"{name}_{k}") for k in range(len(value)))
        else:
            again[name] = value if name not in parameters else parameters.pop(name).reshape(np.shape(value))
    assert not parameters
    np.testing.assert_array_equal(type(fitted)(**again).predict(scores), fitted.predict(scores))


@pytest.mark.parametrize("method", [method for method in METHODS if method != "none"])
def test_a_calibrator_lowers_the_log_loss_of_scores_that_are_too_sure(method):
    scores, y = made(2_000, 3, kind="probabilities")
    fitted = fit(method, scores[:1000], y[:1000], kind="probabilities", n_classes=3)

    def log_loss(p: np.ndarray) -> float:
        return -np.log(p[np.arange(1000), y[1000:]]).mean()

    before = log_loss(Identity("probabilities").predict(scores[1000:]))
    assert log_loss(fitted.predict(scores[1000:])) < before - 0.03


@pytest.mark.parametrize("method", ["temperature", "vector", "sigmoid-logit", "beta", "dirichlet"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_that_are_right_already_stay(method, n_classes):
    random = np.random.default_rng(0)
    p = random.dirichlet(np.ones(n_classes), 20_000)
    y = (p.cumsum(axis=1) > random.random((len(p), 1))).argmax(axis=1)
    scores = p[:, 1:] if n_classes == 2 else p
    fitted = fit(method, scores, y, kind="probabilities", n_classes=n_classes)
    # One against the rest and renormalized is not the identity; the others hold it among their parameters.
    bound = 0.08 if n_classes > 2 and method in ("sigmoid-logit", "beta") else 0.02
    assert np.abs(fitted.predict(scores) - p).max() < bound


@pytest.mark.parametrize("method", ["sigmoid", "sigmoid-logit", "isotonic", "temperature", "vector"])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_margins_does_not_matter(method, n_classes, scale):
    scores, y = made(400, n_classes)
    one = fit(method, scores, y, kind="margins", n_classes=n_classes).predict(scores)
    other = fit(method, scores * scale, y, kind="margins", n_classes=n_classes).predict(scores * scale)
    np.testing.assert_allclose(one, other, atol=1e-6)


@settings(deadline=None)
@given(st.floats(-1e3, 1e3), st.integers(2, 200))
def test_constant_scores_give_the_share_of_each_class(score, n):
    y = np.arange(n) % 2
    for method in ("sigmoid", "isotonic", "venn-abers"):
        p = fit(method, np.full((n, 1), score), y, kind="margins", n_classes=2).predict(np.array([[score]]))
        assert p[0, 1] == pytest.approx(y.mean(), abs=0.26 if n < 5 else 0.1)


@pytest.mark.parametrize("method", ["beta", "dirichlet", "vector"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_constant_probabilities_give_the_share_of_each_class(method, n_classes):
    p = np.full((300, n_classes), 1.0 / n_classes)
    y = np.array([0] * 150 + [1] * 150) if n_classes == 2 else np.array([0] * 150 + [1] * 90 + [2] * 60)
    scores = p[:, 1:] if n_classes == 2 else p
    found = fit(method, scores, y, kind="probabilities", n_classes=n_classes).predict(scores[:1])
    np.testing.assert_allclose(found[0], np.bincount(y) / 300, atol=0.01)


@pytest.mark.parametrize(("method", "kind"), CASES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_that_separate_the_classes_leave_the_parameters_finite(method, kind, n_classes):
    y = np.arange(60) % n_classes
    certain = np.eye(n_classes)[y]
    scores = certain if kind == "probabilities" else 20.0 * certain - 10.0
    scores = scores[:, 1:] if n_classes == 2 else scores
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    assert all(np.isfinite(values).all() for _, values in fitted.parameters())
    p = fitted.predict(scores)
    assert (p.argmax(axis=1) == y).all()


def separable(n: int, n_classes: int, margin: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores without an error, or with one that is nearly none, whose margins are narrow, wide or both."""
    random = np.random.default_rng(n)
    y = np.arange(n) % n_classes
    sizes = {"narrow": random.uniform(3, 6, n), "wide": random.uniform(30, 600, n)}
    gap = sizes.get(margin, random.lognormal(1, 3, n))
    if margin == "one error":
        gap[0] = -1e-6
    scores = random.normal(0, 0.1, (n, n_classes))
    scores[np.arange(n), y] = np.where(np.arange(n_classes) == y[:, None], -np.inf, scores).max(axis=1) + gap
    if kind == "probabilities":
        p = softmax(scores, axis=1)
        return (p[:, 1:] if n_classes == 2 else p), y
    return (np.diff(scores, axis=1) / 2 if n_classes == 2 else scores), y


@pytest.mark.parametrize(("method", "kind"), [case for case in CASES if case[0] != "none"])
@pytest.mark.parametrize("margin", ["narrow", "wide", "of all sizes", "one error"])
@pytest.mark.parametrize(("n", "n_classes"), [(100, 2), (300, 2), (300, 4)])
def test_no_calibrator_is_surer_than_its_rows_support(method, kind, margin, n, n_classes):
    scores, y = separable(n, n_classes, margin, kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    beyond = scores if kind == "probabilities" else np.concatenate([scores, scores * 1e6])
    p = fitted.predict(beyond)
    assert p.max() <= 1 - 1 / (n + 2) + 1e-12
    if margin == "narrow":
        assert (p[:n].argmax(axis=1) == y).all()


@pytest.mark.parametrize("method", [method for method in METHODS if METHODS[method].is_formula])
def test_what_the_rows_support_bounds_probabilities_without_changing_the_order_of_rows(method):
    scores, y = made(200, 3, kind="probabilities")
    fitted = fit(method, scores, y, kind="probabilities", n_classes=3)
    stated, p = fitted.stated(scores), fitted.predict(scores)
    np.testing.assert_allclose(p, (1 - 1.5 / 202) * stated + 0.5 / 202, atol=1e-12)
    assert dict(fitted.parameters())["support"] == [200.0]
    np.testing.assert_array_equal(np.argsort(p.max(axis=1)), np.argsort(stated.max(axis=1)))


@pytest.mark.parametrize("method", ["sigmoid", "sigmoid-logit", "isotonic", "venn-abers"])
def test_separable_scores_stay_away_from_certainty(method):
    scores = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    p = fit(method, scores, np.array([0, 0, 1, 1]), kind="margins", n_classes=2).predict(scores)
    assert 0.1 < p.min() <= p.max() < 0.9


def test_a_row_that_every_class_denies_becomes_uniform():
    np.testing.assert_allclose(one_vs_rest(sigmoids(np.full((1, 4), -1e9))), np.full((1, 4), 0.25))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("method", "kind"), CASES)
def test_a_row_with_a_score_that_is_not_finite_gets_no_probabilities(method, kind, value):
    scores, y = made(100, 3, kind=kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=3)
    scores[1, 2] = value
    p = fitted.predict(scores[:3])
    assert np.isnan(p[1]).all()
    assert np.isfinite(p[[0, 2]]).all()


def test_an_unknown_calibrator_is_refused_with_those_that_there_are():
    with pytest.raises(
        EstimatorError,
        match=r"unknown calibrator 'platt' \(did you mean 'sigmoid'\?\); there are: auto, "
        + ", ".join(METHODS),
    ):
        fit("platt", F, F_Y, kind="logits", n_classes=2)


@pytest.mark.parametrize("method", ["none", "beta", "dirichlet"])
def test_margins_are_refused_where_probabilities_are_needed(method):
    choose = "choose temperature, sigmoid, sigmoid-logit, vector, venn-abers or isotonic"
    with pytest.raises(EstimatorError, match=f"calibrator '{method}' needs .* only margins; {choose}"):
        fit(method, F, F_Y, kind="margins", n_classes=2)


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_are_not_finite_are_refused(method):
    scores = np.where(np.isin(np.arange(8), [3, 5])[:, None], np.nan, F)
    message = r"no finite score for 2 calibration row\(s\), the first of them row 3"
    with pytest.raises(RowsError, match=message):
        fit(method, scores, F_Y, kind="logits", n_classes=2)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].needs_every_class])
def test_a_class_without_calibration_rows_is_refused_by_its_label(method):
    y = np.array([0, 0, 2, 2, 0, 2])
    with pytest.raises(RowsError, match="no calibration row of class 1:"):
        fit(method, Z, y, kind="logits", n_classes=3)
    with pytest.raises(RowsError, match="no calibration row of class 'bird', 'cow':"):
        fit(method, Z, y * 0, kind="logits", n_classes=3, classes=["ant", "bird", "cow"])


@pytest.mark.parametrize("method", ["none", "temperature"])
@pytest.mark.parametrize("y", [np.array([0, 0, 2, 2, 0, 2]), np.zeros(6, dtype=int), np.full(6, 2)])
def test_a_calibrator_that_is_the_same_for_all_classes_needs_rows_of_none(method, y):
    p = fit(method, Z, y, kind="logits", n_classes=3).predict(Z)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_are_no_probabilities_are_refused(method):
    p = softmax(Z, axis=1)
    p[4] *= 1.01
    with pytest.raises(EstimatorError, match=r"those of calibration row 4 sum to 1\.01, expected 1"):
        fit(method, p, Z_Y, kind="probabilities", n_classes=3)
    p[2, 1] = -0.5
    with pytest.raises(
        EstimatorError, match=r"not probabilities: calibration row 2 has -0\.5; expected numbers"
    ):
        fit(method, p, Z_Y, kind="probabilities", n_classes=3)
    with pytest.raises(EstimatorError, match="not probabilities: calibration row 7 has 3; expected numbers"):
        fit(method, np.maximum(F, 0) * (F != 2) * (F != 1.1), F_Y, kind="probabilities", n_classes=2)


def test_the_rounding_of_float32_is_no_reason_to_refuse_probabilities():
    scores, y = made(300, 10, kind="probabilities")
    rounded = scores.astype(np.float32).astype(np.float64) - 3.6e-7
    assert np.isfinite(fit("beta", rounded, y, kind="probabilities", n_classes=10).predict(rounded)).all()


def test_the_command_names_every_calibrator(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["sklearn", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    *others, last = METHODS
    assert f"{', '.join(others)} or {last} (default: auto)" in text


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


@pytest.mark.parametrize(("method", "kind"), CASES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_row_of_weight_2_counts_as_two_rows_and_one_of_weight_0_as_none(method, kind, n_classes):
    scores, y = made(150, n_classes, kind=kind)
    weights = np.random.default_rng(1).integers(0, 4, len(y))
    weights[:n_classes] = 1  # no class may be missing
    weighted = fit(method, scores, y, kind=kind, n_classes=n_classes, weights=weights.astype(float))
    repeated = fit(
        method, np.repeat(scores, weights, 0), np.repeat(y, weights), kind=kind, n_classes=n_classes
    )
    np.testing.assert_allclose(weighted.predict(scores), repeated.predict(scores), rtol=0, atol=2e-4)
