"""Calibrators as ONNX nodes: the same numbers as in NumPy, and NaN for rows without scores."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tamiz_convert.calibrators import METHODS
from tamiz_convert.calibrators.identity import Identity
from tamiz_convert.calibrators.isotonic import Isotonic
from tamiz_convert.calibrators.methods import fit
from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.runner import Runner
from tamiz_convert.graphs.score_graph import SCORES
from tamiz_convert.graphs.trees import Tree, append_trees
from tamiz_convert.pipeline.graft import graft

CASES = [
    (method, kind)
    for method in METHODS
    for kind in ("logits", "margins", "probabilities")
    if not (kind == "margins" and METHODS[method].needs_probabilities)
]


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


def tied(scores: np.ndarray, kind: str) -> np.ndarray:
    """A handful of distinct rows, with probabilities of exactly 0 and 1 among them."""
    if kind != "probabilities":
        return np.round(scores)
    return (
        np.round(4 * scores) / 4 if scores.shape[1] == 1 else np.eye(scores.shape[1])[scores.argmax(axis=1)]
    )


def constant(scores: np.ndarray, kind: str) -> np.ndarray:
    value = 1 / scores.shape[1] if kind == "probabilities" and scores.shape[1] > 1 else 0.5
    return np.full_like(scores, value)


def separable(y: np.ndarray, n_classes: int, kind: str) -> np.ndarray:
    certain = np.eye(n_classes)[y] if kind == "probabilities" else 6.0 * np.eye(n_classes)[y] - 3.0
    return certain[:, 1:] if n_classes == 2 else certain


def asked_of(scores: np.ndarray, kind: str) -> np.ndarray:
    """Rows like the calibration rows, their neighbors, and the most extreme ones that can be."""
    n_scores = scores.shape[1]
    near = [scores, np.nextafter(scores, 1e9), np.nextafter(scores, -1e9)]
    if kind == "probabilities":
        tiny = np.array(
            [[1e-300], [1e-13], [0.5], [np.nextafter(0.5, 1)], [1 - 1e-16], [0.0], [1.0], [-3.6e-7]]
        )
        if n_scores == 1:
            return np.concatenate([*near, tiny])
        rest = (1 - tiny) / (n_scores - 1)
        extremes = np.hstack([np.repeat(rest, n_scores - 1, axis=1), tiny])
        return np.concatenate([*near, extremes, np.eye(n_scores), np.roll(extremes, 1, axis=1)])
    large = np.array([1e-300, 30.0, 40.0, 700.0, 1e5, 1e30, 1e300])
    one_large = np.concatenate([sign * size * np.eye(n_scores) for size in large for sign in (1, -1)])
    all_large = np.concatenate([np.full((1, n_scores), sign * size) for size in large for sign in (1, -1)])
    return np.concatenate([*near, one_large, all_large, scores * 1e5])


@pytest.mark.parametrize(("method", "kind"), CASES)
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_nodes_give_what_numpy_gives(method, kind, n_classes):
    random_scores, y = made(400, n_classes, kind)
    for scores in (
        random_scores,
        tied(random_scores, kind),
        constant(random_scores, kind),
        separable(y, n_classes, kind),
    ):
        fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
        asked = np.concatenate([asked_of(scores, kind), asked_of(random_scores, kind)])
        found = run(fitted, n_classes, asked)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, fitted.predict(asked), atol=1e-9)
        if method != "none":
            np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
            assert found.min() >= 0


@pytest.mark.parametrize("n_knots", [1, 2, 3, 500, 4_000])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_an_isotonic_of_any_size_is_exact_on_its_knots_and_between(n_knots, n_classes):
    random = np.random.default_rng(n_knots)
    n_scores = 1 if n_classes == 2 else n_classes
    x = np.sort(random.normal(0, 1, (n_scores, n_knots)), axis=1)
    y = np.sort(random.uniform(0.01, 0.99, (n_scores, n_knots)), axis=1)
    calibrator = Isotonic(tuple(x), tuple(y))
    between = (x[:, :-1] + x[:, 1:]) / 2
    ends = np.tile([-1e9, 1e9], (n_scores, 1))
    asked = np.hstack([x, between, np.nextafter(x, 9), np.nextafter(x, -9), ends]).T
    np.testing.assert_allclose(run(calibrator, n_classes, asked), calibrator.predict(asked), atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_venn_abers_of_many_rows_is_exact_on_its_steps_and_at_their_ends(n_classes):
    random = np.random.default_rng(0)
    scores = random.normal(0, 1, (20_000, 1 if n_classes == 2 else n_classes))
    y = (
        (scores[:, 0] + random.normal(0, 2, 20_000) > 0).astype(np.int64)
        if n_classes == 2
        else (scores + random.gumbel(0, 1, scores.shape)).argmax(axis=1)
    )
    fitted = fit("venn-abers", scores, y, kind="margins", n_classes=n_classes)
    n_ends = min(map(len, fitted.x))
    ends = np.stack([x[:n_ends] for x in fitted.x], axis=1)
    asked = np.concatenate([scores[:5_000], ends, np.nextafter(ends, 9), np.nextafter(ends, -9)])
    assert n_ends > 100
    np.testing.assert_allclose(run(fitted, n_classes, asked), fitted.predict(asked), atol=1e-15)


@pytest.mark.parametrize("method", ["isotonic", "venn-abers"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_trees_of_the_older_kind_search_as_well(method, n_classes):
    """A forest of several classes puts TreeEnsembleRegressor into the graph, where both kinds cannot be."""
    builder = GraphBuilder()
    builder.input("x", TensorProto.DOUBLE, [None, 1 if n_classes == 2 else n_classes])
    leaf = Tree(
        *(np.array([value]) for value in (0, 0.0, -1, -1)), np.array([False]), np.zeros((1, 2)), target=0
    )
    unused = append_trees(builder, [leaf], "x", 2, rounds_to_float32=False)
    zero = builder.add("ReduceSum", unused, builder.constant([1], np.int64), keepdims=1)
    n_scores = 1 if n_classes == 2 else n_classes
    model = builder.build(builder.add("Add", "x", zero), SCORES, TensorProto.DOUBLE, n_scores)
    scores, y = made(400, n_classes, "logits")
    fitted = fit(method, scores, y, kind="logits", n_classes=n_classes)
    grafted = graft(model, fitted, n_classes=n_classes)
    assert {node.op_type for node in grafted.graph.node if "Tree" in node.op_type} == {
        "TreeEnsembleRegressor"
    }
    np.testing.assert_allclose(Runner(grafted).run({"x": scores}), fitted.predict(scores), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_ten_classes_take_no_more_nodes_than_three(method):
    n_nodes = []
    for n_classes in (3, 10):
        scores, y = made(100, n_classes, "probabilities")
        fitted = fit(method, scores, y, kind="probabilities", n_classes=n_classes)
        n_nodes.append(len(graft(score_graph(n_classes), fitted, n_classes=n_classes).graph.node))
    assert n_nodes[0] == n_nodes[1] <= 27


@pytest.mark.parametrize(("method", "kind"), CASES)
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_could_not_be_scored_gets_no_probability(method, kind, n_classes, value):
    scores, y = made(300, n_classes, kind)
    fitted = fit(method, scores, y, kind=kind, n_classes=n_classes)
    spoiled = scores[:3].copy()
    spoiled[1, -1] = value
    found = run(fitted, n_classes, spoiled)
    assert np.isfinite(found[[0, 2]]).all()
    assert np.isnan(found[1]).all()


def test_the_scores_can_still_be_found_by_name():
    model = graft(score_graph(3), Identity("logits"), n_classes=3)
    assert SCORES in {output for node in model.graph.node for output in node.output}
    assert [output.name for output in model.graph.output] == ["probabilities"]


def test_grafting_twice_gives_the_same_bytes():
    scores, y = made(300, 3, "logits")
    fitted = fit("isotonic", scores, y, kind="logits", n_classes=3)
    one, other = (graft(score_graph(3), fitted, n_classes=3).SerializeToString() for _ in range(2))
    assert one == other
