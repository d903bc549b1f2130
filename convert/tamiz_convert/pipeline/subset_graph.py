"""The output `subset`: the graph computes the slice of a row from the slice column's input."""

from __future__ import annotations

from typing import Any, Final

import onnx
from onnx import TensorProto, helper

from tamiz.bundle_format import SUBSET
from tamiz.v1.manifest_pb2 import DataType, InputSpec
from tamiz_convert.errors import RowsError
from tamiz_convert.graphs.builder import ML_OPSET, OWN_NAMES
from tamiz_convert.rows.slices import SliceColumn

_ML: Final = "ai.onnx.ml"
_PREFIX: Final = "subset_"
_UNKNOWN: Final = -1
_ELEM_TYPES: Final = {
    DataType.DATA_TYPE_BOOL: TensorProto.BOOL,
    DataType.DATA_TYPE_INT64: TensorProto.INT64,
    DataType.DATA_TYPE_STRING: TensorProto.STRING,
}


def inputs_with(inputs: tuple[InputSpec, ...], column: SliceColumn) -> tuple[InputSpec, ...]:
    """Return the inputs of a graph with slices: one more, unless the graph already reads the column.

    Raises:
        RowsError: if an input of that name has another type or shape.
    """
    same = next((spec for spec in inputs if spec.name == column.name), None)
    if same is None:
        return (*inputs, column.spec)
    if same.dtype != column.dtype or list(same.shape) != [-1, 1]:
        raise RowsError(
            f"slice_by={column.name!r} is also the name of an input of the model, of another type or shape"
            " than the column: rename the column"
        )
    return inputs


def append_subset(model: onnx.ModelProto, column: SliceColumn) -> onnx.ModelProto:
    """Append the output `subset`.

        column [n, 1] ─► Reshape [n] (─► Cast, of bool) ─► LabelEncoder, −1 for the unknown ─► subset

    Args:
        model: a graph whose first output is `probabilities`.
        column: the slices; an input of this name is added if there is none.

    Returns:
        A graph with the outputs `probabilities` and `subset`, (n_rows,), int64: the index of the slice, or
        -1.

    Raises:
        RowsError: if the column has a name that the graph needs for itself.
    """
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    graph = extended.graph
    given = {each.name for each in graph.input}
    if column.name not in given:
        _check_name(column.name, graph)
        graph.input.append(helper.make_tensor_value_info(column.name, _ELEM_TYPES[column.dtype], [None, 1]))
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in (*given, column.name)):
        prefix = f"_{prefix}"
    graph.initializer.append(helper.make_tensor(f"{prefix}shape", TensorProto.INT64, [1], [-1]))
    graph.node.extend(_nodes(column, prefix))
    graph.output.append(helper.make_tensor_value_info(SUBSET, TensorProto.INT64, [None]))
    known = [opset for opset in extended.opset_import if opset.domain == _ML]
    for opset in known or [extended.opset_import.add(domain=_ML)]:
        opset.version = max(opset.version, ML_OPSET)  # older versions of LabelEncoder have other attributes
    onnx.checker.check_model(extended)
    return extended


def _check_name(name: str, graph: onnx.GraphProto) -> None:
    inner = {each.name for each in graph.initializer}.union(*(node.output for node in graph.node))
    if name in inner or name in OWN_NAMES:
        raise RowsError(
            f"slice_by={name!r} is a name that the bundle's graph needs for itself: rename the column"
        )


def _nodes(column: SliceColumn, prefix: str) -> list[onnx.NodeProto]:
    flat, keys = f"{prefix}flat", f"{prefix}keys"
    is_text = column.dtype == DataType.DATA_TYPE_STRING
    known: dict[str, Any] = {
        "keys_strings" if is_text else "keys_int64s": [v if is_text else int(v) for v in column.values]
    }
    nodes = [helper.make_node("Reshape", [column.name, f"{prefix}shape"], [flat], name=flat)]
    if column.dtype == DataType.DATA_TYPE_BOOL:
        nodes.append(helper.make_node("Cast", [flat], [keys], name=keys, to=TensorProto.INT64))
    encoder = helper.make_node(
        "LabelEncoder",
        [nodes[-1].output[0]],
        [SUBSET],
        name=SUBSET,
        domain=_ML,
        **known,
        values_int64s=list(range(len(column.values))),
        default_int64=_UNKNOWN,
    )
    return [*nodes, encoder]
