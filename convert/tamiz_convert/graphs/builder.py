"""Build one ONNX graph from single nodes and from whole graphs of other converters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from tamiz.bundle_format import PROBABILITIES, SUBSET
from tamiz.dtypes import NUMERIC_DTYPES
from tamiz.v1.manifest_pb2 import InputSpec
from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.score_graph import SCORES

OPSET: Final = 19
"""The version of the standard operators: the first in which Equal compares strings."""

ML_OPSET: Final = 3
"""The version of ai.onnx.ml, unless a node needs a later one."""

OWN_NAMES: Final = ("", SCORES, PROBABILITIES, SUBSET)
"""Names that a bundle's graph needs for itself, and that no input can have."""

_IR_VERSION: Final = 10
_ML: Final = "ai.onnx.ml"


class GraphBuilder:
    """Collects nodes. Names are numbered, so the same calls give the same bytes.

    No name that it makes is the name of an input, or the beginning of one: columns may be called anything.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._inputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._opsets: dict[str, int] = {"": OPSET}
        self._count = 0

    @classmethod
    def extending(cls, model: onnx.ModelProto, prefix: str) -> GraphBuilder:
        """Return a builder that appends to a model. Every name that it makes has the prefix."""
        builder = cls(prefix)
        builder._inputs.extend(model.graph.input)
        builder._nodes.extend(model.graph.node)
        builder._initializers.extend(model.graph.initializer)
        builder._opsets = {opset.domain: opset.version for opset in model.opset_import}
        return builder

    def has(self, op_type: str) -> bool:
        """Return whether the graph holds a node of this type."""
        return any(node.op_type == op_type for node in self._nodes)

    def last(self, op_type: str) -> onnx.NodeProto:
        """Return the last node of this type."""
        return next(node for node in reversed(self._nodes) if node.op_type == op_type)

    def declare(self, spec: InputSpec) -> str:
        """Add an input as a manifest describes it; return its name."""
        dtype = np.dtype(NUMERIC_DTYPES.get(spec.dtype, object))
        elem_type = helper.np_dtype_to_tensor_dtype(dtype)
        return self.input(spec.name, elem_type, [None, *spec.shape[1:]])

    def input(self, name: str, elem_type: int, shape: Sequence[int | None]) -> str:
        """Declare an input of the graph, before any node; None stands for the number of rows.

        Raises:
            EstimatorError: if the name is one of the bundle's own.
        """
        refuse_own_names([name])
        self._inputs.append(helper.make_tensor_value_info(name, elem_type, shape))
        return name

    def add(
        self, op_type: str, *inputs: str, domain: str = "", ml_opset: int = ML_OPSET, **attributes: Any
    ) -> str:
        """Append a node with one output; return the output's name."""
        output = self._name(op_type)
        self._nodes.append(
            helper.make_node(op_type, inputs, [output], name=output, domain=domain, **attributes)
        )
        if domain == _ML:
            self._opsets[_ML] = max(self._opsets.get(_ML, 0), ml_opset)
        return output

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """Store an array, or a list of strings, as a constant; return its name."""
        name = self._name("constant")
        array = np.asarray(value, dtype=dtype)
        if array.dtype.kind in "OU":
            tensor = onnx.TensorProto(name=name, data_type=TensorProto.STRING, dims=array.shape)
            tensor.string_data.extend(str(item).encode() for item in array.ravel())
        else:
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self._initializers.append(tensor)
        return name

    def cast(self, name: str, elem_type: int) -> str:
        """Append a conversion to another type; return its name."""
        return self.add("Cast", name, to=elem_type)

    def embed(self, model: onnx.ModelProto, inputs: Mapping[str, str]) -> list[str]:
        """Append all nodes of another model.

        Args:
            model: a model of the same standard opset.
            inputs: input names of the model → names in this graph.

        Returns:
            The names of the model's outputs in this graph, in the model's order.
        """
        prefix = self._name("part") + "_"
        part = compose.add_prefix(model, prefix).graph
        renamed = {prefix + theirs: ours for theirs, ours in inputs.items()}
        for node in part.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
        self._nodes.extend(part.node)
        self._initializers.extend(part.initializer)
        for opset in model.opset_import:
            if opset.domain:
                self._opsets[opset.domain] = max(self._opsets.get(opset.domain, 0), opset.version)
        return [output.name for output in part.output]

    def build(self, output: str, name: str, elem_type: int, n_columns: int) -> onnx.ModelProto:
        """Return the graph as a checked model with one output, `name`, of shape [rows, n_columns]."""
        self._nodes.append(helper.make_node("Identity", [output], [name], name=name))
        graph = helper.make_graph(
            self._nodes,
            "tamiz",
            self._inputs,
            [helper.make_tensor_value_info(name, elem_type, [None, n_columns])],
            self._initializers,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(self._opsets.items())]
        ir_version = max(_IR_VERSION, helper.find_min_ir_version_for(opsets, ignore_unknown=True))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="tamiz")
        onnx.checker.check_model(model)
        return model

    def _name(self, kind: str) -> str:
        self._count += 1
        name = f"{self._prefix}{kind}_{self._count}"
        is_taken = any(each.name.startswith(name) for each in self._inputs)
        return self._name(kind) if is_taken else name


def refuse_own_names(inputs: Iterable[str]) -> None:
    """Refuse inputs whose names a bundle needs for itself.

    Raises:
        EstimatorError: with the name.
    """
    for name in inputs:
        if name in OWN_NAMES:
            raise EstimatorError(
                f"a column or input is called {name!r}, which is a name of the bundle's own; rename it"
                if name
                else "a column or input has an empty name; give it one"
            )


def attribute_tensor(array: NDArray[Any]) -> onnx.TensorProto:
    """Return an array as an attribute of a node."""
    return numpy_helper.from_array(np.ascontiguousarray(array))
