"""Read ONNX files that others wrote, and bring them into a form that our own nodes can follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from onnx import inliner, version_converter

from tamiz_convert.errors import EstimatorError
from tamiz_convert.graphs.builder import OPSET, refuse_own_names
from tamiz_convert.sources.failures import reason

_PREFIX: Final = "model_"


def load_onnx(path: Path) -> onnx.ModelProto:
    """Return a model, including its external data.

    Raises:
        EstimatorError: if the file does not exist, is not a valid model, or refers to missing data files.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        missing = Path(error.filename or path)
        where = "does not exist" if missing == path else f"keeps weights in {missing}, which does not exist"
        raise EstimatorError(f"{path} {where}") from error
    except Exception as error:  # protobuf's, the checker's, the operating system's
        raise EstimatorError(f"{path} is not a valid ONNX model: {reason(error)}") from error
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 1:
                dim.ClearField("dim_value")  # other tools write -1 or 0 for any number
    return model


def true_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that have to be fed. Old files list constants as inputs too."""
    constants = {tensor.name for tensor in graph.initializer}
    return [each for each in graph.input if each.name not in constants]


def followable(model: onnx.ModelProto, output: str) -> tuple[onnx.ModelProto, str]:
    """Return a model that our own nodes can follow, and the name of the output in it.

    Local functions are inlined. Older standard operators are raised to our version. Nodes that do not lead to
    the output are dropped. Every name except those of the inputs gets a prefix.

    Raises:
        EstimatorError: if the file cannot be raised to our version, or an input has a name that the bundle
            needs.
    """
    refuse_own_names(each.name for each in model.graph.input)
    model = _raised(_inlined(model))
    if model.graph.sparse_initializer:
        raise EstimatorError(
            "the ONNX file holds sparse constants, which are not supported; store them dense"
        )
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    graph.ClearField("input")
    graph.input.extend(true_inputs(model.graph))
    _drop_unused(graph, output)
    kept = {each.name for each in graph.input}
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in kept):
        prefix = f"_{prefix}"
    _rename(graph, kept, prefix)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.CopyFrom(graph)
    return changed, output if output in kept else prefix + output


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without local functions.

    onnx leaves those of another opset than the model's. Its checker has refused operators that differ between
    the two, so they may take the model's.
    """
    aligned = onnx.ModelProto()
    aligned.CopyFrom(model)
    own = {opset.domain: opset.version for opset in model.opset_import}
    for function in aligned.functions:
        for opset in function.opset_import:
            opset.version = own.get(opset.domain, opset.version)
    return inliner.inline_local_functions(aligned)


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    versions: dict[str, int] = {}
    for opset in model.opset_import:  # skl2onnx may list a domain twice
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        versions[domain] = max(versions.get(domain, 0), opset.version)
    version = versions.setdefault("", OPSET)
    model.ClearField("opset_import")
    model.opset_import.extend(onnx.helper.make_opsetid(*each) for each in versions.items())
    if version >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter's own, of many kinds
        raise EstimatorError(
            f"the ONNX file is of opset {version} and cannot be raised to {OPSET} ({reason(error)});"
            f" export it again with opset {OPSET} or later"
        ) from error


def _drop_unused(graph: onnx.GraphProto, output: str) -> None:
    """Keep the nodes and constants that lead to the output."""
    wanted = {output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(_names_read(node))
    graph.ClearField("node")
    graph.node.extend(reversed(kept))
    constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
    graph.ClearField("initializer")
    graph.initializer.extend(constants)
    inputs = [each for each in graph.input if each.name in wanted]
    graph.ClearField("input")
    graph.input.extend(inputs)
    graph.ClearField("value_info")


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for subgraph in _subgraphs(node):
        yield from (each.name for each in subgraph.output)
        for inner in subgraph.node:
            yield from _names_read(inner)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _rename(graph: onnx.GraphProto, kept: set[str], prefix: str) -> None:
    """Add the prefix to every name that is not in `kept`, also in the bodies of If, Loop and Scan."""

    def renamed(name: str) -> str:
        return name if not name or name in kept else prefix + name

    for values in (graph.input, graph.output, graph.initializer, graph.value_info):
        for each in values:
            each.name = renamed(each.name)
    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
        for subgraph in _subgraphs(node):
            _rename(subgraph, kept, prefix)
