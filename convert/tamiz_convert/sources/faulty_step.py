"""Which step of a Pipeline a graph does not follow: looked for only where graph and estimator differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tamiz_convert.graphs.runner import Runner
from tamiz_convert.rows.inputs import Inputs
from tamiz_convert.sources.failures import shown

_SAME: Final = 1e-5

Traced = Sequence[tuple[Any, str]]
"""Fitted steps, each with the name of its output in the graph."""


def finder(model: onnx.ModelProto, inputs: Inputs, traced: Traced) -> Callable[[Any], str]:
    """Return a function: the caller's rows → the first step whose output the graph computes otherwise, or "".

    Args:
        model: the score graph.
        inputs: its inputs, and those of the Pipeline.
        traced: the steps, from the first one on.
    """

    def find(rows: Any) -> str:
        with suppress(Exception):  # it only adds to an error, and whatever goes wrong here must not hide that
            asked = inputs.canonical(rows)
            for step, name in traced:
                asked = step.transform(asked)
                found = Runner(_giving(model, name)).run(inputs.feed(rows))
                expected = np.asarray(asked.toarray() if hasattr(asked, "toarray") else asked, np.float64)
                if not _same(found, expected):
                    return _named(step, found, expected)
        return ""

    return find


def _giving(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return the model with another output alone."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    asked.graph.ClearField("output")
    asked.graph.output.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, None))
    return asked


def _named(step: Any, found: NDArray[np.float64], expected: NDArray[np.float64]) -> str:
    """Return a step as scikit-learn prints it; of a ColumnTransformer, the transformer that differs."""
    for name, columns in getattr(step, "output_indices_", {}).items():
        if found.shape == expected.shape and not _same(found[:, columns], expected[:, columns]):
            return f"{shown(step.named_transformers_[name])}, {name!r} of the {type(step).__name__},"
    return f"the step {shown(step)}"


def _same(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    return found.shape == expected.shape and np.allclose(
        found, expected, rtol=_SAME, atol=_SAME, equal_nan=True
    )
