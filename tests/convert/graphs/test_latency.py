"""Latency: a graph that does more takes longer."""

from __future__ import annotations

import time

import numpy as np
from onnx import TensorProto

from tamiz_convert.graphs.builder import GraphBuilder
from tamiz_convert.graphs.latency import median_us
from tamiz_convert.graphs.runner import Runner


def chain(n_products: int) -> Runner:
    builder = GraphBuilder()
    name = builder.input("x", TensorProto.DOUBLE, [None, 200])
    weights = builder.constant(np.eye(200))
    for _ in range(n_products):
        name = builder.add("MatMul", name, weights)
    return Runner(builder.build(name, "y", TensorProto.DOUBLE, 200))


def test_the_longer_graph_takes_longer():
    feed = {"x": np.ones((64, 200))}
    short, long = median_us([chain(1), chain(40)], [feed, feed])
    assert 0 < short < long


def test_a_slow_graph_is_run_at_least_three_times_and_not_a_hundred():
    class Slow:
        runs = 0

        def run_once(self, feed):
            self.runs += 1
            time.sleep(0.4)

    slow = Slow()
    (us,) = median_us([slow], [{}])
    assert us >= 400_000
    assert slow.runs == 3
