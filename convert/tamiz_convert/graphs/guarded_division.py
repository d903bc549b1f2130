"""Guards the integer divisions of a graph: without it one row can end the server's process.

See `tamiz.integer_division` for the guard. In two's complement the smallest number divided by −1 is itself,
as NumPy and onnxruntime's vectorized code compute it; so is its product with −1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.inliner import inline_local_functions

from tamiz.integer_division import INT32, INT64, unguarded_divisions
from tamiz_convert.errors import EstimatorError

_PROVIDERS: Final = ["CPUExecutionProvider"]
_DTYPES: Final = {INT32: np.int32, INT64: np.int64}
_WHERE_SINCE: Final = 9
"""The version of ONNX's operators that has Where first."""


def guarded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that computes the same, and whose integer divisions cannot end the process.

    Where the type of a division is not plain, the model says it in `value_info`.

    Raises:
        EstimatorError: if the type of a division cannot be found out.
    """
    if not any(True for graph in (model.graph, *model.functions) for _ in unguarded_divisions(graph)):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(inline_local_functions(model) if model.functions else model)
    types = dict(_inferred_types(changed))
    for graph, node, known in list(unguarded_divisions(changed.graph)):
        type_ = known or types.get(node.output[0]) or _type_in_session(changed, node.output[0])
        if type_ in _DTYPES:
            _check_version(changed)
            _guard(graph, node, _DTYPES[type_])
        elif type_:
            graph.value_info.append(helper.make_tensor_value_info(node.output[0], type_, None))
    for _, node, _ in unguarded_divisions(changed.graph):
        raise EstimatorError(
            f"the type of what node {node.name or node.output[0]!r} (Div) divides cannot be found out, and"
            " integers would have to be guarded: name it in the graph's value_info (onnx.shape_inference), or"
            " export the model again"
        )
    return changed


def _check_version(model: onnx.ModelProto) -> None:
    version = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if version < _WHERE_SINCE:
        raise EstimatorError(
            f"the graph divides integers, and version {version} of ONNX's operators has no way to make that"
            f" safe; export it with version {_WHERE_SINCE} or later"
        )


def _guard(graph: Any, node: onnx.NodeProto, dtype: type) -> None:
    """Put the guard around a node of a graph, in its place."""
    at = list(graph.node).index(node)
    dividend, divisor = node.input
    result = node.output[0]
    name = f"{result}_guard_".__add__
    before = [
        _constant(name("minus_one"), dtype(-1)),
        _constant(name("one"), dtype(1)),
        helper.make_node("Equal", [divisor, name("minus_one")], [name("is_minus_one")]),
        helper.make_node("Where", [name("is_minus_one"), name("one"), divisor], [name("divisor")]),
    ]
    division = onnx.NodeProto()
    division.CopyFrom(node)
    division.input[1], division.output[0] = name("divisor"), name("quotient")
    after = [
        helper.make_node("Mul", [dividend, name("minus_one")], [name("negated")]),
        helper.make_node("Where", [name("is_minus_one"), name("negated"), name("quotient")], [result]),
    ]
    nodes = [*graph.node[:at], *before, division, *after, *graph.node[at + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)


def _constant(name: str, value: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def _inferred_types(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Return the types of values by name, as far as the onnx package infers them."""
    try:
        graphs = [onnx.shape_inference.infer_shapes(model).graph]
    except onnx.shape_inference.InferenceError:
        return
    while graphs:
        graph = graphs.pop()
        for value in (*graph.value_info, *graph.output):
            yield value.name, value.type.tensor_type.elem_type
        for attribute in (each for node in graph.node for each in node.attribute):
            graphs += [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]


def _type_in_session(model: onnx.ModelProto, name: str) -> int:
    """Return the type of a value in onnxruntime; 0 if it cannot be asked for, as within a loop."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    asked.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=_PROVIDERS)
    except Exception:  # noqa: BLE001  onnxruntime's exceptions share no base class
        return 0
    element = session.get_outputs()[-1].type.removeprefix("tensor(").removesuffix(")")
    return int(onnx.TensorProto.DataType.Value(element.upper()))
