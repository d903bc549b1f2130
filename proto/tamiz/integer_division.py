"""Integer divisions that a row can turn into the end of the process, found in an ONNX graph.

The smallest int32 or int64 divided by −1 does not fit into its type. The processor refuses that division, and
the operating system ends the process (SIGFPE). onnxruntime looks for zeros only. So a divisor must be a
constant without −1, or guarded, as the exporter does it:

    b ─► Equal −1 ─► Where ─ 1 ─► divisor           a · −1 ─┐
                       └───  b                 is −1 ─► Where ─► quotient
                                            a / divisor ────┘

The graphs are messages of the onnx package, or of `onnx_file_pb2`: their fields have the same names. Types
are followed from inputs, constants and `value_info`, all of which onnxruntime checks when it loads the graph.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

INT32: Final = 6
INT64: Final = 7
_FLOAT: Final = 1
_BOOL: Final = 9
_ONNX: Final = {"", "ai.onnx"}
_KNOWN: Final = {*_ONNX, "ai.onnx.ml"}
_DTYPES: Final = {INT32: "<i4", INT64: "<i8"}

_OPERATORS: Final = {
    "not an integer": """
        Exp Log Sqrt Erf Sigmoid Tanh Softmax LogSoftmax Softplus Softsign Reciprocal Sin Cos Gelu HardSigmoid
        LayerNormalization InstanceNormalization LpNormalization ReduceLogSumExp ReduceLogSum LSTM GRU RNN
        Normalizer Scaler TreeEnsembleRegressor TreeEnsemble LinearRegressor SVMRegressor OneHotEncoder
        FeatureVectorizer DequantizeLinear QuantizeLinear StringNormalizer
        And Or Not Xor Equal Less LessOrEqual Greater GreaterOrEqual IsNaN IsInf
        """,
    "that of all inputs": "Add Sub Mul Div Min Max Sum Mean MatMul Gemm Concat PRelu Range Einsum",
    "that of the first input": """
        Abs Neg Sign Floor Ceil Round Relu LeakyRelu Elu Selu Clip Pow Mod CumSum Identity Reshape Transpose
        Gather GatherElements GatherND Slice Split Squeeze Unsqueeze Flatten Expand Tile Pad Compress Trilu
        TopK Dropout ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceSumSquare ReduceL1 ReduceL2
        ScatterElements ScatterND Conv MaxPool AveragePool GlobalAveragePool BatchNormalization DepthToSpace
        SpaceToDepth Resize Unique Imputer Binarizer ArrayFeatureExtractor
        """,
    "that of the last input": "CastLike OneHot",
    "that of the inputs after the first": "Where",
    "int64": "Shape Size ArgMax ArgMin NonZero",
    "scores in the second output": "LinearClassifier SVMClassifier TreeEnsembleClassifier",
    "declared": "If Loop Scan",
    "an attribute's": "Cast Constant ConstantOfShape LabelEncoder",
}
"""What is known of the type of an operator's outputs; of other operators, nothing."""

_KNOWN_OF: Final = {name: known for known, names in _OPERATORS.items() for name in names.split()}


class Division(NamedTuple):
    """A division that may end the process.

    Attributes:
        graph: the graph or function that holds it.
        node: the node.
        type: INT32 or INT64; 0: it cannot be told.
    """

    graph: Any
    node: Any
    type: int


def unguarded_divisions(graph: Any) -> Iterator[Division]:
    """Return the divisions of a graph, or of a function, and of the graphs within it, that are not safe."""
    yield from _Scope(graph, ChainMap(), ChainMap(), ChainMap()).divisions()


class _Scope:
    """What is known by name in a graph and around it."""

    def __init__(
        self,
        graph: Any,
        types: ChainMap[str, int],
        constants: ChainMap[str, NDArray[np.int64] | None],
        producers: ChainMap[str, Any],
    ) -> None:
        self._graph = graph
        self._types = types.new_child()
        self._constants = constants.new_child()
        self._producers = producers.new_child()

    def divisions(self) -> Iterator[Division]:
        self._declare()
        for node in self._graph.node:  # in an order in which what is read was made before
            for attribute in node.attribute:
                for within in _graphs(attribute):
                    yield from _Scope(within, self._types, self._constants, self._producers).divisions()
            if node.op_type == "Div" and node.domain in _ONNX:
                declared = self._types.maps[0].get(node.output[0], 0)
                type_ = self._type(node.input) or declared
                if type_ in (0, INT32, INT64) and not self._is_safe(node.input[1]):
                    yield Division(self._graph, node, type_)
            self._learn(node)

    def _declare(self) -> None:
        graph = self._graph
        for tensor in getattr(graph, "initializer", ()):  # a function has none
            self._define(tensor.name, tensor.data_type, _integers(tensor))
        is_function = not hasattr(graph, "initializer")
        for value in () if is_function else graph.input:
            if value.name not in self._types.maps[0]:  # a default for it is an initializer too
                self._define(value.name, value.type.tensor_type.elem_type)
        for value in graph.value_info if is_function else (*graph.output, *graph.value_info):
            self._types[value.name] = value.type.tensor_type.elem_type

    def _define(
        self, name: str, type_: int, values: NDArray[np.int64] | None = None, producer: Any = None
    ) -> None:
        """Note what a name stands for from here on, whatever it stands for around this graph."""
        self._types[name] = type_
        self._constants[name] = values
        self._producers[name] = producer

    def _type(self, names: Iterable[str]) -> int:
        """Return the type of the first of these values whose type is known; 0 if none is."""
        return next((known for name in names if (known := self._types.get(name, 0))), 0)

    def _learn(self, node: Any) -> None:
        """Note what a node makes."""
        attributes = {each.name: each for each in node.attribute}
        made = self._made(node, attributes) if node.domain in _KNOWN else []
        values = _constant(attributes) if node.op_type == "Constant" and node.domain in _ONNX else None
        for name, type_ in zip(node.output, [*made, *[0] * len(node.output)], strict=False):
            self._define(name, self._types.maps[0].get(name, 0) or type_, values, node)

    def _made(self, node: Any, attributes: dict[str, Any]) -> list[int]:
        """Return the types of a node's outputs, as far as they are known; 0 for what is not."""
        known = _KNOWN_OF.get(node.op_type)
        if known == "an attribute's":
            return [_type_of_attribute(attributes)]
        if known == "declared":
            return _declared(node.op_type, attributes)
        read = {
            "that of all inputs": node.input,
            "that of the first input": node.input[:1],
            "that of the last input": node.input[-1:],
            "that of the inputs after the first": node.input[1:],
        }
        if known in read:
            n_alike = len(node.output) if node.op_type == "Split" else 1
            return [self._type(read[known])] * n_alike
        types = {"not an integer": [_BOOL] * len(node.output), "int64": [INT64]}
        return types.get(known or "", [0, _FLOAT] if known else [])

    def _is_safe(self, divisor: str) -> bool:
        """Return whether a value is never −1."""
        if self._is_constant_without_minus_one(divisor):
            return True
        guard = _inputs(self._producers.get(divisor), "Where", 3)
        if not guard:
            return False
        condition, other, value = guard
        equal = _inputs(self._producers.get(condition), "Equal", 2)
        if not equal or equal[0] != value:
            return False
        compared = self._constants.get(equal[1])
        is_minus_one = compared is not None and compared.tolist() == [-1]
        return is_minus_one and self._is_constant_without_minus_one(other)

    def _is_constant_without_minus_one(self, name: str) -> bool:
        values = self._constants.get(name)
        return values is not None and not (values == -1).any()


def _inputs(node: Any, op_type: str, n_inputs: int) -> Sequence[str]:
    """Return the inputs of a node if it is such an operator of ONNX with so many; else none."""
    is_it = node is not None and node.op_type == op_type and node.domain in _ONNX
    return node.input if is_it and len(node.input) == n_inputs else ()


def _constant(attributes: dict[str, Any]) -> NDArray[np.int64] | None:
    """Return the values of a Constant of integers."""
    if "value" in attributes:
        return _integers(attributes["value"].t)
    if "value_int" in attributes:
        return np.array([attributes["value_int"].i], np.int64)
    return np.array(attributes["value_ints"].ints, np.int64) if "value_ints" in attributes else None


def _graphs(attribute: Any) -> list[Any]:
    return [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]


def _declared(op_type: str, attributes: dict[str, Any]) -> list[int]:
    """Return the types of a node's outputs by the graph within it; a Loop's first is its condition."""
    within = attributes["then_branch" if op_type == "If" else "body"].g.output
    return [each.type.tensor_type.elem_type for each in within][op_type == "Loop" :]


def _type_of_attribute(attributes: dict[str, Any]) -> int:
    """Return the type that an attribute gives to a node's output. The rest are texts and floats."""
    if "to" in attributes:
        return int(attributes["to"].i)
    for name in ("value", "values_tensor"):
        if name in attributes:
            return int(attributes[name].t.data_type)
    if "classes_strings" in attributes:  # an old LabelEncoder
        return 0
    whole = ("value_int", "value_ints", "values_int64s")
    return INT64 if any(name in attributes for name in whole) else _FLOAT


def _integers(tensor: Any) -> NDArray[np.int64] | None:
    """Return the values of a tensor of integers, flat; None if it has another type, or lies elsewhere."""
    if tensor.data_type not in _DTYPES:
        return None
    if tensor.raw_data:
        return np.frombuffer(tensor.raw_data, _DTYPES[tensor.data_type]).astype(np.int64)
    return np.array(tensor.int32_data if tensor.data_type == INT32 else tensor.int64_data, np.int64)
