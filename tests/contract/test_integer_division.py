"""Integer divisions that may end the process are found, whatever holds them; those that cannot are not."""

from __future__ import annotations

import faulthandler
import os
import signal

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tamiz.integer_division import INT32, INT64, unguarded_divisions
from tamiz.v1.onnx_file_pb2 import OnnxGraph
from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.guarded_division import guarded

DTYPES = {TensorProto.INT32: np.int32, TensorProto.INT64: np.int64}
node = helper.make_node


def constant(name, *values, dtype=np.int64):
    return node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, dtype)))


def model_of(nodes, type_=TensorProto.INT64, initializers=(), out=None, functions=(), opset=19):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, type_, [None]) for name in "ab"],
        [helper.make_tensor_value_info("q", out or type_, [None])],
        list(initializers),
    )
    opsets = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("own", 1),
        helper.make_opsetid("ai.onnx.ml", 3),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=functions)


def found(model):
    """The types of the divisions that are found, by the names of their results; the same by both packages."""
    by_onnx = [(each.node.output[0], each.type) for each in unguarded_divisions(model.graph)]
    ours = OnnxGraph.FromString(model.graph.SerializeToString())
    assert [(each.node.output[0], each.type) for each in unguarded_divisions(ours)] == by_onnx
    return dict(by_onnx)


def branches(*nodes, result, type_=TensorProto.INT64):
    """An If, both of whose branches are these nodes, which read what is around them."""
    graph = helper.make_graph(
        list(nodes), "branch", [], [helper.make_tensor_value_info(result, type_, [None])]
    )
    other = helper.make_graph(
        [node("Identity", ["a"], ["same"])],
        "other",
        [],
        [helper.make_tensor_value_info("same", type_, [None])],
    )
    return [
        node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
        node("If", ["yes"], ["q"], then_branch=graph, else_branch=other),
    ]


DIV = node("Div", ["a", "b"], ["q"])
RISKY = {
    "plain": [DIV],
    "with a name of the domain": [node("Div", ["a", "b"], ["q"], domain="ai.onnx")],
    "by a constant with −1 in it": [constant("c", 3, -1), node("Div", ["a", "c"], ["q"])],
    "of a constant": [constant("c", -(2**63)), node("Div", ["c", "b"], ["q"])],
    "after casts": [
        node("Cast", ["a"], ["f"], to=TensorProto.FLOAT),
        node("Cast", ["f"], ["i"], to=TensorProto.INT64),
        node("Div", ["i", "b"], ["q"]),
    ],
    "guarded against zero": [
        constant("z", 0),
        constant("o", 1),
        node("Equal", ["b", "z"], ["e"]),
        node("Where", ["e", "o", "b"], ["g"]),
        node("Div", ["a", "g"], ["q"]),
    ],
    "guarded against −1, but with −1": [
        constant("m", -1),
        node("Equal", ["b", "m"], ["e"]),
        node("Where", ["e", "m", "b"], ["g"]),
        node("Div", ["a", "g"], ["q"]),
    ],
    "guarded, but another value": [
        constant("m", -1),
        constant("o", 1),
        node("Equal", ["a", "m"], ["e"]),
        node("Where", ["e", "o", "b"], ["g"]),
        node("Div", ["a", "g"], ["q"]),
    ],
    "guarded the wrong way round": [
        constant("m", -1),
        constant("o", 1),
        node("Equal", ["b", "m"], ["e"]),
        node("Where", ["e", "b", "o"], ["g"]),
        node("Div", ["a", "g"], ["q"]),
    ],
    "in a branch": branches(node("Div", ["a", "b"], ["t"]), result="t"),
    "after operators of all kinds": [
        node("Abs", ["a"], ["x"]),
        node("Concat", ["x", "b"], ["y"], axis=0),
        node("Add", ["y", "y"], ["z"]),
        node("Div", ["z", "z"], ["q"]),
    ],
}


@pytest.mark.parametrize(
    ("what", "type_"),
    [*((each, INT64) for each in RISKY), ("plain", INT32), ("with a name of the domain", INT32)],
)
def test_a_division_that_may_end_the_process_is_found_guarded_and_then_not_found(what, type_):
    model = model_of(RISKY[what], type_)
    if (
        type_ == INT32
        and any(each.op_type in ("Constant", "Cast") for each in model.graph.node)
        and "branch" not in what
    ):
        pytest.skip("its constants are int64")
    assert found(model) == dict.fromkeys(found(model), type_) != {}
    safe = guarded(model)
    assert not found(safe)
    assert guarded(safe) is safe
    onnxruntime.InferenceSession(safe.SerializeToString(), providers=["CPUExecutionProvider"])


SAFE = {
    "floats": (model_of([DIV], TensorProto.FLOAT)),
    "doubles": (model_of([DIV], TensorProto.DOUBLE)),
    "small integers, which are computed in larger ones": model_of([DIV], TensorProto.INT16),
    "unsigned ones": model_of([DIV], TensorProto.UINT64),
    "by a constant": model_of([constant("c", 7, -2, 0), node("Div", ["a", "c"], ["q"])]),
    "by an initializer": model_of(
        [node("Div", ["a", "c"], ["q"])], initializers=[numpy_helper.from_array(np.array([5]), "c")]
    ),
    "by a value_int": model_of([node("Constant", [], ["c"], value_int=3), node("Div", ["a", "c"], ["q"])]),
    "of what was cast to floats": model_of(
        [node("Cast", ["a"], ["f"], to=TensorProto.DOUBLE), node("Div", ["f", "f"], ["q"])],
        out=TensorProto.DOUBLE,
    ),
    "by a sum of exponentials": model_of(
        [node("Exp", ["a"], ["e"]), node("Div", ["e", "e"], ["q"])], TensorProto.FLOAT
    ),
}


@pytest.mark.parametrize("what", SAFE)
def test_what_cannot_end_the_process_is_left_as_it_is(what):
    assert found(SAFE[what]) == {}
    assert guarded(SAFE[what]) is SAFE[what]


def test_where_names_within_a_branch_hide_those_around_it_the_inner_ones_count():
    """onnxruntime may refuse such graphs; nothing depends on that."""
    inner = [node("Identity", ["b"], ["c"]), node("Div", ["a", "c"], ["t"])]
    assert found(model_of([constant("c", 5), *branches(*inner, result="t")])) == {"t": INT64}
    lost = [
        node("Stranger", ["b"], ["f"], domain="own"),
        node("Div", ["f", "f"], ["u"]),
        node("Cast", ["u"], ["t"], to=TensorProto.INT64),
    ]
    around = [node("Cast", ["a"], ["f"], to=TensorProto.FLOAT)]
    assert found(model_of([*around, *branches(*lost, result="t")])) == {"u": 0}


def test_operators_of_a_domain_of_their_own_are_not_mistaken_for_those_of_onnx():
    nodes = [node("Exp", ["b"], ["e"], domain="own"), node("Div", ["e", "e"], ["q"])]
    assert found(model_of(nodes)) == {"q": INT64}


def test_a_function_of_the_file_is_looked_at_and_what_it_divides_guarded():
    ratio = helper.make_function(
        "own", "Ratio", ["x", "y"], ["z"], [node("Div", ["x", "y"], ["z"])], [helper.make_opsetid("", 19)]
    )
    model = model_of([node("Ratio", ["a", "b"], ["q"], domain="own")], functions=[ratio])
    assert [each.type for each in unguarded_divisions(model.functions[0])] == [0]
    safe = guarded(model)
    assert not safe.functions
    assert not found(safe)
    floats = guarded(
        model_of([node("Ratio", ["a", "b"], ["q"], domain="own")], TensorProto.FLOAT, functions=[ratio])
    )
    assert [each.op_type for each in floats.graph.node] == ["Div"]


def test_a_type_that_only_inference_tells_is_written_down():
    nodes = [node("Hardmax", ["a"], ["h"]), node("Div", ["h", "h"], ["q2"]), node("Identity", ["q2"], ["q"])]
    model = model_of(nodes, TensorProto.FLOAT)
    assert found(model) == {"q2": 0}
    safe = guarded(model)
    assert [each.op_type for each in safe.graph.node] == ["Hardmax", "Div", "Identity"]
    assert not found(safe)
    lying = onnx.ModelProto()
    lying.CopyFrom(safe)
    lying.graph.value_info[-1].type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(Exception, match="Type Error"):
        onnxruntime.InferenceSession(lying.SerializeToString(), providers=["CPUExecutionProvider"])


def test_what_is_too_old_to_be_guarded_is_refused():
    with pytest.raises(EstimatorError, match="version 8 of ONNX's operators has no way"):
        guarded(model_of([DIV], opset=8))


EXTREME = {type_: [np.iinfo(dtype).min, np.iinfo(dtype).max, -7, 0, 1, 6] for type_, dtype in DTYPES.items()}


@pytest.mark.parametrize("type_", DTYPES)
def test_a_guarded_division_computes_what_the_plain_one_does_and_survives_every_row(type_):
    a = np.array([x for x in EXTREME[type_] for _ in range(5)], DTYPES[type_])
    b = np.array([-1, 1, -3, 4, np.iinfo(DTYPES[type_]).min] * len(EXTREME[type_]), DTYPES[type_])
    model = model_of([DIV], type_)
    session = onnxruntime.InferenceSession(
        guarded(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    computed = [session.run(None, {"a": a[k : k + 1], "b": b[k : k + 1]})[0][0] for k in range(len(a))]
    assert computed == session.run(None, {"a": a, "b": b})[0].tolist()
    with np.errstate(all="ignore"):
        truncated = [
            int(abs(int(x)) // abs(int(y))) * (1 if (x < 0) == (y < 0) else -1)
            for x, y in zip(a, b, strict=True)
        ]
    assert (
        np.array(computed).tolist()
        == np.array(
            [t if t <= np.iinfo(DTYPES[type_]).max else np.iinfo(DTYPES[type_]).min for t in truncated]
        ).tolist()
    )


def ending(op, dtype, dividend, divisor, **attributes):
    """How a process ends that computes this, and does nothing else: a signal's name, or ""."""
    type_ = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    content = model_of([node(op, ["a", "b"], ["q"], **attributes)], type_).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    process = os.fork()
    if not process:
        faulthandler.disable()  # it would print what is meant to happen
        try:
            session.run(None, {"a": np.array([dividend], dtype), "b": np.array([divisor], dtype)})
        finally:
            os._exit(0)
    status = os.waitpid(process, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_the_rule_names_what_ends_a_process_with_this_onnxruntime(dtype):
    """If this fails for a newer onnxruntime, the rule has to be looked at again."""
    smallest = np.iinfo(dtype).min
    ends = [
        ending(op, dtype, smallest, divisor, **more)
        for op, divisor, more in (
            ("Div", -1, {}),
            ("Mod", -1, {}),
            ("Mod", -1, {"fmod": 1}),
            ("Div", 0, {}),
            ("Mod", 0, {}),
        )
    ]
    assert not any(ends[1:])
    assert ends[0] == ("SIGFPE" if dtype in (np.int32, np.int64) else "") or not ends[0]
