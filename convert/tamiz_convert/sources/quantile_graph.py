"""A QuantileTransformer as a handful of nodes. skl2onnx makes some for every quantile: 1,000 take an hour."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto
from sklearn.preprocessing import QuantileTransformer

from tamiz_convert.graphs.builder import GraphBuilder


def append_quantiles(builder: GraphBuilder, step: QuantileTransformer, name: str) -> str:
    """Append a fitted QuantileTransformer to the uniform distribution; return the name of its output.

    As in scikit-learn, a value is interpolated between the quantiles below and above it, once from either
    side, because quantiles may be equal. NaN stays NaN.

    x ─► count quantiles up to x, from x on ─► Gather(quantiles, references) ─► two lines ─► mean

    Args:
        builder: the graph.
        step: with the output distribution "uniform".
        name: the columns, (n_rows, n_columns), float64.
    """
    quantiles = step.quantiles_.T
    n_columns, n_quantiles = quantiles.shape
    low, high = (builder.constant(quantiles[None, :, edge]) for edge in (0, -1))
    x = builder.add("Min", builder.add("Max", name, low), high)
    wide = builder.add("Unsqueeze", x, builder.constant([2], np.int64))
    all_quantiles = builder.constant(quantiles[None])
    flat, references = (
        builder.constant(quantiles.ravel()),
        builder.constant(np.tile(step.references_, n_columns)),
    )
    first = np.arange(n_columns)[None] * n_quantiles

    def count(comparison: str) -> str:
        hits = builder.cast(builder.add(comparison, wide, all_quantiles), TensorProto.INT64)
        return builder.add("ReduceSum", hits, builder.constant([2], np.int64), keepdims=0)

    def position(index: str) -> str:
        """Return the place of each column's quantile in the flat list."""
        lowest, highest = (builder.constant(first + edge, np.int64) for edge in (0, n_quantiles - 1))
        placed = builder.add("Add", index, builder.constant(first, np.int64))
        return builder.add("Min", builder.add("Max", placed, lowest), highest)

    def line(start: str, end: str) -> str:
        """Return the reference at `start`, and what the line to `end` adds to it."""
        x0, x1 = (builder.add("Gather", flat, each) for each in (start, end))
        y0, y1 = (builder.add("Gather", references, each) for each in (start, end))
        run = builder.add("Sub", x1, x0)
        is_same = builder.add("Equal", run, builder.constant(0.0))
        slope = builder.add(
            "Div", builder.add("Sub", y1, y0), builder.add("Where", is_same, builder.constant(1.0), run)
        )
        return builder.add("Add", builder.add("Mul", slope, builder.add("Sub", x, x0)), y0)

    one = builder.constant(1, np.int64)
    below = builder.add("Sub", count("GreaterOrEqual"), one)
    above = builder.add("Sub", builder.constant(n_quantiles, np.int64), count("LessOrEqual"))
    upward = line(position(below), position(builder.add("Add", below, one)))
    downward = line(position(above), position(builder.add("Sub", above, one)))
    found = builder.add("Mul", builder.add("Add", upward, downward), builder.constant(0.5))
    # Equal quantiles at an end count whole: beyond them there is nothing to take the mean with.
    for comparison, edge, at in (("GreaterOrEqual", high, -1), ("LessOrEqual", low, 0)):
        outside = builder.add(comparison, name, edge)
        found = builder.add("Where", outside, builder.constant(step.references_[at]), found)
    return builder.add("Where", builder.add("IsNaN", name), name, found)
