"""Calibrators as nodes: the same numbers as in numpy, and NaN for what could not be scored."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tamiz_convert.calibrators import Identity, Isotonic, fit
from tamiz_convert.graft import graft
from tamiz_convert.graph_builder import GraphBuilder
from tamiz_convert.parity import Runner
from tamiz_convert.score_graph import SCORES


def score_graph(n_scores: int) -> onnx.ModelProto:
    """A graph that hands its input on as scores."""
    builder = GraphBuilder()
    builder.input("x", TensorProto.DOUBLE, [None, n_scores])
    return builder.build("x", SCORES, TensorProto.DOUBLE, n_scores)


def run(calibrator, n_classes: int, scores: np.ndarray) -> np.ndarray:
    model = graft(score_graph(scores.shape[1]), calibrator, n_classes=n_classes)
    return Runner(model).run({"x": scores})


def made(n: int, n_classes: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n_classes)
    n_scores = 1 if n_classes == 2 else n_classes
    scores = random.normal(0, 2, (n, n_scores))
    if kind == "probabilities":
        scores = random.random((n, 1)) if n_scores == 1 else random.dirichlet(np.ones(n_scores), n)
    return scores, np.concatenate([np.arange(n_classes), random.integers(0, n_classes, n - n_classes)])


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("method", ["none", "sigmoid", "isotonic", "temperature"])
def test_the_nodes_give_what_numpy_gives(method, n_classes, kind):
    scores, y = made(400, n_classes, kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    asked = np.concatenate([scores, np.nextafter(scores, 1e9), np.nextafter(scores, -1e9)])
    if kind == "logits":
        asked = np.concatenate([asked, scores * 1e5])
    found = run(fitted, n_classes, asked)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, fitted.predict(asked), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("n_knots", [1, 2, 3, 500, 501, 4_000])
def test_an_isotonic_of_any_size_is_exact_on_its_knots_and_between(n_knots):
    random = np.random.default_rng(n_knots)
    x = np.sort(random.normal(0, 1, n_knots))
    y = np.sort(random.random(n_knots))
    calibrator = Isotonic((x,), (y,))
    between = (x[:-1] + x[1:]) / 2
    asked = np.concatenate([x, between, np.nextafter(x, 9), np.nextafter(x, -9), [-1e9, 1e9]])[:, None]
    np.testing.assert_allclose(run(calibrator, 2, asked), calibrator.predict(asked), atol=1e-9)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("method", ["none", "sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_could_not_be_scored_gets_no_probability(method, n_classes, kind, value):
    scores, y = made(300, n_classes, kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    spoiled = scores[:3].copy()
    spoiled[1, -1] = value
    found = run(fitted, n_classes, spoiled)
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(found[1]).any()


def test_the_scores_can_still_be_found_by_name():
    model = graft(score_graph(3), Identity("logits"), n_classes=3)
    assert SCORES in {output for node in model.graph.node for output in node.output}
    assert [output.name for output in model.graph.output] == ["probabilities"]


def test_grafting_twice_gives_the_same_bytes():
    scores, y = made(300, 3, "logits")
    fitted = fit("isotonic", scores, y, kind="logits", n_classes=3)
    one, other = (graft(score_graph(3), fitted, n_classes=3).SerializeToString() for _ in range(2))
    assert one == other
