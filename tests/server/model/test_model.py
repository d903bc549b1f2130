"""A loaded bundle in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tamiz_server.errors import BundleError, ModelFailed, RowsFailed
from tamiz_server.model.bundle import read_bundle
from tamiz_server.model.model import Model


def load(path, *, n_threads=1, slow_above_s=1.0, cpus=2, max_batch_size=8):
    return Model(
        read_bundle(path),
        max_batch_size=max_batch_size,
        n_threads=n_threads,
        cpus=cpus,
        slow_above_s=slow_above_s,
    )


def test_it_gives_probabilities(make_bundle):
    model = load(make_bundle())
    features = np.array([[0.0, 1.0], [2.0, 2.0]], dtype=np.float32)
    expected = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.run({"features": features})[0], expected, atol=1e-15)
    assert model.n_classes == 2
    assert model.batch_seconds > 0


def test_it_warms_up_with_every_type_of_input(make_bundle):
    model = load(make_bundle(graph="text"))
    inputs = {"answer": np.array([["yes"], ["no"]], dtype=object), "age": np.array([[0.7], [0.7]])}
    np.testing.assert_allclose(model.run(inputs)[0], [[0.3, 0.7], [1.0, 0.0]])


@pytest.mark.parametrize("computes_others", [True, False])
def test_a_failure_of_onnxruntime_is_the_rows_if_the_model_computes_others(make_bundle, computes_others):
    model = load(make_bundle(graph="failing"))
    if not computes_others:
        # No graph can be had that computes its warm-up and nothing afterwards.
        model._computes_others = lambda _: False
    with pytest.raises(ModelFailed, match="the server's log says where") as caught:
        model.run({"row": np.array([[0], [4_711]])})
    assert type(caught.value) is (RowsFailed if computes_others else ModelFailed)
    assert "idx=4711" in str(caught.value.__cause__)
    assert caught.value.where == "INVALID_ARGUMENT at Gather node ''"


def test_a_fast_model_gets_one_thread_and_a_slow_one_all(make_bundle):
    path = make_bundle()
    assert load(path, n_threads=0, slow_above_s=10.0).n_threads == 1
    assert load(path, n_threads=0, slow_above_s=0.0).n_threads == 2
    assert load(path, n_threads=3, slow_above_s=0.0).n_threads == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: setattr(m.inputs[0], "name", "other"),
            r"the graph has inputs \['features'\], but its manifest says",
        ),
        (
            lambda m: setattr(m.inputs[0], "dtype", 12),
            r"input 'features' of tensor\(float\), but its manifest says float64",
        ),
        (
            lambda m: m.classes.strings.append("maybe"),
            r"the warm-up failed .*\[1, 2\] for 1 rows and 3 classes",
        ),
        (lambda m: m.inputs[0].shape.append(4), r"the warm-up failed"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_is_refused(make_bundle, change, message):
    with pytest.raises(BundleError, match=message):
        load(make_bundle(change=change))


def test_it_gives_the_slice_of_each_row_where_thresholds_differ_by_it(make_bundle, by_slice, by_class):
    inputs = {
        "features": np.zeros((3, 2), dtype=np.float32),
        "region": np.array([["south"], ["moon"], ["north"]], dtype=object),
    }
    probabilities, subset = load(make_bundle(graph="sliced", change=by_slice)).run(inputs)
    assert probabilities.shape == (3, 2)
    assert subset.tolist() == [1, -1, 0]
    features = {"features": inputs["features"]}
    assert load(make_bundle("m/2", change=by_class)).run(features)[1] is None


def test_the_output_with_the_slice_is_there_exactly_if_thresholds_differ_by_it(make_bundle, by_slice):
    def of_softmax(manifest):
        by_slice(manifest)
        manifest.threshold.slice_input = "features"

    with pytest.raises(
        BundleError, match=r"the graph has outputs .* but its manifest says .*'subset': 'tensor\(int64\)'"
    ):
        load(make_bundle(change=of_softmax))
    with pytest.raises(BundleError, match=r"the graph has outputs .*'subset'.* but its manifest says"):
        load(make_bundle("m/2", "sliced"))
