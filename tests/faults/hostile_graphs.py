"""Graphs that do harm, in bundles that are otherwise well formed: manifest and digest fit the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from google.protobuf import json_format
from onnx import TensorProto, helper, numpy_helper

from tamiz.bundle_format import FILE_NAME, MANIFEST_KEY, PROBABILITIES, graph_digest
from tamiz.v1.manifest_pb2 import Certificate, Classes, DataType, InputSpec, Manifest, Threshold
from tamiz.v1.onnx_file_pb2 import OnnxFile

_TYPES = {TensorProto.DOUBLE: DataType.DATA_TYPE_FLOAT64, TensorProto.INT64: DataType.DATA_TYPE_INT64}
_LONG = 2**62


def write(folder: Path, graph: onnx.GraphProto, functions: tuple[onnx.FunctionProto, ...] = ()) -> Path:
    """Write a graph as a bundle into a version folder."""
    opsets = [helper.make_opsetid("", 19), *(helper.make_opsetid(name, 1) for name in ("evil", "loud"))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)
    return write_model(folder, model)


def write_model(folder: Path, model: onnx.ModelProto, manifest: Manifest | None = None) -> Path:
    """Write a model as a bundle; `manifest`: in place of one that fits it."""
    inputs = [
        InputSpec(
            name=each.name,
            dtype=_TYPES[each.type.tensor_type.elem_type],
            shape=[-1, *(dim.dim_value or -1 for dim in each.type.tensor_type.shape.dim[1:])],
        )
        for each in model.graph.input
    ]
    certificate = Certificate(max_error=0.05, confidence_level=0.9, n_rows=100, n_accepted=80)
    manifest = manifest or Manifest(
        format_version=1,
        inputs=inputs,
        classes=Classes(strings=["no", "yes"]),
        threshold=Threshold(value=0.8, certificate=certificate),
    )
    manifest.graph_digest = graph_digest(OnnxFile.FromString(model.SerializeToString()))
    helper.set_model_props(model, {MANIFEST_KEY: json_format.MessageToJson(manifest)})
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(model.SerializeToString())
    return folder / FILE_NAME


def graph_of(
    nodes: list[onnx.NodeProto],
    initializers: tuple[onnx.TensorProto, ...] = (),
    *,
    dtype: int = TensorProto.DOUBLE,
) -> onnx.GraphProto:
    """`features` [n, 2] ─► nodes, which make `extra`, a number ─► ·0 ─► + softmax of the features
    ─► probabilities.
    """
    end = [
        helper.make_node("Cast", ["features"], ["as_double"], to=TensorProto.DOUBLE),
        helper.make_node("Softmax", ["as_double"], ["softmax"], axis=1),
        helper.make_node("Cast", ["extra"], ["extra_double"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["extra_double", "zero"], ["nothing"]),
        helper.make_node("Add", ["softmax", "nothing"], [PROBABILITIES]),
    ]
    return helper.make_graph(
        [*nodes, *end],
        "hostile",
        [helper.make_tensor_value_info("features", dtype, [None, 2])],
        [helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [None, 2])],
        [numpy_helper.from_array(np.array(0.0), "zero"), *initializers],
    )


def integers(name: str, *values: int) -> onnx.TensorProto:
    """An initializer of integers, [len(values)]."""
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def summed(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes that make `big`, and its sum as `extra`."""
    return [*nodes, helper.make_node("ReduceSum", ["big"], ["extra"], keepdims=0)]


def constant_of_shape(n_elements: int) -> onnx.GraphProto:
    value = helper.make_tensor("v", TensorProto.DOUBLE, [1], [1.0])
    return graph_of(
        summed(helper.make_node("ConstantOfShape", ["n"], ["big"], value=value)), (integers("n", n_elements),)
    )


def expand(n_elements: int) -> onnx.GraphProto:
    return graph_of(summed(helper.make_node("Expand", ["zero", "n"], ["big"])), (integers("n", n_elements),))


def tile(n_elements: int) -> onnx.GraphProto:
    one = numpy_helper.from_array(np.ones(1), "one")
    return graph_of(summed(helper.make_node("Tile", ["one", "n"], ["big"])), (integers("n", n_elements), one))


def outer_product(side: int) -> onnx.GraphProto:
    """Two columns of moderate size, and a broadcast: no operator in it is suspicious."""
    value = helper.make_tensor("v", TensorProto.DOUBLE, [1], [1.0])
    nodes = summed(
        helper.make_node("ConstantOfShape", ["n1"], ["column"], value=value),
        helper.make_node("ConstantOfShape", ["1n"], ["row"], value=value),
        helper.make_node("Add", ["column", "row"], ["big"]),
    )
    return graph_of(nodes, (integers("n1", side, 1), integers("1n", 1, side)))


def doubling(times: int) -> onnx.GraphProto:
    """Concat of a tensor with itself, again and again, from the features on."""
    nodes = [helper.make_node("Concat", [f"x{k}", f"x{k}"], [f"x{k + 1}"], axis=0) for k in range(times)]
    return graph_of(
        summed(
            helper.make_node("Identity", ["features"], ["x0"]),
            *nodes,
            helper.make_node("Identity", [f"x{times}"], ["big"]),
        )
    )


def loop_body(nodes: list[onnx.NodeProto] | None = None) -> onnx.GraphProto:
    value = [helper.make_node("Identity", ["was"], ["is"])] if nodes is None else nodes
    return helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), *value],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("was", TensorProto.DOUBLE, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("is", TensorProto.DOUBLE, []),
        ],
    )


_TRUE = numpy_helper.from_array(np.array(True), "true")


def endless_loop() -> onnx.GraphProto:
    return graph_of([helper.make_node("Loop", ["", "true", "zero"], ["extra"], body=loop_body())], (_TRUE,))


def long_loop() -> onnx.GraphProto:
    trips = numpy_helper.from_array(np.array(_LONG), "trips")
    return graph_of(
        [helper.make_node("Loop", ["trips", "true", "zero"], ["extra"], body=loop_body())], (_TRUE, trips)
    )


def endless_loop_in_if() -> onnx.GraphProto:
    """An If whose branch holds a Loop that never ends."""
    branch = helper.make_graph(
        [helper.make_node("Loop", ["", "true", "zero"], ["looped"], body=loop_body())],
        "then",
        [],
        [helper.make_tensor_value_info("looped", TensorProto.DOUBLE, [])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["zero"], ["same"])],
        "else",
        [],
        [helper.make_tensor_value_info("same", TensorProto.DOUBLE, [])],
    )
    node = helper.make_node("If", ["true"], ["extra"], then_branch=branch, else_branch=other)
    return graph_of([node], (_TRUE,))


def scan_over_much(n_steps: int = 10**7) -> onnx.GraphProto:
    """A Scan of many steps."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "step"], ["sum"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("state", TensorProto.DOUBLE, []),
            helper.make_tensor_value_info("step", TensorProto.DOUBLE, []),
        ],
        [helper.make_tensor_value_info("sum", TensorProto.DOUBLE, [])],
    )
    value = helper.make_tensor("v", TensorProto.DOUBLE, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["steps"], value=value),
        helper.make_node("Scan", ["zero", "steps"], ["extra"], body=body, num_scan_inputs=1),
    ]
    return graph_of(nodes, (integers("n", n_steps),))


def trips_of_a_row() -> onnx.GraphProto:
    """A Loop with as many trips as the largest value in the rows: none at warm-up.

    `features` are integers.
    """
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["trips"], keepdims=0),
        helper.make_node("Loop", ["trips", "true", "zero"], ["extra"], body=loop_body()),
    ]
    return graph_of(nodes, (_TRUE,), dtype=TensorProto.INT64)


def size_of_a_row() -> onnx.GraphProto:
    """A tensor with as many elements as the largest value in the rows: none at warm-up.

    `features` are integers.
    """
    value = helper.make_tensor("v", TensorProto.DOUBLE, [1], [1.0])
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["most"], keepdims=0),
        helper.make_node("Reshape", ["most", "one"], ["n"]),
        *summed(helper.make_node("ConstantOfShape", ["n"], ["big"], value=value)),
    ]
    return graph_of(nodes, (integers("one", 1),), dtype=TensorProto.INT64)


def division_by_a_row() -> onnx.GraphProto:
    """The smallest number there is, divided by what is in the rows: for −1, the process ends."""
    return graph_of(
        summed(helper.make_node("Div", ["smallest", "features"], ["big"], name="ratio")),
        (integers("smallest", -(2**63)),),
        dtype=TensorProto.INT64,
    )


def division_in_a_loop() -> onnx.GraphProto:
    """The same within a Loop, by a value from around it that no operator of ONNX makes."""
    body = [
        helper.make_node("Steal", ["features"], ["stolen"], domain="com.microsoft"),
        helper.make_node("Div", ["smallest", "stolen"], ["big"], name="ratio"),
        helper.make_node("Identity", ["was"], ["is"]),
    ]
    trips = numpy_helper.from_array(np.array(1), "trips")
    return graph_of(
        [helper.make_node("Loop", ["trips", "true", "zero"], ["extra"], body=loop_body(body))],
        (_TRUE, trips, integers("smallest", -(2**63))),
        dtype=TensorProto.INT64,
    )


def external(location: str, **more: str) -> onnx.GraphProto:
    """An initializer that lies in another file."""
    tensor = TensorProto(name="outside", data_type=TensorProto.DOUBLE, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return graph_of([helper.make_node("ReduceSum", ["outside"], ["extra"], keepdims=0)], (tensor,))


def external_in_a_branch() -> onnx.GraphProto:
    """The same in the Constant of a graph within the graph."""
    tensor = TensorProto(name="outside", data_type=TensorProto.DOUBLE, dims=[])
    tensor.external_data.add(key="location", value="/etc/passwd")
    constant = helper.make_node("Constant", [], ["is"], value=tensor)
    trips = numpy_helper.from_array(np.array(1), "trips")
    return graph_of(
        [helper.make_node("Loop", ["trips", "true", "zero"], ["extra"], body=loop_body([constant]))],
        (_TRUE, trips),
    )


def foreign_domain() -> onnx.GraphProto:
    return graph_of([helper.make_node("Steal", ["features"], ["extra"], domain="evil", name="thief")])


def sparse_initializer() -> onnx.GraphProto:
    """A tensor of a petabyte in a hundred bytes."""
    graph = graph_of(summed(helper.make_node("Identity", ["outside"], ["big"])))
    sparse = graph.sparse_initializer.add(dims=[2**47])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1), "outside"))
    sparse.indices.CopyFrom(integers("i", 0))
    return graph


def hollow_initializer(*dims: int) -> onnx.GraphProto:
    """A tensor that says that it has more elements than there are."""
    tensor = TensorProto(name="hollow", data_type=TensorProto.DOUBLE, dims=dims, raw_data=bytes(8))
    return graph_of(summed(helper.make_node("Identity", ["hollow"], ["big"])), (tensor,))


def field(number: int, content: bytes) -> bytes:
    """A field of bytes or of a message, as protobuf writes it."""
    size, encoded = len(content), bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *encoded, size]) + content


def with_nodes(folder: Path, nodes: bytes) -> Path:
    """Write a bundle of a good graph and more nodes, as their bytes: libraries would take long to build
    these.
    """
    graph = graph_of([helper.make_node("Identity", ["zero"], ["extra"])])
    path = write(folder, graph)
    file = OnnxFile.FromString(path.read_bytes())
    file.graph += nodes
    manifest = json_format.Parse(file.metadata_props[0].value, Manifest())
    manifest.graph_digest = graph_digest(file)
    file.metadata_props[0].value = json_format.MessageToJson(manifest)
    path.write_bytes(file.SerializeToString())
    return path


def nested(depth: int) -> bytes:
    """If within If within If."""
    node = helper.make_node("Identity", ["zero"], ["unused"]).SerializeToString()
    for _ in range(depth):
        branch = field(6, field(1, node)) + field(1, b"then_branch") + bytes([20 << 3 & 0x7F | 0x80, 1, 5])
        node = field(1, b"true") + field(4, b"If") + field(5, branch)
    return field(1, node)


def chain(n_nodes: int) -> bytes:
    """Very many nodes."""
    return field(1, helper.make_node("Identity", ["zero"], ["unused"]).SerializeToString()) * n_nodes


def calling(name: str) -> onnx.GraphProto:
    return graph_of(
        [
            helper.make_node(name, ["zero"], ["extra"], domain="loud"),
        ]
    )


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """A function of one number that calls others, one after the other."""
    steps = ["x", *(f"y{k}" for k in range(len(calls)))]
    nodes = [
        helper.make_node(call, [steps[k]], [steps[k + 1]], domain="" if call == "Identity" else "loud")
        for k, call in enumerate(calls)
    ]
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("loud", 1)]
    return helper.make_function("loud", name, ["x"], [steps[-1]], nodes, opsets)


def _in_place_of(operator: str) -> onnx.FunctionProto:
    """A function with the name of one of ONNX's operators, which makes integers."""
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)]
    return helper.make_function("", operator, ["x"], ["y"], nodes, [helper.make_opsetid("", 19)])


def laughing(levels: int) -> tuple[onnx.FunctionProto, ...]:
    """Functions each of which calls the next one ten times."""
    last = function(f"f{levels}", "Identity")
    return (*(function(f"f{k}", *[f"f{k + 1}"] * 10) for k in range(levels)), last)


Writer = Callable[[Path], Path]

STATIC: dict[str, tuple[Writer, str]] = {
    "an operator of a foreign domain": (
        lambda folder: write(folder, foreign_domain()),
        "node 'thief' \\('Steal'\\) is an operator of the domain 'evil'",
    ),
    "external data beside it": (
        lambda f: write(f, external("weights.bin")),
        "'outside' is stored in another file",
    ),
    "external data at an absolute path": (
        lambda f: write(f, external("/etc/passwd", offset="0", length="8")),
        "'outside' is stored in another file",
    ),
    "external data above the folder": (
        lambda f: write(f, external("../../../../etc/passwd")),
        "'outside' is stored in another file",
    ),
    "external data in a loop's body": (
        lambda f: write(f, external_in_a_branch()),
        "'value', is stored in another",
    ),
    "a petabyte in a sparse tensor": (
        lambda f: write(f, sparse_initializer()),
        "'outside' is a sparse tensor",
    ),
    "a hollow tensor of a petabyte": (
        lambda f: write(f, hollow_initializer(2**47)),
        "'hollow' has more elements",
    ),
    "a tensor whose size overflows": (
        lambda f: write(f, hollow_initializer(2**40, 2**40, 2**40)),
        "'hollow' has more elements",
    ),
    "a tensor of negative size": (lambda f: write(f, hollow_initializer(-1)), "'hollow' has a negative size"),
    "a division that a row can make the last": (
        lambda f: write(f, division_by_a_row()),
        "node 'ratio' \\(Div\\) divides integers",
    ),
    "such a division in a loop": (
        lambda f: write(f, division_in_a_loop()),
        "node 'ratio' \\(Div\\) divides integers",
    ),
    "a function in place of an operator": (
        lambda f: write(f, calling("f"), (_in_place_of("Exp"),)),
        "function 'Exp' takes the place of an operator of ''",
    ),
    "graphs within graphs, 17 deep": (
        lambda f: with_nodes(f, nested(17)),
        "is nested 17 graphs deep: expected at most 16",
    ),
    "graphs within graphs, 40 deep": (
        lambda f: with_nodes(f, nested(40)),
        "its graph cannot be read, or is nested too deep",
    ),
    "a function that calls itself": (
        lambda f: write(f, calling("f"), (function("f", "f"),)),
        "function 'f' calls itself",
    ),
    "functions that call each other in a circle": (
        lambda f: write(f, calling("f"), (function("f", "g"), function("g", "f"))),
        "calls itself, or a chain of functions that is too long",
    ),
    "functions that grow to a thousand million nodes": (
        lambda f: write(f, calling("f0"), laughing(9)),
        "has 1111111113[0-9]+ nodes|nodes with those of its functions",
    ),
}
"""What is found by looking at the graph: how to write it, and what is said of it."""

MEMORY: dict[str, Writer] = {
    "ConstantOfShape of a petabyte": lambda f: write(f, constant_of_shape(2**47)),
    "ConstantOfShape of 64 GB": lambda f: write(f, constant_of_shape(2**33)),
    "ConstantOfShape of 8 GB": lambda f: write(f, constant_of_shape(2**30)),
    "ConstantOfShape beyond 64 bits": lambda f: write(f, constant_of_shape(2**62)),
    "Expand to 64 GB": lambda f: write(f, expand(2**33)),
    "Tile to 64 GB": lambda f: write(f, tile(2**33)),
    "a broadcast to 32 GB": lambda f: write(f, outer_product(2**16)),
    "Concat, doubled 40 times": lambda f: write(f, doubling(40)),
}
"""What needs more memory than the models of the server may take."""

TIME: dict[str, Writer] = {
    "a Loop without end": lambda f: write(f, endless_loop()),
    "a Loop of 2⁶² trips": lambda f: write(f, long_loop()),
    "a Loop without end in an If": lambda f: write(f, endless_loop_in_if()),
    "a Scan of 10⁷ steps": lambda f: write(f, scan_over_much()),
}
"""What computes without end, or for very long."""
