"""A flipped label or decision is an error, even if the difference is within the tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from tamiz_convert import ParityError
from tamiz_convert.pipeline.parity import check_probabilities


def compared(found, expected, threshold):
    """Compare a graph that gives what it reads."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [name]) for name in ("scores", "probabilities")],
        "given",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    found, expected = (np.array([[1.0 - p, p] for p in each]) for each in (found, expected))
    return check_probabilities(
        model,
        {"x": found},
        found,
        lambda _: expected,
        tolerance=1e-4,
        threshold=threshold,
        is_single_precision=False,
    )


@pytest.mark.parametrize("threshold", [0.8, np.array([0.5, 0.8])])
@pytest.mark.parametrize(("found", "expected"), [(0.80004, 0.79997), (0.79997, 0.80004), (0.8, 0.799998)])
def test_a_row_that_crosses_its_threshold_stops_the_export(found, expected, threshold):
    with pytest.raises(ParityError, match=r"1 crosses the threshold 0\.8"):
        compared([0.9, found], [0.9, expected], threshold)


@pytest.mark.parametrize("expected", [0.7999995, 0.8, 0.8000005])
def test_a_row_on_its_threshold_may_fall_on_either_side(expected):
    assert compared([0.9, 0.8], [0.9, expected], 0.8).label_flips == 0


def test_a_label_that_flips_stops_the_export():
    with pytest.raises(ParityError, match="1 labels differ; the first is in 1"):
        compared([0.9, 0.50003], [0.9, 0.49997], 0.8)


def test_a_tie_may_fall_on_either_side():
    assert compared([0.9, 0.5000001], [0.9, 0.4999999], 0.8).label_flips == 0
